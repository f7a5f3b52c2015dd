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

// connections are those of the public listener: bounded in number, in all and
// from one address, and closed without losing an answer. One that is over a
// bound is closed at once; it is never told anything.
type connections struct {
	limits    func() config.Server
	telemetry *telemetry.Telemetry

	mu       sync.Mutex
	open     map[*guardedConn]bool
	byOrigin map[netip.Addr]int

	last atomic.Pointer[time.Time] // nothing is read later; nil: no such time
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
	switch {
	case len(cs.open) >= limits.MaxConnections:
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

func (cs *connections) closed(c *guardedConn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.open, c)
	if cs.byOrigin[c.origin]--; cs.byOrigin[c.origin] == 0 {
		delete(cs.byOrigin, c.origin)
	}
}

// end has nothing be read after that time, however slowly a request comes.
func (cs *connections) end(at time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.last.Store(&at)
	for c := range cs.open {
		_ = c.Conn.SetReadDeadline(at) // one that is closed already needs none
	}
}

// setReadDeadline sets a connection's, but not beyond that time.
func (cs *connections) setReadDeadline(c *guardedConn, asked time.Time) error {
	for {
		last := cs.last.Load()
		if last != nil && (asked.IsZero() || asked.After(*last)) {
			asked = *last
		}
		// The end may have come meanwhile, and set an earlier one.
		if err := c.Conn.SetReadDeadline(asked); err != nil || cs.last.Load() == last {
			return err
		}
	}
}

func (cs *connections) count() (connections, addresses int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.open), len(cs.byOrigin)
}
