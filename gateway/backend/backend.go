// Package backend is one configured connection to a provider: the chain of middlewares
// around a call and around each HTTP request of it (retry, circuit breaker, bulkhead,
// quota, health, tracing).
//
// It may not know callers, keys or HTTP requests to the gateway, and no provider by name.
// Begin with [New], which is the only place that orders both chains.
package backend

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/upstream"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/limit"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// Backend is one configured backend, assembled.
type Backend struct {
	Name     string
	Info     *adapters.Info
	Config   config.ResolvedBackend
	Endpoint Endpoint

	NewAdapter func(adapters.Settings) adapters.Adapter

	tenants    *tenants
	successor  atomic.Pointer[Backend] // at the same address, once it is configured anew
	Background *limit.FairQueue        // of reading agents behind others
	breaker    *breaker
	bulkhead   *bulkhead
	quotas     *quotas
	health     *health
	retries    *retryBudget
	client     *upstream.Client
}

// Options are what all backends have in common.
type Options struct {
	Version   string // of the gateway
	Log       *slog.Logger
	Telemetry *telemetry.Telemetry
	// Cache returns the middleware that caches what a backend returns.
	Cache func(*Backend) Middleware
}

// New assembles a backend. This is the only place that says what stands around a
// call, and in which order.
//
// A call passes, from the outside in:
//
//	recover   a panic becomes this call's error
//	compose   a get is made of the list where the provider's get is none, or lacks something
//	cache     cached answers are served; equal reads share one; a write drops what it changed
//	adapter   the call becomes the provider's requests
//
// and each of the adapter's requests, those below the retry each time that they
// are sent:
//
//	unchanged a reply that equals the last one is not decoded again
//	retry     a read whose failure may be transient is sent once more
//	breaker   a backend that keeps failing is not called
//	bulkhead  limits the concurrent requests of the backend and of each credential
//	quota     limits the requests of a credential per window
//	health    records the last success and the last failure of what was sent
//	trace     a span, a measurement and an entry of the request log
//	upstream  HTTP, within the backend's timeout
//
// TestOrder checks the code against this comment.
//
// A backend at the same address takes over its predecessor's quotas, health, concurrency
// slots, retry budget and, if it is configured alike, circuit breaker: what a provider was
// sent and answered outlives a reload.
func New(o Options, provider adapters.Provider, c config.ResolvedBackend, previous *Backend) *Backend {
	name, info := c.Name, provider.Info
	o.Telemetry.ForgetBackend(name)
	o.Telemetry.InitBackendCounters(name)
	b := &Backend{
		Name: name, Info: info, Config: c, NewAdapter: provider.New, tenants: newTenants(),
		Background: limit.NewFairQueue(backgroundReads(c.MaxConcurrent)), bulkhead: newBulkhead(info.Provider, c.MaxConcurrent),
		quotas: newQuotas(), health: &health{}, retries: &retryBudget{},
		client: upstream.New(upstream.Options{
			Provider: info.Provider, BaseURL: c.BaseURL, Timeout: c.Timeout.D(),
			MaxResponseBytes: int64(c.MaxResponseBytes), UserAgent: "agentgw/" + o.Version,
		}),
	}
	if previous != nil && previous.Config.Provider == c.Provider && previous.Config.BaseURL.String() == c.BaseURL.String() {
		b.takeOver(previous)
	}
	if b.breaker == nil {
		b.breaker = newBreaker(name, info.Provider, c.Breaker, o.breakerChanged(name))
	}
	b.quotas.limit(c.Quota)
	o.Telemetry.ObserveBreaker(name, b.breaker.state)
	o.Telemetry.ObserveQuota(name, b.quotas.lowest)
	retries := &retries{backend: name, timeout: c.Timeout.D(), closed: func() bool { return b.breaker.state() == "closed" }, budget: b.retries}
	roundTrip := chainRoundTrip(b.client.RoundTrip,
		skipUnchanged,
		retries.middleware(o.Telemetry),
		b.breaker.middleware(),
		b.bulkhead.middleware(b),
		b.quotas.middleware(b),
		b.health.middleware(name, o.Log),
		traceRoundTrip(o.Telemetry, b),
	)
	adapter := provider.New(adapters.Settings{Backend: name, RoundTrip: roundTrip})
	b.Endpoint = Chain(CallAdapter(adapter, b),
		recoverPanics(b, o.Log),
		compose(b, o.Log),
		o.Cache(b),
	)
	return b
}

// takeOver continues with the state of the backend that was at the same address before.
func (b *Backend) takeOver(previous *Backend) {
	b.quotas, b.health, b.retries = previous.quotas, previous.health, previous.retries
	b.bulkhead.places = previous.bulkhead.places
	previous.successor.Store(b)
	if previous.Background.Size == b.Background.Size {
		b.Background = previous.Background
	}
	if previous.Config.Breaker == b.Config.Breaker {
		b.breaker = previous.breaker
	}
}

// IsConfiguredAs reports whether the backend has that configuration.
func (b *Backend) IsConfiguredAs(c config.ResolvedBackend) bool {
	own := b.Config
	if (own.Quota == nil) != (c.Quota == nil) || own.Quota != nil && *own.Quota != *c.Quota {
		return false
	}
	own.Quota, c.Quota = nil, nil
	return own.BaseURL.String() == c.BaseURL.String() && own.Backend == c.Backend
}

// RetainCredentials forgets all credentials but those of these ids.
func (b *Backend) RetainCredentials(ids map[string]bool) {
	b.bulkhead.tenants.Store(int32(len(ids)))
	b.bulkhead.places.Retain(ids)
	b.quotas.forget(ids)
	b.tenants.forget(ids)
	b.client.Keep(ids)
}

// Close closes the connections to the backend.
func (b *Backend) Close() { b.client.Close() }

// BreakerState returns the state of the circuit breaker: closed, open or half_open.
func (b *Backend) BreakerState() string { return b.breaker.state() }

// breakerChanged reports a change of a breaker's state. It runs under the breaker's lock and
// must not call the breaker.
func (o Options) breakerChanged(backend string) func(from, to string, openFor time.Duration) {
	return func(from, to string, openFor time.Duration) {
		o.Telemetry.CountBreakerTransition(backend, from, to)
		o.Telemetry.Journal.AddEvent(journal.Event{Kind: "breaker", Backend: backend, From: from, To: to})
		attributes := []any{"backend", backend, "from", from, "to", to}
		if openFor > 0 {
			attributes = append(attributes, "open_for", openFor.Round(time.Millisecond).String())
		}
		o.Log.Warn("breaker changed", attributes...)
	}
}

// Chain puts the middlewares around the endpoint, the first outermost.
func Chain(e Endpoint, ms ...Middleware) Endpoint {
	for i := len(ms) - 1; i >= 0; i-- {
		e = ms[i](e)
	}
	return e
}

func chainRoundTrip(e adapters.RoundTrip, ms ...RoundTripMiddleware) adapters.RoundTrip {
	for i := len(ms) - 1; i >= 0; i-- {
		e = ms[i](e)
	}
	return e
}

// backgroundReads is how many agents are read of a backend at a time for lists in
// full view and refreshes, over all requests: the rest of what it can do at once
// is for those who wait for a list, one agent or a write.
func backgroundReads(maxConcurrent int) int { return max(1, min(8, maxConcurrent/2)) }
