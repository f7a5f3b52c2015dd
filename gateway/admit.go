package gateway

import "time"

// Why requests and connections are turned away, as agentgw_refused_total has it.
const (
	refusedInFlight    = "max_inflight"
	refusedShare       = "fair_share"
	refusedConnections = "max_connections"
	refusedAddress     = "max_connections_per_address"
)

// admit refuses what is above max_inflight at once, rather than late; so many requests run,
// this one among them.
func (s *Server) admit(x *exchange, running int64) error {
	if running > int64(x.state.config.File.Server.MaxInflight) {
		s.gateway.telemetry.Refused(refusedInFlight)
		return overloaded("server.max_inflight requests are running")
	}
	if s.closing.Load() {
		p := newProblem(CodeDraining, "this gateway stops; another one, or its successor, answers at the same address")
		p.RetryAfter = time.Second
		return p
	}
	return nil
}

// share gives a key its share of max_inflight, until it leaves it.
func (s *Server) share(state *state, caller *Caller) error {
	if !s.gateway.byKey.take(caller.place, state.config.File.Server.MaxInflight, len(state.keys.byHash) > 1) {
		s.gateway.telemetry.Refused(refusedShare)
		return overloaded("the key has its share of server.max_inflight requests running")
	}
	return nil
}

func overloaded(detail string) *Problem {
	p := newProblem(CodeOverloaded, "%s", detail)
	p.RetryAfter = time.Second
	return p
}
