package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// newLogger writes text to a terminal and JSON elsewhere, unless the
// configuration says which. It is to be closed.
func newLogger(w io.Writer, c config.Log) (*slog.Logger, *telemetry.Log) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // the schema lets only known levels through
	}
	options := &slog.HandlerOptions{Level: level}
	return telemetry.NewLog(w, func(out io.Writer) slog.Handler {
		if c.Format == "text" || c.Format == "auto" && isTerminal(w) {
			return slog.NewTextHandler(out, options)
		}
		return slog.NewJSONHandler(out, options)
	})
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
