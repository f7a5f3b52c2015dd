package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/agentgw/agentgw/internal/waittest"
)

// TestWatch: changes are reported when the file is written, replaced, removed and created
// again, and swapped behind a symlink as in a Kubernetes volume.
func TestWatch(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "config.yaml")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write(path, "0")
	ctx, cancel := context.WithCancel(context.Background())
	changes := make(chan string, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- Watch(ctx, func() []string { return []string{path} }, fingerprint([]string{path}, map[string][]byte{path: []byte("0")}), func() {
			data, _ := os.ReadFile(path)
			changes <- string(data)
		})
	}()
	expect := func(want string, again func()) {
		t.Helper()
		again()
		retry := time.NewTicker(500 * time.Millisecond) // the watch may not have started yet
		defer retry.Stop()
		for deadline := time.After(time.Minute); ; {
			select {
			case got := <-changes:
				if got == want {
					return
				}
			case <-retry.C:
				again()
			case <-deadline:
				t.Fatalf("the change to %q was not reported", want)
			}
		}
	}
	// Continuous writes to another file in the directory do not delay the report.
	neighbour := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-neighbour:
				return
			default:
				_ = os.WriteFile(filepath.Join(folder, "neighbour.log"), []byte(fmt.Sprint(i)), 0o600)
			}
		}
	})
	expect("1", func() { write(path, "1") })
	close(neighbour)
	busy.Wait()
	expect("2", func() { write(path+".new", "2"); must(os.Rename(path+".new", path)) })
	must(os.Remove(path))
	expect("3", func() { write(path, "3") })

	// A Kubernetes volume: config.yaml -> ..data/config.yaml, ..data -> a versioned directory.
	for _, version := range []string{"4", "5"} {
		must(os.MkdirAll(filepath.Join(folder, "v"+version), 0o700))
		write(filepath.Join(folder, "v"+version, "config.yaml"), version)
	}
	must(os.Symlink("v4", filepath.Join(folder, "..data")))
	must(os.Remove(path))
	must(os.Symlink(filepath.Join("..data", "config.yaml"), path))
	expect("4", func() { write(filepath.Join(folder, "touched"), time.Now().String()) })
	swap := filepath.Join(folder, "..data_tmp")
	must(os.Symlink("v5", swap))
	must(os.Rename(swap, filepath.Join(folder, "..data")))
	expect("5", func() { write(filepath.Join(folder, "touched"), time.Now().String()) })

	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestWatch_SecretFiles: a secret that is rotated behind a symlink, as Kubernetes does it, is
// reported although the configuration file stays the same.
func TestWatch_SecretFiles(t *testing.T) {
	folder := t.TempDir()
	path, secretPath := filepath.Join(folder, "config.yaml"), filepath.Join(folder, "secrets", "klen")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"..1", "..2"} {
		must(os.MkdirAll(filepath.Join(folder, "secrets", name), 0o700))
		must(os.WriteFile(filepath.Join(folder, "secrets", name, "klen"), []byte("secret"+name), 0o600))
	}
	must(os.Symlink("..1", filepath.Join(folder, "secrets", "..data")))
	must(os.Symlink("..data/klen", secretPath))
	must(os.WriteFile(path, []byte("x: 1"), 0o600))
	files := []string{path, secretPath}
	changes := make(chan struct{}, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended, before := make(chan error, 1), fingerprintOf(files)
	go func() {
		ended <- Watch(ctx, func() []string { return files }, before, func() { changes <- struct{}{} })
	}()
	// The first change is found by the first check; what comes later, by the watch alone.
	must(os.WriteFile(path, []byte("x: 2"), 0o600))
	waittest.Receive(t, "the first change", changes)
	time.Sleep(2 * settleDelay) // no check is due any more
	swap := func() {
		must(os.Symlink("..2", filepath.Join(folder, "secrets", "..new")))
		must(os.Rename(filepath.Join(folder, "secrets", "..new"), filepath.Join(folder, "secrets", "..data")))
	}
	swap()
	waittest.Receive(t, "the change", changes)
	cancel()
	must(waittest.Receive(t, "the end", ended))
}

// TestWaitUntilWritten: a file that was written just now is not read at once.
func TestWaitUntilWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte("x: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if WaitUntilWritten(t.Context(), path) {
		t.Error("waited for an old file")
	}
	for _, name := range []string{os.DevNull, filepath.Join(t.TempDir(), "none")} {
		if WaitUntilWritten(t.Context(), name) {
			t.Errorf("waited for %s", name)
		}
	}
	if err := os.Chtimes(path, time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if !WaitUntilWritten(t.Context(), path) {
		info, err := os.Stat(path)
		if err != nil || time.Since(info.ModTime()) < settleTime {
			t.Error("did not wait for a file that was just written")
		}
	}
}
