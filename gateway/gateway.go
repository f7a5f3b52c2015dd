// Package gateway assembles the gateway out of its parts, and swaps what a configuration
// makes when it is reloaded.
//
// It is the only package that knows the whole configuration and all the services. It holds
// no logic of a request: begin with [New], then go to gateway/api, which every request
// passes first. docs/architecture.md has the way of each kind of request.
package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/admin"
	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/api"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/cache"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/console"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/limit"
	"github.com/agentgw/agentgw/gateway/migration"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// Gateway answers requests by one configuration at a time. It is safe for
// concurrent use.
type Gateway struct {
	providers  map[string]adapters.Provider
	version    string
	started    time.Time
	running    atomic.Int64         // requests of callers
	byKey      *limit.FairSemaphore // those of each key
	log        *slog.Logger
	telemetry  *telemetry.Telemetry
	journal    *journal.RequestLog
	cache      *cache.Cache
	responses  *api.ResponseCache
	aliases    *alias.Service
	agents     *agents.Service
	migrations *migration.Service

	reloading sync.Mutex
	state     atomic.Pointer[state]
}

// state is what a configuration makes; a reload swaps it whole.
type state struct {
	config   *config.Config
	settings *api.Settings
	backends []*backend.Backend
	keys     *auth.Keyring
	cursors  *catalog.Sealer
}

// Options are what a Gateway is made of.
type Options struct {
	Providers []adapters.Provider
	Version   string
	Log       *slog.Logger
	Telemetry *telemetry.Telemetry
	// Store keeps what outlives the process; nil for none. It is its owner's to close.
	Store *sqlstore.Store
}

// New makes a gateway that answers by the configuration.
func New(o Options, c *config.Config) (*Gateway, error) {
	g := &Gateway{
		providers: map[string]adapters.Provider{},
		version:   o.Version, log: o.Log, telemetry: o.Telemetry, journal: o.Telemetry.Journal, started: time.Now(),
		byKey: limit.NewFairSemaphore(), responses: api.NewResponseCache(),
	}
	for _, p := range o.Providers {
		g.providers[p.Info.Provider] = p
	}
	cipher, err := migration.NewCipher(c.StoreKey)
	if err != nil {
		return nil, err
	}
	g.cache = cache.New(o.Telemetry, g.journal)
	g.telemetry.InitCounters(labelValues)
	g.telemetry.ObserveInFlight(g.running.Load)
	g.telemetry.ObserveStore(func() (up bool, aliases int) { return g.aliases.State() })
	g.telemetry.ObserveCache(g.cache.Size, g.responses.Size)
	g.agents = agents.New(agents.Options{
		Log: o.Log, Telemetry: o.Telemetry, Store: o.Store,
		Settings: g.settings, Cursors: func() *catalog.Sealer { return g.state.Load().cursors },
	})
	if err := g.apply(c); err != nil {
		return nil, err
	}
	keys := func() *auth.Keyring { return g.state.Load().keys }
	g.aliases = alias.New(alias.Options{Store: o.Store, Log: o.Log, Keys: keys, OnChange: g.dropAgents})
	g.agents.Aliases = g.aliases
	g.migrations = migration.New(migration.Options{
		Log: o.Log, Telemetry: o.Telemetry, Store: o.Store, Cipher: cipher, Aliases: g.aliases, Agents: g.agents, Keys: keys,
	})
	g.agents.OnRead = g.migrations.OnRead
	return g, nil
}

// NewServer returns a public listener of the gateway.
func (g *Gateway) NewServer() *api.Server {
	return api.NewServer(api.Options{
		Version: g.version, Providers: g.infos(), Log: g.log, Telemetry: g.telemetry,
		Agents: g.agents, Aliases: g.aliases, Migrations: g.migrations,
		Responses: g.responses, IsFresh: g.cache.IsFresh, Slots: g.byKey, InFlight: &g.running,
		Current: func() *api.Settings { return g.state.Load().settings },
	})
}

