package config

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long a file must be left alone before it is read: editors and
// orchestrators write in several steps.
const settle = 100 * time.Millisecond

// Watch calls changed whenever the file's bytes have changed, until ctx ends.
// It watches the folder, so that it outlives the file being replaced and the
// symlink swap of a Kubernetes volume.
func Watch(ctx context.Context, path string, changed func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot watch the configuration: %w", err)
	}
	defer watcher.Close()
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		return fmt.Errorf("cannot watch the configuration's folder: %w", err)
	}
	last := fingerprint(path)
	timer := time.NewTimer(0)
	<-timer.C
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-watcher.Events:
			if !ok {
				return nil
			}
			timer.Reset(settle)
		case <-watcher.Errors: // an overflow: look, rather than miss a change
			timer.Reset(settle)
		case <-timer.C:
			if now := fingerprint(path); now != last && now != [32]byte{} {
				last = now
				changed()
			}
		}
	}
}

// fingerprint is zero while there is no file to read.
func fingerprint(path string) [32]byte {
	data, err := os.ReadFile(path)
	if err != nil {
		return [32]byte{}
	}
	return sha256.Sum256(data)
}
