package gateway

import (
	"github.com/agentgw/agentgw/gateway/console"
)

// ConsoleState returns the state of the gateway for the operators' page.
func (g *Gateway) ConsoleState() console.State {
	s := g.state.Load()
	entries, bytes := g.cache.store.size()
	view := console.State{
		Version: g.version, StartedAt: g.started.UTC(), Listen: s.config.File.Server.Listen,
		InFlight: g.running.Load(), Keys: len(s.keys.byID), CacheEntries: entries, CacheBytes: bytes + g.responses.Size(),
		Backends: make([]console.Backend, len(s.backends)),
	}
	for i, b := range s.backends {
		view.Backends[i] = b.consoleState()
	}
	return view
}

func (b *Backend) consoleState() console.Backend {
	breaker := b.breaker.view()
	v := console.Backend{
		Name: b.Name, Provider: b.Info.Provider, Breaker: breaker.State, RetryAfterS: breaker.RetryAfterS, LastSuccessAt: b.health.lastSuccess(),
		Running: b.bulkhead.places.running(), MaxConcurrent: b.bulkhead.limit, Credentials: int(b.bulkhead.tenants.Load()),
	}
	if left, limit, known := b.quotas.lowest(); known {
		v.Quota = &console.Quota{Remaining: left, Limit: limit}
	}
	if failure := b.health.failure.Load(); failure != nil {
		v.LastErrorAt, v.LastErrorCode = &failure.At, failure.Code
	}
	return v
}
