package store

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// errNotWriter is returned for a write to a SQLite file that another process writes, or
// that this process has no permission to write.
var errNotWriter = errors.New("another process writes the file, or it is read-only")

// ensureWritable creates the file if it does not exist, with access for its owner only: it
// may contain prompts. It reports false if the file exists and the process may not write it, or
// its file system is mounted read-only.
func ensureWritable(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		isReadOnly := errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
		return !isReadOnly || !exists(path)
	}
	return f.Close() == nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// FileMissing reports whether the store's SQLite file does not exist.
func (s *Store) FileMissing() bool { return s.file != "" && !exists(s.file) }

// lockFile makes this process the single writer of the file until it ends, if no other
// process is. The caller must hold s.mu.
func (s *Store) lockFile() {
	if s.file == "" || s.readOnly || s.writable.Load() {
		return
	}
	if locked, err := s.writer.TryLock(); err == nil && locked {
		s.writable.Store(true)
	}
}

// checkFile returns an error if the SQLite file cannot be read, or written, at present. It
// tries to become the writer if the previous one has ended.
func (s *Store) checkFile(writing bool) error {
	if s.file == "" {
		return nil
	}
	if now, err := os.Stat(s.file); err != nil || !os.SameFile(now, s.opened) {
		return errors.New("the file was removed or replaced while it was open; restart the gateway")
	}
	if writing && !s.writable.Load() {
		s.mu.Lock()
		s.lockFile()
		s.mu.Unlock()
		if !s.writable.Load() {
			return errNotWriter
		}
	}
	return nil
}
