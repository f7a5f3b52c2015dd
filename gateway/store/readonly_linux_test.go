package store

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOpen_ReadOnlyMount: a file on a file system that is mounted read-only can be read, as one
// without permission to write can.
func TestOpen_ReadOnlyMount(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "agentgw.db")
	s := open(t, "sqlite:"+path)
	if _, err := put(t, s, "bot", "klen:1", 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(folder, folder, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("mounting needs privileges that this process does not have: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(folder, 0) })
	if err := syscall.Mount("", folder, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("mounting needs privileges that this process does not have: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "x"), nil, 0o600); !errors.Is(err, syscall.EROFS) {
		t.Fatalf("the mount is writable: %v", err)
	}
	readOnly, err := Open(t.Context(), "sqlite:"+path, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	if r, err := readOnly.Routes(t.Context()); err != nil || len(r.Aliases) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := put(t, readOnly, "other", "klen:1", 0); !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), folder) {
		t.Errorf("%v", err)
	}
}
