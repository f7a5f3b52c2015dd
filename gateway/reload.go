package gateway

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"

	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/api"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// state is everything that a configuration determines. It is immutable; a reload replaces it
// as a whole.
type state struct {
	config   *config.Config
	settings *api.Settings
	backends []*backend.Backend
	keys     *auth.Keyring
	cursors  *catalog.Sealer
}

// Reload replaces the configuration. Requests in progress keep the one that they began with.
// Backends that did not change keep their circuit breaker, quota and cache. What only removed
// keys could see is dropped from the caches. If the configuration is not valid, the current
// one stays.
func (g *Gateway) Reload(c *config.Config) error {
	if err := g.apply(c); err != nil {
		g.ReloadFailed()
		return err
	}
	recordReload(g.telemetry, "ok")
	return nil
}

// ReloadFailed records a reload whose configuration could not be read.
func (g *Gateway) ReloadFailed() { recordReload(g.telemetry, "error") }

func recordReload(t *telemetry.Telemetry, result string) {
	t.CountReload(result)
	t.Journal.AddEvent(journal.Event{Kind: "reload", To: result})
}

// apply makes the state of a configuration and replaces the current one, if there is one.
func (g *Gateway) apply(c *config.Config) error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	previous := g.state.Load()
	next := &state{config: c}
	var err error
	if next.cursors, err = sealerFor(c, previous); err != nil {
		return err
	}
	for _, b := range c.Backends {
		old := previous.backend(b.Name)
		if old != nil && old.IsConfiguredAs(b) {
			next.backends = append(next.backends, old)
			continue
		}
		provider, ok := g.providers[b.Provider]
		if !ok {
			return fmt.Errorf("backends.%s.provider: unknown provider %q", b.Name, b.Provider)
		}
		next.backends = append(next.backends, backend.New(g.backends, provider, b, old))
	}
	var keys *auth.Keyring
	if previous != nil {
		keys = previous.keys
	}
	next.keys = auth.NewKeyring(c.Keys, next.backends, g.slots, keys)
	next.settings = &api.Settings{Server: c.File.Server, Keys: next.keys}
	// A quarter of cache.max_bytes is for encoded responses.
	g.cache.Limit(c.File.Cache.MaxEntries, int64(c.File.Cache.MaxBytes)*3/4)
	g.responses.Limit(int64(c.File.Cache.MaxBytes) / 4)
	g.bodies.SetLimit(memoryShare(c.File.Server.MaxBodyBytes, 8, c.File.Server.BodyLimit))
	largest := config.Size(0)
	for _, b := range c.Backends {
		largest = max(largest, b.MaxResponseBytes)
	}
	g.upstream.SetLimit(memoryShare(c.File.Server.MaxUpstreamBytes, 4, largest))
	tenants := next.keys.Tenants()
	next.retainCredentials(tenants)
	ids := map[string]bool{}
	for _, id := range next.keys.IDs() {
		ids[id] = true
	}
	g.slots.Retain(ids)
	g.state.Store(next)
	g.cache.Retain(tenants)
	g.responses.Purge() // entries of removed keys would only take memory
	g.journal.RetainBackends(backendNames(next.backends))
	if previous != nil {
		closeRemoved(previous, next, g.telemetry)
		g.agents.ForgetKeys(previous.keys, next.keys)
		g.aliases.FollowRotations(context.Background())
	}
	return nil
}

// memoryShare returns a configured size, or that part of the memory limit if it is 0: at least
// twice the largest piece, since one key or credential gets half of it.
func memoryShare(configured config.Size, part int64, largest config.Size) int64 {
	if configured > 0 {
		return int64(configured)
	}
	total := debug.SetMemoryLimit(-1)
	if total == math.MaxInt64 { // no limit is known
		total = 1 << 30
	}
	return max(total/part, 2*int64(largest))
}

// sealerFor returns the sealer of cursors. It is the previous one unless the secret changed,
// so that cursors stay valid across reloads.
func sealerFor(c *config.Config, previous *state) (*catalog.Sealer, error) {
	if previous != nil && previous.config.CursorSecret.Reveal() == c.CursorSecret.Reveal() {
		return previous.cursors, nil
	}
	return catalog.NewSealer(c.CursorSecret)
}

// backend returns the backend of a name, or nil. The state may be nil.
func (s *state) backend(name string) *backend.Backend {
	if s == nil {
		return nil
	}
	for _, b := range s.backends {
		if b.Name == name {
			return b
		}
	}
	return nil
}

func backendNames(backends []*backend.Backend) []string {
	names := make([]string, len(backends))
	for i, b := range backends {
		names[i] = b.Name
	}
	return names
}

// retainCredentials makes each backend forget the credentials that no tenant has.
func (s *state) retainCredentials(tenants map[*backend.Tenant]bool) {
	for _, b := range s.backends {
		ids := map[string]bool{}
		for t := range tenants {
			if t.Backend == b {
				ids[t.CredentialID] = true
			}
		}
		b.RetainCredentials(ids)
	}
}

// closeRemoved closes the backends that are not in the next state, and ends the metrics of
// those whose name is gone.
func closeRemoved(previous, next *state, t *telemetry.Telemetry) {
	retained := map[*backend.Backend]bool{}
	for _, b := range next.backends {
		retained[b] = true
	}
	for _, b := range previous.backends {
		if retained[b] {
			continue
		}
		b.Close()
		if next.backend(b.Name) == nil {
			t.ForgetBackend(b.Name)
		}
	}
}
