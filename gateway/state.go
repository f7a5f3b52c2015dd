package gateway

import (
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/console"
)

// ConsoleState returns the state of the gateway for the operators' page.
func (g *Gateway) ConsoleState() console.State {
	s := g.state.Load()
	entries, bytes := g.cache.Size()
	view := console.State{
		Version: g.version, StartedAt: g.started.UTC(), Listen: s.config.File.Server.Listen,
		InFlight: g.running.Load(), Keys: s.keys.Len(), CacheEntries: entries, CacheBytes: bytes + g.responses.Size(),
		Backends: make([]console.Backend, len(s.backends)),
	}
	for i, b := range s.backends {
		view.Backends[i] = consoleBackend(b)
	}
	return view
}

func consoleBackend(b *backend.Backend) console.Backend {
	s := b.Status()
	v := console.Backend{
		Name: b.Name, Provider: b.Info.Provider, Breaker: s.Breaker.State, RetryAfterS: s.Breaker.RetryAfterS, LastSuccessAt: s.LastSuccess,
		Running: s.Running, MaxConcurrent: s.MaxConcurrent, Credentials: s.Credentials,
	}
	if s.LowestQuota != nil {
		v.Quota = &console.Quota{Remaining: s.LowestQuota.Remaining, Limit: s.LowestQuota.Limit}
	}
	if s.LastFailure != nil {
		v.LastErrorAt, v.LastErrorCode = &s.LastFailure.At, s.LastFailure.Code
	}
	return v
}
