package gateway

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// connections are those of the public listener: bounded in number, in all and
// from one address, and closed without losing an answer. One that is over a
// bound is closed at once; it is never told anything.
type connections struct {
	limits    func() config.Server
	telemetry *telemetry.Telemetry

	mu       sync.Mutex
	open     int
	byOrigin map[netip.Addr]int
	accepted time.Time // the last one
}

// Guard bounds the listener's connections. The TLS listener, if there is one,
// goes around it.
func (s *Server) Guard(l net.Listener) net.Listener { return guardedListener{l, s.connections} }

type guardedListener struct {
	net.Listener
	connections *connections
}

// How long Accept waits when the machine has nothing left to accept with.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// Accept waits while the process is out of descriptors: fasthttp takes that for
// the end of the listener.
func (l guardedListener) Accept() (net.Conn, error) {
	pause := acceptPauseMin
	for {
		c, err := l.Listener.Accept()
		switch {
		case passing(err):
			time.Sleep(pause) // the kernel tells nobody when there are some again
			pause = min(2*pause, acceptPauseMax)
		case err != nil:
			return nil, err
		default:
			if guarded := l.connections.admit(c); guarded != nil {
				return guarded, nil
			}
			_ = c.Close() // it was told nothing yet
		}
	}
}

// passing reports whether a failure to accept says nothing of the next.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// admit counts a connection; nil if there are too many.
func (cs *connections) admit(c net.Conn) net.Conn {
	limits, from := cs.limits(), origin(c)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.accepted = time.Now()
	switch {
	case cs.open >= limits.MaxConnections:
		cs.telemetry.Refused("max_connections")
		return nil
	case from.IsValid() && cs.byOrigin[from] >= limits.MaxConnectionsPerAddress:
		cs.telemetry.Refused("max_connections_per_address")
		return nil
	}
	cs.open++
	cs.byOrigin[from]++
	return &guardedConn{Conn: c, connections: cs, origin: from}
}

// origin is the peer's address; of IPv6 its network, which one peer has whole.
func origin(c interface{ RemoteAddr() net.Addr }) netip.Addr {
	from, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	address := from.Addr().Unmap().WithZone("")
	if network, err := address.Prefix(64); err == nil && address.Is6() {
		return network.Addr()
	}
	return address
}

func (cs *connections) closed(from netip.Addr) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.open--
	if cs.byOrigin[from]--; cs.byOrigin[from] == 0 {
		delete(cs.byOrigin, from)
	}
}

// quiet reports whether none is open, and none came for a time.
func (cs *connections) quiet(now time.Time, lately time.Duration) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.open == 0 && now.Sub(cs.accepted) >= lately
}

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

// Close ends what is sent, and reads what still comes, within bounds.
func (c *guardedConn) Close() error {
	defer c.once.Do(func() { c.connections.closed(c.origin) })
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() {
		if half.CloseWrite() == nil && c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes) // however it ends, the connection is closed
		}
	}
	return c.Conn.Close()
}
