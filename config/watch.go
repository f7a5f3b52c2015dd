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

const (
	// settleDelay is the time between two checks of the files: editors and orchestrators
	// write in several steps.
	settleDelay = 100 * time.Millisecond
	// settleTime is how long the files must be unchanged before a change is reported.
	settleTime = 500 * time.Millisecond
)

// Watch calls changed whenever the content of the files differs from the last fingerprint,
// until ctx ends. files returns the configuration file, and then the files of secrets. Watch
// watches the directories, so that it survives a replacement of a file and the symlink swap
// of a Kubernetes volume. Other changes in the directories do not delay it.
func Watch(ctx context.Context, files func() []string, last [32]byte, changed func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot watch the configuration file: %w", err)
	}
	defer watcher.Close()
	if err := watcher.Add(filepath.Dir(files()[0])); err != nil {
		return fmt.Errorf("cannot watch the directory of the configuration file: %w", err)
	}
	// The first check finds changes made before the watch began.
	timer := time.NewTimer(settleDelay)
	defer timer.Stop()
	pending := true
	seen, since := last, time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-watcher.Events:
			if !ok {
				return nil
			}
		case <-watcher.Errors: // an overflow: check the files, or a change could be missed
		case <-timer.C:
			pending = false
			paths := files()
			for _, path := range paths[1:] {
				_ = watcher.Add(filepath.Dir(path)) // a directory that does not exist is not watched
			}
			now := fingerprintOf(paths)
			if now != seen {
				seen, since = now, time.Now()
			}
			switch {
			case now == last, now == [32]byte{}:
			case time.Since(since) < settleTime: // it may still be being written: check again
				timer.Reset(settleDelay)
				pending = true
			default:
				last = now
				changed()
			}
			continue
		}
		if !pending {
			timer.Reset(settleDelay)
			pending = true
		}
	}
}

// WaitUntilWritten waits until a file has not changed for settleTime, at most ten times as
// long, and reports whether it had to wait: a file that is read while it is being written
// may lack keys, which would stop working.
func WaitUntilWritten(ctx context.Context, path string) (waited bool) {
	last, err := os.Stat(path)
	for range 10 {
		// The clock of a file system may be ahead.
		if err != nil || !last.Mode().IsRegular() || time.Since(last.ModTime()).Abs() >= settleTime {
			return waited
		}
		waited = true
		select {
		case <-ctx.Done():
			return waited
		case <-time.After(settleTime):
		}
		before := last
		if last, err = os.Stat(path); err == nil && last.Size() == before.Size() && last.ModTime().Equal(before.ModTime()) {
			return waited
		}
	}
	return waited
}

// fingerprintOf returns the fingerprint of files as they are now, zero if the first cannot be
// read.
func fingerprintOf(paths []string) [32]byte {
	contents := make(map[string][]byte, len(paths))
	for i, path := range paths {
		read := readSecretFile
		if i == 0 {
			read = os.ReadFile
		}
		data, err := readInTime(read, path)
		switch {
		case err == nil:
			contents[path] = data
		case i == 0:
			return [32]byte{}
		}
	}
	return fingerprint(paths, contents)
}

// fingerprint returns the SHA-256 of the files' contents; nil stands for a file that cannot be
// read.
func fingerprint(paths []string, contents map[string][]byte) [32]byte {
	h := sha256.New()
	for _, path := range paths {
		fmt.Fprintf(h, "%q %x\n", path, contents[path]) // a hash never returns an error
	}
	return [32]byte(h.Sum(nil))
}
