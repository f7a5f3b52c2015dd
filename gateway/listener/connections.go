// Package listener has the public listener: connections that are counted and limited, that
// close without losing a response, and TLS whose certificate is renewed.
//
// It may not know HTTP. Begin with [New].
package listener

import (
	"errors"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// Values of the reason label of agentgw_refused_total.
const (
	RefusedConnections = "max_connections"
	RefusedAddress     = "max_connections_per_address"
)

// Connections tracks the connections of a server. It limits their number, in total and from
// one address, and closes those over a limit without a response. It is safe for concurrent
// use.
type Connections struct {
	limits    func() config.Server // current settings
	telemetry *telemetry.Telemetry
	// descriptors bounds server.max_connections.
	descriptors int

	mu       sync.Mutex
	open     map[*guardedConn]bool
	byOrigin map[netip.Addr]int

	readDeadline atomic.Pointer[time.Time] // upper bound of all read deadlines; nil for none
}

// New returns the connections of a server within the limits of the current settings. More than
// the limit of file descriptors allows are never accepted; the log says so.
func New(limits func() config.Server, t *telemetry.Telemetry, log *slog.Logger) *Connections {
	cs := &Connections{limits: limits, telemetry: t, open: map[*guardedConn]bool{}, byOrigin: map[netip.Addr]int{}, descriptors: math.MaxInt}
	if limit, known := descriptorLimit(); known {
		cs.descriptors = connectionsFor(limit)
		if wanted := limits().MaxConnections; wanted > cs.descriptors {
			log.Warn("server.max_connections is more than the limit of file descriptors allows (ulimit -n); fewer connections are accepted", "max_connections", wanted, "descriptors", limit, "accepted", cs.descriptors)
		}
	}
	return cs
}

// Guard returns a listener whose connections are limited in number and, after LingerOn,
// closed without losing the response. A TLS listener must wrap the returned one.
func (cs *Connections) Guard(l net.Listener) net.Listener { return guardedListener{l, cs} }

type guardedListener struct {
	net.Listener
	connections *Connections
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
func (cs *Connections) admit(c net.Conn) net.Conn {
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
func (cs *Connections) closed(c *guardedConn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.open, c)
	if cs.byOrigin[c.origin]--; cs.byOrigin[c.origin] == 0 {
		delete(cs.byOrigin, c.origin)
	}
}

// EndReads limits the read deadlines of all connections, also of future ones.
func (cs *Connections) EndReads(at time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.readDeadline.Store(&at)
	for c := range cs.open {
		_ = c.Conn.SetReadDeadline(at) // fails for closed connections only
	}
}

// setReadDeadline sets the read deadline of a connection, at the latest that of EndReads.
func (cs *Connections) setReadDeadline(c *guardedConn, deadline time.Time) error {
	for {
		bound := cs.readDeadline.Load()
		if bound != nil && (deadline.IsZero() || deadline.After(*bound)) {
			deadline = *bound
		}
		// EndReads may have set an earlier deadline in between.
		if err := c.Conn.SetReadDeadline(deadline); err != nil || cs.readDeadline.Load() == bound {
			return err
		}
	}
}

// Count returns the number of connections and of the addresses that they come from.
func (cs *Connections) Count() (connections, addresses int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.open), len(cs.byOrigin)
}