// infos returns what the providers can do, by name.
func (g *Gateway) infos() []*adapters.Info {
	var infos []*adapters.Info
	for _, p := range g.providers {
		infos = append(infos, p.Info)
	}
	slices.SortFunc(infos, func(a, b *adapters.Info) int { return strings.Compare(a.Provider, b.Provider) })
	return infos
}

// NewAdmin returns the operators' listener of the gateway. reload reads the configuration
// again and returns the settings that changed and need a restart.
func (g *Gateway) NewAdmin(reload func() (needRestart []string, err error)) *admin.Admin {
	return admin.New(admin.Options{Gateway: g, Journal: g.journal, Metrics: g.telemetry.Metrics(), Migrations: func(ctx context.Context, id string) console.Migrations {
		return admin.MigrationsState(ctx, g.migrations, id)
	}, Reload: reload})
}

// ProfilingEnabled reports whether admin.pprof is on.
func (g *Gateway) ProfilingEnabled() bool { return g.state.Load().config.File.Admin.Pprof }

func (g *Gateway) settings() config.Server { return g.state.Load().config.File.Server }

// dropAgents drops the agents of these ids from the cache, as every credential sees them.
func (g *Gateway) dropAgents(ids []string) {
	principals := g.state.Load().keys.Tenants()
	for _, text := range ids {
		id, err := normalize.ParseID(text)
		if err != nil {
			continue // a slug
		}
		for p := range principals {
			if p.Backend.Name == id.Backend {
				g.cache.Invalidate(p, id.Native)
			}
		}
	}
}

// labelValues are what counters can be of.
var labelValues = telemetry.LabelValues{
	MigrationSteps: api.Texts(migrate.Steps()),
	Fields:         migration.ShadowFields(),
	CacheResults:   []string{string(backend.CacheHit), string(backend.CacheMiss), string(backend.CacheStale), string(backend.CacheCoalesced), string(backend.CacheBypass)},
	AuthFailures:   []string{auth.ReasonMissing, auth.ReasonMalformed, auth.ReasonUnknown, auth.ReasonNotYet, auth.ReasonExpired},
	Refusals:       []string{api.RefusedInFlight, api.RefusedShare, api.RefusedConnections, api.RefusedAddress},
	IdempotentCreates: []string{
		agents.IdempotentInProgress, agents.IdempotentReused, agents.IdempotentRefused, agents.IdempotentReplayed, agents.IdempotentFound, agents.IdempotentCreated, agents.IdempotentLost, agents.IdempotentNotCreated,
	},
}

// Reload swaps the configuration. Requests that run keep the one they began
// with. Backends that did not change keep their breaker, quota and cache; what
// only removed keys could see is dropped.
func (g *Gateway) Reload(c *config.Config) error {
	err := g.apply(c)
	if err != nil {
		g.ReloadFailed()
		return err
	}
	g.reloaded("ok")
	return nil
}

// ReloadFailed counts a configuration that was refused before it came here.
func (g *Gateway) ReloadFailed() { g.reloaded("error") }

func (g *Gateway) reloaded(result string) {
	g.telemetry.CountReload(result)
	g.journal.AddEvent(journal.Event{Kind: "reload", To: result})
}

