package listener

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// guardedConn is a connection that Connections counts. It can linger: closing a connection
// while the peer still sends resets it, and the peer may lose the response, such as a 413.
// A lingering connection therefore reads and discards for a while before it closes (RFC 9112,
// section 9.6).
type guardedConn struct {
	net.Conn
	connections *Connections
	origin      netip.Addr
	linger      atomic.Bool
	// readDeadline is the last one that was set.
	readDeadline atomic.Pointer[time.Time]
	ended        atomic.Bool // the peer sends no more
	once         sync.Once
}

// Bounds of what a lingering connection reads.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 64 << 20
)

// LingerOn makes c linger when it is closed, if it is a guardedConn or TLS over one.
func LingerOn(c net.Conn) {
	if l := guarded(c); l != nil {
		l.linger.Store(true)
	}
}

// Read reads from the peer, and notes the end of what it sends.
func (c *guardedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.ended.CompareAndSwap(false, err == io.EOF)
	return n, err
}

// HasEnded reports whether the end of what the peer of a guarded connection sends was read.
func HasEnded(c net.Conn) bool {
	if secured, ok := c.(*tlsConn); ok && secured.ended.Load() {
		return true
	}
	l := guarded(c)
	return l != nil && l.ended.Load()
}

// guarded returns the guardedConn that c is, or that it is TLS over; nil if there is none.
func guarded(c net.Conn) *guardedConn {
	if secured, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secured.NetConn()
	}
	l, _ := c.(*guardedConn)
	return l
}

// ReadDeadlineOf returns the read deadline of a guarded connection; zero for none.
func ReadDeadlineOf(c net.Conn) time.Time {
	if l := guarded(c); l != nil {
		if deadline := l.readDeadline.Load(); deadline != nil {
			return *deadline
		}
	}
	return time.Time{}
}

// SetReadDeadline sets the read deadline, at the latest that of a shutdown.
func (c *guardedConn) SetReadDeadline(t time.Time) error {
	c.readDeadline.Store(&t)
	return c.connections.setReadDeadline(c, t)
}

// SetDeadline sets the read and the write deadline.
func (c *guardedConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}

// Close closes the connection, after lingering if LingerOn was called.
func (c *guardedConn) Close() error {
	defer c.once.Do(func() { c.connections.closed(c) })
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() {
		if half.CloseWrite() == nil && c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes) // errors do not matter: the connection is closed next
		}
	}
	return c.Conn.Close()
}
