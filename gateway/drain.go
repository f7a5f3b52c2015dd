package gateway

import "time"

// Drain goes on answering, and has every answer end its connection, so that
// callers and load balancers turn to others before they are cut off. It returns
// after that time: who is not connected now may be about to.
func (s *Server) Drain(d time.Duration) {
	s.leaving.Store(true)
	time.Sleep(d)
}

// lastRequests is how long a request that is on its way when the listener closes
// has to arrive: one that trickles in must not hold the end up.
const lastRequests = time.Second
