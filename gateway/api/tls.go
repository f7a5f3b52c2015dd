package api

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificate is a pair of files; a renewed one is picked up within a second,
// and one that cannot be read leaves the last good one.
type certificate struct {
	certFile, keyFile string

	mu      sync.Mutex
	checked time.Time
	stamp   [2]time.Time
	loaded  *tls.Certificate
}

// TLSConfig serves the certificate in the files, which must be readable now.
func TLSConfig(certFile, keyFile string) (*tls.Config, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("server.tls: %w", err)
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}, nil
}

func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= time.Second {
		c.checked = now
		if stamp, err := c.stamps(); err == nil && stamp != c.stamp {
			_ = c.load() // half of a renewal may be there: the next second sees all of it
		}
	}
	return c.loaded
}

func (c *certificate) load() error {
	stamp, err := c.stamps()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.stamp, c.loaded = stamp, &pair
	return nil
}

func (c *certificate) stamps() (stamps [2]time.Time, err error) {
	for i, file := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return stamps, err
		}
		stamps[i] = info.ModTime()
	}
	return stamps, nil
}
