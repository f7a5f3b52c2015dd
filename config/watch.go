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

// settle is how long the file must be the same before it is read: editors and
// orchestrators write in several steps.
const settle = 100 * time.Millisecond

// Watch calls changed whenever the file's bytes have become others than those
// with the fingerprint, until ctx ends. It watches the folder, so that it
// outlives the file being replaced and the symlink swap of a Kubernetes
// volume; what else happens in the folder delays nothing.
func Watch(ctx context.Context, path string, last [32]byte, changed func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot watch the configuration: %w", err)
	}
	defer watcher.Close()
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		return fmt.Errorf("cannot watch the configuration's folder: %w", err)
	}
	// The first look is for what changed before the watch began.
	timer := time.NewTimer(settle)
	defer timer.Stop()
	pending := true
	seen := last
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-watcher.Events:
			if !ok {
				return nil
			}
		case <-watcher.Errors: // an overflow: look, rather than miss a change
		case <-timer.C:
			pending = false
			now := fingerprint(path)
			switch {
			case now == last, now == [32]byte{}:
			case now != seen: // it may still be written: look once more
				timer.Reset(settle)
				pending = true
			default:
				last = now
				changed()
			}
			seen = now
			continue
		}
		if !pending {
			timer.Reset(settle)
			pending = true
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
