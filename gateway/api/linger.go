package api

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// guardedConn is counted until it is closed, and can linger then: one that is
// closed while its peer still sends is reset, and the peer loses the answer that
// was on its way: it would see a broken connection where it was told 413. Such a
// connection is read on for a while before it is closed (RFC 9112, 9.6).
type guardedConn struct {
	net.Conn
	connections *connections
	origin      netip.Addr
	linger      atomic.Bool
	once        sync.Once
}

// Bounds of what is read of a peer that was already answered.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 64 << 20
)

// lingerOn has the connection below c linger when it is closed.
func lingerOn(c net.Conn) {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	if l, ok := c.(*guardedConn); ok {
		l.linger.Store(true)
	}
}

// SetReadDeadline sets it, but not beyond the end of the server.
func (c *guardedConn) SetReadDeadline(t time.Time) error {
	return c.connections.setReadDeadline(c, t)
}

// SetDeadline sets both.
func (c *guardedConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}

// Close ends what is sent, and reads what still comes, within bounds.
func (c *guardedConn) Close() error {
	defer c.once.Do(func() { c.connections.closed(c) })
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() {
		if half.CloseWrite() == nil && c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes) // however it ends, the connection is closed
		}
	}
	return c.Conn.Close()
}
