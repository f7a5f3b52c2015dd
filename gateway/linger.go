package gateway

import (
	"crypto/tls"
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
	*gathered
	connections *connections
	origin      netip.Addr
	linger      atomic.Bool
	waits       atomic.Bool // its front does, for a request after another

	reading, writing patience
	once             sync.Once
}

// newGuardedConn is a connection that is counted.
func newGuardedConn(c net.Conn, of *connections) *guardedConn {
	g := &guardedConn{gathered: &gathered{Conn: c}, connections: of, origin: origin(c)}
	g.reading.set, g.writing.set = c.SetReadDeadline, c.SetWriteDeadline
	g.reading.began = time.Now()
	g.writing.began = g.reading.began
	return g
}

// Bounds of what is read of a peer that was already answered.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 64 << 20
)

// lingerOn has the connection below c linger when it is closed.
func lingerOn(c net.Conn) {
	if f := frontOf(c); f != nil {
		c = f.Conn
	}
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	if l, ok := c.(*guardedConn); ok {
		l.linger.Store(true)
	}
}

// Close ends what is sent, and reads what still comes, within bounds.
func (c *guardedConn) Close() error {
	defer c.once.Do(func() { c.connections.closed(c) })
	if c.linger.Load() {
		_ = c.reading.give(time.Time{}) // the one that was noted must not end it; it fails if the next does
		if c.gathered.CloseWrite() == nil && c.gathered.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.CopyN(io.Discard, c.gathered, lingerBytes) // however it ends, the connection is closed
		}
	}
	return c.gathered.Close()
}
