package main

import (
	"io"
	"log/slog"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// newLogger returns a logger that writes text to a terminal and JSON otherwise, unless the
// configuration sets a format. The caller must close the log.
func newLogger(w io.Writer, c config.Log) (*slog.Logger, *telemetry.LogQueue) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // unreachable: the schema allows known levels only
	}
	options := &slog.HandlerOptions{Level: level}
	return telemetry.NewLogger(w, func(out io.Writer) slog.Handler {
		if c.Format == "text" || c.Format == "auto" && cli.IsTerminal(w) {
			return slog.NewTextHandler(out, options)
		}
		return slog.NewJSONHandler(out, options)
	})
}
