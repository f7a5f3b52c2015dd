package config

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
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
		ended <- Watch(ctx, path, sha256.Sum256([]byte("0")), func() {
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
