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

// settleDelay is how long the file must be unchanged before it is reported: editors and
// orchestrators write in several steps.
const settleDelay = 100 * time.Millisecond

// Watch calls changed whenever the content of the file differs from the last fingerprint,
// until ctx ends. It watches the directory, so that it survives a replacement of the file
// and the symlink swap of a Kubernetes volume. Other changes in the directory do not delay
// it.
func Watch(ctx context.Context, path string, last [32]byte, changed func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot watch the configuration file: %w", err)
	}
	defer watcher.Close()
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		return fmt.Errorf("cannot watch the directory of the configuration file: %w", err)
	}
	// The first check finds changes made before the watch began.
	timer := time.NewTimer(settleDelay)
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
		case <-watcher.Errors: // an overflow: check the file, or a change could be missed
		case <-timer.C:
			pending = false
			now := fingerprint(path)
			switch {
			case now == last, now == [32]byte{}:
			case now != seen: // it may still be being written: check again
				timer.Reset(settleDelay)
				pending = true
			default:
				last = now
				changed()
			}
			seen = now
			continue
		}
		if !pending {
			timer.Reset(settleDelay)
			pending = true
		}
	}
}

// fingerprint returns the SHA-256 of the file, or zero if it cannot be read.
func fingerprint(path string) [32]byte {
	data, err := os.ReadFile(path)
	if err != nil {
		return [32]byte{}
	}
	return sha256.Sum256(data)
}
