package listener

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificate is a TLS certificate that is read again within a second after its files change.
// If they cannot be read, it stays as it is. It is safe for concurrent use.
type certificate struct {
	certFile, keyFile string

	mu       sync.Mutex
	checked  time.Time    // when the files were last looked at
	modified [2]time.Time // modification times of the loaded files
	loaded   *tls.Certificate
}

// TLSConfig returns a configuration with the certificate in the files, which it follows. They
// must be readable now.
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
		if modified, err := c.modificationTimes(); err == nil && modified != c.modified {
			_ = c.load() // fails while only one of the files is renewed; tried again later
		}
	}
	return c.loaded
}

func (c *certificate) load() error {
	modified, err := c.modificationTimes()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.modified, c.loaded = modified, &pair
	return nil
}

func (c *certificate) modificationTimes() (times [2]time.Time, err error) {
	for i, file := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return times, err
		}
		times[i] = info.ModTime()
	}
	return times, nil
}
