package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// errNotWriter is returned for a write to a SQLite file that another process writes, or
// that this process has no permission to write.
var errNotWriter = errors.New("another process writes the file, or it is read-only")

// openFile creates the file if it does not exist, with access for its owner only: it may contain
// prompts. readOnly reports that the process may not write it, or that its file system is mounted
// read-only. An error means that there is no store: an empty one in its place would forget every
// alias.
func openFile(path string) (created, readOnly bool, err error) {
	isNew := !exists(path)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	switch {
	case err == nil:
		return isNew, false, f.Close()
	case !isNew && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)):
		return false, true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, false, fmt.Errorf("the folder of %s does not exist; create it, or mount its volume", path)
	}
	if reason, ok := errors.AsType[*fs.PathError](err); ok {
		err = reason.Err
	}
	return false, false, fmt.Errorf("cannot open %s: %w", path, err)
}

// lockOwner returns the id of the process that writes a file; empty if it is not known.
func lockOwner(file string) string {
	id, err := os.ReadFile(file + ".lock")
	if err != nil {
		return ""
	}
	return string(id)
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
		_ = os.WriteFile(s.file+".lock", []byte(strconv.Itoa(os.Getpid())), 0o600) // only shown to people
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
