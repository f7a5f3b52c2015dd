package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	// maxSecretFile bounds the size of a secret file in bytes.
	maxSecretFile = 64 << 10
	// secretFileTimeout bounds how long reading one may take: a network file system can hang.
	secretFileTimeout = 2 * time.Second
)

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = fmt.Errorf("larger than %d bytes", maxSecretFile)
	errTooSlow    = fmt.Errorf("not read within %s", secretFileTimeout)
)

// readSecretFile reads a regular file of limited size. A pipe or a device could block, or
// never end.
func readSecretFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errNotRegular
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if len(data) > maxSecretFile {
		return nil, errTooLarge
	}
	return data, err
}

// readInTime calls read and waits at most secretFileTimeout. A read that hangs goes on in its
// goroutine: nothing can end it.
func readInTime(read func(string) ([]byte, error), path string) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := read(path)
		done <- result{data, err}
	}()
	timer := time.NewTimer(secretFileTimeout)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.data, r.err
	case <-timer.C:
		return nil, errTooSlow
	}
}
