package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// newLogger writes text to a terminal and JSON elsewhere, unless the
// configuration says which. The lines are written until they are closed.
func newLogger(w io.Writer, c config.Log) (*slog.Logger, *telemetry.LogWriter) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // the schema lets only known levels through
	}
	options := &slog.HandlerOptions{Level: level}
	lines := telemetry.NewLogWriter(w)
	var handler slog.Handler = slog.NewJSONHandler(lines, options)
	if c.Format == "text" || c.Format == "auto" && isTerminal(w) {
		handler = slog.NewTextHandler(lines, options)
	}
	return slog.New(telemetry.WithTraceIDs(handler)), lines
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
