package api

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// connections tracks the connections of a server. It limits their number, in total and from
// one address, and closes those over a limit without a response. It is safe for concurrent
// use.
type connections struct {
	limits    func() config.Server // current settings
	telemetry *telemetry.Telemetry
	// descriptors bounds server.max_connections.
	descriptors int

	mu       sync.Mutex
	open     map[*guardedConn]bool
	byOrigin map[netip.Addr]int

	readDeadline atomic.Pointer[time.Time] // upper bound of all read deadlines; nil for none
}

// Guard returns a listener whose connections are limited in number and, after a request was
// refused, closed without losing the response. A TLS listener must wrap the returned one.
func (s *Server) Guard(l net.Listener) net.Listener { return guardedListener{l, s.connections} }

type guardedListener struct {
	net.Listener
	connections *connections
}

// Backoff of Accept while the process or the system is out of resources.
const (
	minAcceptBackoff = 5 * time.Millisecond
	maxAcceptBackoff = time.Second
)

// Accept retries temporary failures, such as being out of file descriptors. fasthttp would stop
// serving.
func (l guardedListener) Accept() (net.Conn, error) {
	backoff := minAcceptBackoff
	for {
		c, err := l.Listener.Accept()
		switch {
		case isTemporary(err):
			time.Sleep(backoff) // nothing signals when resources are free again
			backoff = min(2*backoff, maxAcceptBackoff)
		case err != nil:
			return nil, err
		default:
			if guarded := l.connections.admit(c); guarded != nil {
				return guarded, nil
			}
			_ = c.Close() // nothing was sent that could be lost
		}
	}
}

// isTemporary reports whether Accept may succeed after the error.
func isTemporary(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// reservedDescriptors are at least kept for everything but public connections: calls to
// providers, the admin listener, the store, reloads.
const reservedDescriptors = 64

// connectionsFor returns how many connections a limit of descriptors allows: three quarters of
// it, and never those that are reserved.
func connectionsFor(descriptors int) int {
	return max(1, min(descriptors*3/4, descriptors-reservedDescriptors))
}

// admit adds a connection, or returns nil if there are too many.
func (cs *connections) admit(c net.Conn) net.Conn {
	limits, from := cs.limits(), origin(c)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch {
	case len(cs.open) >= min(limits.MaxConnections, cs.descriptors):
		cs.telemetry.CountRefusal(RefusedConnections)
		return nil
	case from.IsValid() && cs.byOrigin[from] >= limits.MaxConnectionsPerAddress:
		cs.telemetry.CountRefusal(RefusedAddress)
		return nil
	}
	guarded := &guardedConn{Conn: c, connections: cs, origin: from}
	cs.open[guarded] = true
	cs.byOrigin[from]++
	return guarded
}

// origin returns the address that a connection counts for: the peer's, or for IPv6 its /64
// network, because one host usually has a whole one. It is zero for a peer without an IP.
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

// closed removes a connection.
func (cs *connections) closed(c *guardedConn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.open, c)
	if cs.byOrigin[c.origin]--; cs.byOrigin[c.origin] == 0 {
		delete(cs.byOrigin, c.origin)
	}
}

// endReads limits the read deadlines of all connections, also of future ones.
func (cs *connections) endReads(at time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.readDeadline.Store(&at)
	for c := range cs.open {
		_ = c.Conn.SetReadDeadline(at) // fails for closed connections only
	}
}

// setReadDeadline sets the read deadline of a connection, at the latest that of endReads.
func (cs *connections) setReadDeadline(c *guardedConn, deadline time.Time) error {
	for {
		bound := cs.readDeadline.Load()
		if bound != nil && (deadline.IsZero() || deadline.After(*bound)) {
			deadline = *bound
		}
		// endReads may have set an earlier deadline in between.
		if err := c.Conn.SetReadDeadline(deadline); err != nil || cs.readDeadline.Load() == bound {
			return err
		}
	}
}

// count returns the number of connections and of the addresses that they come from.
func (cs *connections) count() (connections, addresses int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.open), len(cs.byOrigin)
}
