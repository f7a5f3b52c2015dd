package gateway

import (
	"fmt"

	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/console"
	"github.com/agentgw/agentgw/normalize"
)

// ConsoleState returns the state of the gateway for the console.
func (g *Gateway) ConsoleState() console.State {
	s := g.state.Load()
	entries, bytes := g.cache.Size()
	view := console.State{
		Version: g.version, StartedAt: g.started.UTC(), Listen: s.config.File.Server.Listen,
		InFlight: g.inFlight.Load(), Keys: s.keys.Len(), CacheEntries: entries, CacheBytes: bytes + g.responses.Size(),
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

// ProfilingEnabled reports whether the setting admin.pprof is on.
func (g *Gateway) ProfilingEnabled() bool { return g.state.Load().config.File.Admin.Pprof }

// Purge empties the caches and returns the number of entries of the snapshot cache that it
// dropped. If a backend or a key is named, it drops only entries of that backend, or that the
// key can see.
func (g *Gateway) Purge(backendName, keyID string) int {
	var visible map[*backend.Tenant]bool
	if keyID != "" {
		visible = map[*backend.Tenant]bool{}
		if caller := g.state.Load().keys.Caller(keyID); caller != nil {
			for _, b := range caller.Backends {
				visible[b.Tenant(b.Credential)] = true
			}
		}
	}
	defer g.responses.Purge()
	return g.cache.Purge(func(t *backend.Tenant) bool {
		return (backendName == "" || t.Backend.Name == backendName) && (visible == nil || visible[t])
	})
}

// UnknownName returns a message about a backend or a key that does not exist, or an empty
// string. Empty names are not checked.
func (g *Gateway) UnknownName(backend, keyID string) string {
	s := g.state.Load()
	if backend != "" && s.backend(backend) == nil {
		return unknownName("backend", backend, backendNames(s.backends))
	}
	if keyID != "" && s.keys.Caller(keyID) == nil {
		return unknownName("key", keyID, s.keys.IDs())
	}
	return ""
}

func unknownName(what, name string, valid []string) string {
	text := fmt.Sprintf("unknown %s %q", what, normalize.Shorten(name))
	if near := normalize.Nearest(name, valid); near != "" {
		text += "; did you mean " + near + "?"
	}
	return text
}