func (g *Gateway) apply(c *config.Config) error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	previous := g.state.Load()
	next := &state{config: c}
	var err error
	if next.cursors, err = g.cursors(c, previous); err != nil {
		return err
	}
	for _, b := range c.Backends {
		old := named(previous, b.Name)
		if old != nil && old.IsConfiguredAs(b) {
			next.backends = append(next.backends, old)
			continue
		}
		provider, ok := g.providers[b.Provider]
		if !ok {
			return fmt.Errorf("backends.%s.provider: there is no provider %q", b.Name, b.Provider)
		}
		next.backends = append(next.backends, backend.New(g.backendOptions(), provider, b, old))
	}
	var ring *auth.Keyring
	if previous != nil {
		ring = previous.keys
	}
	next.keys = auth.NewKeyring(c.Keys, next.backends, g.byKey, ring)
	// A quarter of the bytes is for encoded responses.
	next.settings = &api.Settings{Server: c.File.Server, Keys: next.keys}
	g.cache.Limit(c.File.Cache.MaxEntries, int64(c.File.Cache.MaxBytes)*3/4)
	g.responses.Limit(int64(c.File.Cache.MaxBytes) / 4)
	inUse := next.keys.Tenants()
	g.share(next, inUse)
	g.state.Store(next)
	g.cache.Retain(inUse)
	g.responses.Purge() // a removed key leaves nothing behind
	g.journal.RetainBackends(backendNames(next.backends))
	if previous != nil {
		g.retire(previous, next)
		g.agents.ForgetKeys(previous.keys, next.keys)
	}
	return nil
}

// cursors keeps the sealing key unless the secret changed: walks go on.
func (g *Gateway) cursors(c *config.Config, previous *state) (*catalog.Sealer, error) {
	if previous != nil && previous.config.CursorSecret.Reveal() == c.CursorSecret.Reveal() {
		return previous.cursors, nil
	}
	return catalog.NewSealer(c.CursorSecret)
}

// named is the backend of that name; nil for none.
func named(s *state, name string) *backend.Backend {
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

// backendOptions returns what all backends have in common.
func (g *Gateway) backendOptions() backend.Options {
	return backend.Options{Version: g.version, Log: g.log, Telemetry: g.telemetry, Cache: func(b *backend.Backend) backend.Middleware {
		return g.cache.Middleware(b, func() time.Duration { return g.settings().ReadBudget() }, g.telemetry)
	}}
}

// retire lets go of what the next state has no use for.
func (g *Gateway) retire(previous, next *state) {
	kept := map[*backend.Backend]bool{}
	for _, b := range next.backends {
		kept[b] = true
	}
	for _, b := range previous.backends {
		if kept[b] {
			continue
		}
		b.Close()
		if named(next, b.Name) == nil {
			g.telemetry.ForgetBackend(b.Name)
		}
	}
}

// share tells each backend who asks it, and forgets who asks no more.
func (g *Gateway) share(s *state, inUse map[*backend.Tenant]bool) {
	for _, b := range s.backends {
		ids := map[string]bool{}
		for p := range inUse {
			if p.Backend == b {
				ids[p.CredentialID] = true
			}
		}
		b.RetainCredentials(ids)
	}
	keys := map[string]bool{}
	for _, id := range s.keys.IDs() {
		keys[id] = true
	}
	g.byKey.Retain(keys)
}

// Purge drops what is cached, of one backend or of what one key sees if they are named,
// and returns the number of entries.
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
	return g.cache.Purge(func(p *backend.Tenant) bool {
		return (backendName == "" || p.Backend.Name == backendName) && (visible == nil || visible[p])
	})
}

// UnknownName returns a message about a backend or a key that does not exist, or an empty
// string. Empty names are not checked.
func (g *Gateway) UnknownName(backend, keyID string) string {
	s := g.state.Load()
	if backend != "" && named(s, backend) == nil {
		return unknownName("backend", backend, backendNames(s.backends))
	}
	if keyID != "" && s.keys.Caller(keyID) == nil {
		return unknownName("key", keyID, s.keys.IDs())
	}
	return ""
}

func unknownName(what, name string, valid []string) string {
	text := fmt.Sprintf("there is no %s %q", what, normalize.Shorten(name))
	if near := normalize.Nearest(name, valid); near != "" {
		text += "; did you mean " + near + "?"
	}
	return text
}

// Close ends what runs beside requests, and gives back the connections to the backends.
func (g *Gateway) Close() {
	g.aliases.Close()
	g.migrations.Close()
	for _, b := range g.state.Load().backends {
		b.Close()
	}
}
