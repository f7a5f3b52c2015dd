package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"testing"
)

func TestSetMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, c := range []struct {
		name      string
		ratio     string
		container func() (uint64, error)
		want      int64
		wantLog   string
	}{
		{"container", "", func() (uint64, error) { return 1000 << 20, nil }, 900 << 20, "bytes=943718400"},
		{"other ratio", "0.5", func() (uint64, error) { return 1000 << 20, nil }, 500 << 20, "bytes=524288000"},
		{"no container", "", func() (uint64, error) { return 0, errors.New("no cgroup") }, before, ""},
		{"off", "off", func() (uint64, error) { return 1000 << 20, nil }, before, ""},
	} {
		debug.SetMemoryLimit(before)
		t.Setenv("AUTOMEMLIMIT", c.ratio) // restored at the end of the test
		if c.ratio == "" {
			os.Unsetenv("AUTOMEMLIMIT")
		}
		var logged bytes.Buffer
		setMemoryLimit(slog.New(slog.NewTextHandler(&logged, nil)), c.container)
		if got := debug.SetMemoryLimit(-1); got != c.want || !strings.Contains(logged.String(), c.wantLog) || c.wantLog == "" && logged.Len() > 0 {
			t.Errorf("%s: %d, want %d; logged %q", c.name, got, c.want, logged.String())
		}
	}
	debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "1GiB") // the runtime reads it at startup only
	setMemoryLimit(slog.New(slog.DiscardHandler), func() (uint64, error) { return 1 << 20, nil })
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("with GOMEMLIMIT set: %d, want %d", got, before)
	}
}
