package listener

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
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

// NewTLS returns a listener that speaks TLS over a guarded one.
func NewTLS(l net.Listener, config *tls.Config) net.Listener { return tlsListener{l, config} }

type tlsListener struct {
	net.Listener
	config *tls.Config
}

func (l tlsListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tlsConn{Conn: tls.Server(c, l.config)}, nil
}

// tlsConn notes the end of what the peer sends, which TLS announces by a message of its own.
type tlsConn struct {
	*tls.Conn
	ended atomic.Bool
}

func (c *tlsConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.ended.CompareAndSwap(false, err == io.EOF)
	return n, err
}
