package gateway

import "time"

// Drain goes on answering, and has every answer end its connection, so that
// callers and load balancers turn to others before they are cut off. It returns
// after that time, or at once if for as long nobody has been connected.
func (s *Server) Drain(d time.Duration) {
	s.leaving.Store(true)
	end, tick := time.NewTimer(d), time.NewTicker(drainLook)
	defer end.Stop()
	defer tick.Stop()
	for !s.connections.quiet(time.Now(), d) {
		select {
		case <-end.C:
			return
		case <-tick.C:
		}
	}
}

const drainLook = 50 * time.Millisecond

// lastRequests is how long a request that is on its way when the listener closes
// has to arrive: one that trickles in must not hold the end up.
const lastRequests = time.Second
