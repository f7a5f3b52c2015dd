package gateway

import (
	"sync/atomic"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/upstream"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/journal"
)

// Backend is one configured backend, assembled.
type Backend struct {
	Name     string
	Info     *adapters.Info
	Config   config.ResolvedBackend
	Endpoint Endpoint

	newAdapter func(adapters.Settings) adapters.Adapter

	principals *principals
	successor  atomic.Pointer[Backend] // at the same address, once it is configured anew
	behind     *turns                  // of reading agents behind others
	breaker    *breaker
	bulkhead   *bulkhead
	quotas     *quotas
	health     *health
	retries    *retryBudget
	client     *upstream.Client
}

// build assembles a backend. This is the only place that says what stands
// around a call, and in which order.
//
// A call passes, from the outside in:
//
//	recover   a panic becomes this call's error
//	compose   a get is made of the list where the vendor's get is none, or lacks something
//	cache     what is known is served; equal reads share one; a write drops what it changed
//	adapter   the call becomes the vendor's requests
//
// and each of the adapter's requests, those below the retry each time that they
// are sent:
//
//	unchanged a reply that is the same as before is not decoded again
//	retry     a read whose failure may be a passing one is sent once more
//	breaker   a backend that keeps failing is not asked
//	bulkhead  a backend gets only so many requests at once, a credential its share
//	quota     a credential gets only so many requests in a time
//	health    notes the last success and the last failure of what does leave
//	trace     a span, a measurement and a line of the journal
//	upstream  HTTP, within the backend's timeout
//
// TestOrder holds the code against this comment.
//
// What a vendor has been asked and has said outlives a reload: a backend at the
// same address takes over its predecessor's quotas, health, places in the bulkhead,
// retry budget and, unless it is configured anew, breaker.
func (g *Gateway) build(provider adapters.Provider, b config.ResolvedBackend, previous *Backend) *Backend {
	name, info := b.Name, provider.Info
	g.telemetry.ForgetBackend(name)
	g.telemetry.InitBackendCounters(name)
	backend := &Backend{
		Name: name, Info: info, Config: b, newAdapter: provider.New, principals: newPrincipals(),
		behind: newTurns(behindAtOnce(b.MaxConcurrent)), bulkhead: newBulkhead(info.Provider, b.MaxConcurrent),
		quotas: newQuotas(), health: &health{}, retries: &retryBudget{},
		client: upstream.New(upstream.Options{
			Provider: info.Provider, BaseURL: b.BaseURL, Timeout: b.Timeout.D(),
			MaxResponseBytes: int64(b.MaxResponseBytes), UserAgent: "agentgw/" + g.version,
		}),
	}
	if same := previous != nil && previous.Config.Provider == b.Provider && previous.Config.BaseURL.String() == b.BaseURL.String(); same {
		backend.quotas, backend.health, backend.retries = previous.quotas, previous.health, previous.retries
		backend.bulkhead.places = previous.bulkhead.places
		previous.successor.Store(backend)
		if previous.behind.size == backend.behind.size {
			backend.behind = previous.behind
		}
		if previous.Config.Breaker == b.Breaker {
			backend.breaker = previous.breaker
		}
	}
	if backend.breaker == nil {
		backend.breaker = newBreaker(name, info.Provider, b.Breaker, g.breakerChanged(name))
	}
	backend.quotas.limit(b.Quota)
	g.telemetry.ObserveBreaker(name, backend.breaker.state)
	g.telemetry.ObserveQuota(name, backend.quotas.lowest)
	retries := &retries{backend: name, timeout: b.Timeout.D(), closed: func() bool { return backend.breaker.state() == "closed" }, budget: backend.retries}
	exchange := chainRoundTrip(backend.client.RoundTrip,
		skipUnchanged,
		retries.middleware(g.telemetry),
		backend.breaker.middleware(),
		backend.bulkhead.middleware(backend),
		backend.quotas.middleware(backend),
		backend.health.middleware(name, g.log),
		traceRoundTrip(g.telemetry, backend),
	)
	adapter := provider.New(adapters.Settings{Backend: name, RoundTrip: exchange})
	backend.Endpoint = chain(callAdapter(adapter, backend),
		recoverPanics(backend, g.log),
		compose(backend, g.log),
		g.cache.middleware(backend, func() time.Duration { return g.settings().ReadBudget() }, g.telemetry),
	)
	return backend
}

// breakerChanged tells those who count, look and read of it. It runs under the breaker's
// lock: nothing here may ask the breaker.
func (g *Gateway) breakerChanged(backend string) func(from, to string, openFor time.Duration) {
	return func(from, to string, openFor time.Duration) {
		g.telemetry.CountBreakerTransition(backend, from, to)
		g.journal.AddEvent(journal.Event{Kind: "breaker", Backend: backend, From: from, To: to})
		said := []any{"backend", backend, "from", from, "to", to}
		if openFor > 0 {
			said = append(said, "open_for", openFor.Round(time.Millisecond).String())
		}
		g.log.Warn("breaker changed", said...)
	}
}

// chain puts the middlewares around the endpoint, the first outermost.
func chain(e Endpoint, ms ...Middleware) Endpoint {
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
