// Package gateway assembles the gateway from its services, and rebuilds what depends on the
// configuration when that is reloaded.
//
// It is the only package that knows the whole configuration and all services. It handles no
// request itself: begin with [New], then continue with gateway/api, which every request
// passes first. docs/architecture.md describes the way of each kind of request.
//
// reload.go has what a configuration makes, operators.go what operators see and do.
package gateway

import (
	"context"
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
	"github.com/agentgw/agentgw/gateway/listener"
	"github.com/agentgw/agentgw/gateway/migration"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// Gateway is a running gateway. It is safe for concurrent use.
type Gateway struct {
	providers  map[string]adapters.Provider
	version    string
	started    time.Time
	inFlight   atomic.Int64         // requests on public listeners
	slots      *limit.FairSemaphore // shares server.max_inflight among keys
	bodies     *limit.Bytes         // server.max_body_bytes
	upstream   *limit.Bytes         // server.max_upstream_bytes
	log        *slog.Logger
	telemetry  *telemetry.Telemetry
	journal    *journal.RequestLog
	cache      *cache.Cache
	responses  *api.ResponseCache
	aliases    *alias.Service
	agents     *agents.Service
	migrations *migration.Service
	backends   backend.Options // what all backends have in common

	reloading sync.Mutex // held while state is replaced
	state     atomic.Pointer[state]
}

// Options are the dependencies of a Gateway. All but Store are required.
type Options struct {
	Providers []adapters.Provider
	Version   string
	Log       *slog.Logger
	Telemetry *telemetry.Telemetry
	// Store has aliases, migrations and idempotency records; without one, requests that need
	// them are refused. The caller closes it, after the Gateway.
	Store *sqlstore.Store
}

// New returns a gateway with that configuration.
func New(o Options, c *config.Config) (*Gateway, error) {
	g := &Gateway{
		providers: map[string]adapters.Provider{},
		version:   o.Version, log: o.Log, telemetry: o.Telemetry, journal: o.Telemetry.Journal, started: time.Now(),
		slots: limit.NewFairSemaphore(), bodies: limit.NewBytes(0), upstream: limit.NewBytes(0), responses: api.NewResponseCache(),
	}
	for _, p := range o.Providers {
		g.providers[p.Info.Provider] = p
	}
	cipher, err := migration.NewCipher(c.StoreKey)
	if err != nil {
		return nil, err
	}
	g.cache = cache.New(o.Telemetry, g.journal)
	settings := func() config.Server { return g.state.Load().config.File.Server }
	g.backends = backend.Options{Version: o.Version, Log: o.Log, Telemetry: o.Telemetry, Memory: g.upstream, Cache: func(b *backend.Backend) backend.Middleware {
		return g.cache.Middleware(b, func() time.Duration { return settings().ReadBudget() }, o.Telemetry)
	}}
	g.telemetry.InitCounters(labelValues)
	if err := g.apply(c); err != nil {
		return nil, err
	}
	keys := func() *auth.Keyring { return g.state.Load().keys }
	g.aliases = alias.New(alias.Options{Store: o.Store, Log: o.Log, Keys: keys, OnChange: func(ids []string) {
		dropAgents(g.cache, keys().Tenants(), ids)
	}})
	g.aliases.FollowRotations(context.Background())
	g.agents = agents.New(agents.Options{
		Log: o.Log, Telemetry: o.Telemetry, Store: o.Store, Aliases: g.aliases,
		Forget: func(b auth.CallerBackend, nativeID string) {
			g.cache.Invalidate(b.Tenant(b.Credential), nativeID)
		},
		Settings: settings, Cursors: func() *catalog.Sealer { return g.state.Load().cursors },
	})
	g.migrations = migration.New(migration.Options{
		Log: o.Log, Telemetry: o.Telemetry, Store: o.Store, Cipher: cipher, Aliases: g.aliases, Agents: g.agents, Keys: keys,
	})
	g.agents.OnRead = g.migrations.OnRead // migrations read agents, and agents report reads to migrations
	g.telemetry.ObserveInFlight(g.inFlight.Load)
	g.telemetry.ObserveStore(g.aliases.State)
	g.telemetry.ObserveCache(g.cache.Size, g.responses.Size)
	return g, nil
}

// NewServer returns a server of the public API.
func (g *Gateway) NewServer() *api.Server {
	return api.NewServer(api.Options{
		Version: g.version, Providers: infosOf(g.providers), Log: g.log, Telemetry: g.telemetry,
		Agents: g.agents, Aliases: g.aliases, Migrations: g.migrations,
		Responses: g.responses, IsFresh: g.cache.IsFresh, Slots: g.slots, InFlight: &g.inFlight, Bodies: g.bodies,
		Current: func() *api.Settings { return g.state.Load().settings },
	})
}

// NewAdmin returns the handlers of the operators' listener. reload reads the configuration
// again, applies it, and returns the settings whose change needs a restart.
func (g *Gateway) NewAdmin(reload func() (needRestart []string, err error)) *admin.Admin {
	return admin.New(admin.Options{
		Gateway: g, Journal: g.journal, Metrics: g.telemetry.Metrics(), Reload: reload,
		Log: g.log, Access: func() admin.Access { return accessOf(g.state.Load().config) },
		Migrations: func(ctx context.Context, id string) console.Migrations {
			return admin.MigrationsState(ctx, g.migrations, id)
		},
	})
}

// accessOf returns who may use the operators' listener.
func accessOf(c *config.Config) admin.Access {
	access := admin.Access{Hosts: c.File.Admin.Hosts, MetricsOpen: c.File.Admin.MetricsOpen}
	for _, k := range c.AdminKeys {
		access.Keys = append(access.Keys, admin.Key{ID: k.ID, Hash: k.Hash, ExpiresAt: k.ExpiresAt})
	}
	return access
}

// infosOf describes what the providers support, sorted by name.
func infosOf(providers map[string]adapters.Provider) []*adapters.Info {
	var infos []*adapters.Info
	for _, p := range providers {
		infos = append(infos, p.Info)
	}
	slices.SortFunc(infos, func(a, b *adapters.Info) int { return strings.Compare(a.Provider, b.Provider) })
	return infos
}

// dropAgents drops agents from the snapshot cache, for every tenant of their backends. ids may
// also contain the names of aliases, which are ignored.
func dropAgents(c *cache.Cache, tenants map[*backend.Tenant]bool, ids []string) {
	for _, text := range ids {
		id, err := normalize.ParseID(text)
		if err != nil {
			continue
		}
		for t := range tenants {
			if t.Backend.Name == id.Backend {
				c.Invalidate(t, id.Native)
			}
		}
	}
}

// labelValues are the values of the counters' labels, other than backends.
var labelValues = telemetry.LabelValues{
	MigrationSteps: api.Texts(migrate.Steps()),
	Fields:         migration.ShadowFields(),
	CacheResults:   []string{string(backend.CacheHit), string(backend.CacheMiss), string(backend.CacheStale), string(backend.CacheCoalesced), string(backend.CacheBypass)},
	AuthFailures:   []string{auth.ReasonMissing, auth.ReasonMalformed, auth.ReasonUnknown, auth.ReasonNotYet, auth.ReasonExpired},
	Refusals:       []string{api.RefusedInFlight, api.RefusedShare, listener.RefusedConnections, listener.RefusedAddress},
	IdempotentCreates: []string{
		agents.IdempotentInProgress, agents.IdempotentReused, agents.IdempotentRefused, agents.IdempotentReplayed, agents.IdempotentFound, agents.IdempotentCreated, agents.IdempotentLost, agents.IdempotentNotCreated,
	},
}

// Close stops the background work of the services and closes the connections to the backends.
// No server may serve requests any more.
func (g *Gateway) Close() {
	g.aliases.Close()
	g.migrations.Close()
	for _, b := range g.state.Load().backends {
		b.Close()
	}
}
