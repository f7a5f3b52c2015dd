package gateway

import (
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// A connection that is closed while its peer still sends is reset, and the
// peer loses the answer that was on its way: it would see a broken connection
// where it was told 413. Such a connection is read on for a while before it is
// closed (RFC 9112, 9.6).
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 64 << 20
)

// lingerListener accepts connections that can linger.
type lingerListener struct{ net.Listener }

// Lingering makes the listener's connections close without losing an answer.
func Lingering(l net.Listener) net.Listener { return lingerListener{l} }

func (l lingerListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lingerConn{Conn: c}, nil
}

type lingerConn struct {
	net.Conn
	linger atomic.Bool
}

// lingerOn has the connection below c linger when it is closed.
func lingerOn(c net.Conn) {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	if l, ok := c.(*lingerConn); ok {
		l.linger.Store(true)
	}
}

// Close ends what is sent, and reads what still comes, within bounds.
func (c *lingerConn) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() {
		if half.CloseWrite() == nil && c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes) // however it ends, the connection is closed
		}
	}
	return c.Conn.Close()
}
