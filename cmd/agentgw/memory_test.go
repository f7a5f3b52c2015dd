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

func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, c := range []struct {
		name      string
		ratio     string
		container func() (uint64, error)
		want      int64
		says      string
	}{
		{"a container's", "", func() (uint64, error) { return 1000 << 20, nil }, 900 << 20, "bytes=943718400"},
		{"another ratio of it", "0.5", func() (uint64, error) { return 1000 << 20, nil }, 500 << 20, "bytes=524288000"},
		{"no container", "", func() (uint64, error) { return 0, errors.New("no cgroup") }, before, ""},
		{"off", "off", func() (uint64, error) { return 1000 << 20, nil }, before, ""},
	} {
		debug.SetMemoryLimit(before)
		t.Setenv("AUTOMEMLIMIT", c.ratio) // put back in the end
		if c.ratio == "" {
			os.Unsetenv("AUTOMEMLIMIT")
		}
		var said bytes.Buffer
		limitMemory(slog.New(slog.NewTextHandler(&said, nil)), c.container)
		if got := debug.SetMemoryLimit(-1); got != c.want || !strings.Contains(said.String(), c.says) || c.says == "" && said.Len() > 0 {
			t.Errorf("%s: %d, want %d; said %q", c.name, got, c.want, said.String())
		}
	}
	debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "1GiB") // the runtime has read it at start
	limitMemory(slog.New(slog.DiscardHandler), func() (uint64, error) { return 1 << 20, nil })
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("beside GOMEMLIMIT: %d, want %d", got, before)
	}
}
