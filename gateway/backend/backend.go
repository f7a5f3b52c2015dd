// Package backend is one configured connection to a provider: the chain of middlewares
// around a call and around each HTTP request of it (retry, circuit breaker, bulkhead,
// quota, health, tracing).
//
// It may not know callers, keys or HTTP requests to the gateway, and no provider by name.
// Begin with [New], the only place that orders both chains.
package backend

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/upstream"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/limit"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// Backend is one configured backend. It is safe for concurrent use.
type Backend struct {
	Name     string
	Info     *adapters.Info
	Config   config.ResolvedBackend
	Endpoint Endpoint // the outermost of the call's chain

	// NewAdapter returns another adapter for the provider.
	NewAdapter func(adapters.Settings) adapters.Adapter

	tenants     *tenants
	successor   atomic.Pointer[Backend] // the backend at the same address after a reload
	background  *limit.FairQueue        // gets with background priority
	breaker     *breaker
	bulkhead    *bulkhead
	quotas      *quotas
	health      *health
	retryBudget *retryBudget
	client      *upstream.Client
}

// Options are what all backends share.
type Options struct {
	Version   string // of the gateway
	Log       *slog.Logger
	Telemetry *telemetry.Telemetry
	// Memory bounds the responses of all backends together; nil for no bound.
	Memory *limit.Bytes
	// Cache returns the caching middleware of a backend.
	Cache func(*Backend) Middleware
}

// New returns a backend with its chains. This is the only place that defines which
// middlewares there are and their order.
//
// A call passes, from the outside in:
//
//	recover   turns a panic into an error of this call
//	checkID   refuses ids that the provider cannot have
//	compose   completes a get with the list, or replaces it where the provider has none
//	cache     serves cached results, coalesces equal reads, invalidates after writes
//	adapter   turns the call into requests of the provider's API
//
// Each of the adapter's requests passes, from retry on once for each attempt:
//
//	unchanged skips decoding a response that equals the last one
//	retry     sends a read again after a failure that may be transient
//	breaker   refuses requests while the backend keeps failing, or fails for one account
//	bulkhead  limits the concurrent requests of the backend and of each credential
//	quota     limits the requests of a credential per window
//	health    records the last success and the last failure
//	trace     records a span, metrics and an entry of the request log
//	upstream  sends the request over HTTP, within the backend's timeout
//
// TestNew_ChainOrderMatchesComment checks the code against this comment.
//
// A backend at the same address as previous takes over its quotas, health, concurrency
// slots and retry budget and, if the breaker is configured alike, its circuit breaker: what
// the provider received and returned outlives a reload.
func New(o Options, provider adapters.Provider, c config.ResolvedBackend, previous *Backend) *Backend {
	name, info := c.Name, provider.Info
	var memory upstream.Memory
	if o.Memory != nil {
		memory = o.Memory
	}
	o.Telemetry.ForgetBackend(name)
	o.Telemetry.InitBackendCounters(name)
	b := &Backend{
		Name: name, Info: info, Config: c, NewAdapter: provider.New, tenants: newTenants(),
		background: limit.NewFairQueue(backgroundSlots(c.MaxConcurrent)), bulkhead: newBulkhead(info.Provider, c.MaxConcurrent),
		quotas: newQuotas(), health: &health{}, retryBudget: &retryBudget{},
		client: upstream.New(upstream.Options{
			Provider: info.Provider, BaseURL: c.BaseURL, Timeout: c.Timeout.D(),
			MaxResponseBytes: int64(c.MaxResponseBytes), MaxAgentBytes: int64(c.MaxAgentBytes), Memory: memory, UserAgent: "agentgw/" + o.Version,
		}),
	}
	if previous != nil && previous.Config.Provider == c.Provider && previous.Config.BaseURL.String() == c.BaseURL.String() {
		b.takeOver(previous)
	}
	if b.breaker == nil {
		b.breaker = newBreaker(name, info.Provider, c.Breaker, o.breakerChanged(name), o.accountBreakerChanged(name))
	}
	b.quotas.setRate(c.Quota)
	o.Telemetry.ObserveBreaker(name, b.breaker.state)
	o.Telemetry.ObserveQuota(name, b.quotas.lowest)
	retries := &retrier{backend: name, timeout: c.Timeout.D(), breakerClosed: func(credential string) bool { return b.breaker.forAccount(credential).state() == "closed" }, budget: b.retryBudget}
	roundTrip := chain[adapters.RoundTrip](b.client.RoundTrip,
		skipUnchanged,
		relayErrors(c.RelayErrors),
		retries.middleware(o.Telemetry),
		b.breaker.middleware(),
		b.bulkhead.middleware(b),
		b.quotas.middleware(b),
		b.health.middleware(name, o.Log),
		traceRoundTrip(o.Telemetry, b),
	)
	adapter := provider.New(adapters.Settings{Backend: name, RoundTrip: roundTrip})
	b.Endpoint = chain[Endpoint](CallAdapter(adapter, b),
		recoverPanics(b, o.Log),
		checkID(b),
		compose(b, o.Log),
		o.Cache(b),
	)
	return b
}

// takeOver continues with the state of the previous backend at the same address.
func (b *Backend) takeOver(previous *Backend) {
	b.quotas, b.health, b.retryBudget = previous.quotas, previous.health, previous.retryBudget
	b.bulkhead.semaphore = previous.bulkhead.semaphore
	previous.successor.Store(b)
	if previous.background.Size() == b.background.Size() {
		b.background = previous.background
	}
	if previous.Config.Breaker == b.Config.Breaker {
		b.breaker = previous.breaker
	}
}

// IsConfiguredAs reports whether the backend was made from an equal configuration.
func (b *Backend) IsConfiguredAs(c config.ResolvedBackend) bool {
	own := b.Config
	if (own.Quota == nil) != (c.Quota == nil) || own.Quota != nil && *own.Quota != *c.Quota {
		return false
	}
	own.Quota, c.Quota = nil, nil
	return own.BaseURL.String() == c.BaseURL.String() && own.Backend == c.Backend
}

// RetainCredentials drops the state and the connections of all credentials but those with
// these IDs.
func (b *Backend) RetainCredentials(ids map[string]bool) {
	b.bulkhead.credentials.Store(int32(len(ids)))
	b.bulkhead.semaphore.Retain(ids)
	b.quotas.retain(ids)
	b.tenants.retain(ids)
	b.breaker.retain(ids)
	b.client.Keep(ids)
}

// Close closes the connections to the backend.
func (b *Backend) Close() { b.client.Close() }

// BreakerState returns the state of the circuit breaker: closed, open or half_open.
func (b *Backend) BreakerState() string { return b.breaker.state() }

// AcquireBackground waits for a slot for a get with background priority. Tenants take
// turns. ok is false if ctx ended first; release must be called otherwise.
func (b *Backend) AcquireBackground(ctx context.Context, t *Tenant) (release func(), ok bool) {
	return b.background.Acquire(ctx.Done(), t.CredentialID)
}

// BackgroundSlots returns how many gets with background priority run at a time.
func (b *Backend) BackgroundSlots() int { return b.background.Size() }

// breakerChanged returns the function that reports changes of a breaker's state. It runs
// under the breaker's lock and must not call the breaker.
func (o Options) breakerChanged(backend string) func(from, to string, openFor time.Duration) {
	return func(from, to string, openFor time.Duration) {
		o.Telemetry.CountBreakerTransition(backend, from, to)
		o.Telemetry.Journal.AddEvent(journal.Event{Kind: "breaker", Backend: backend, From: from, To: to})
		attributes := []any{"backend", backend, "from", from, "to", to}
		if openFor > 0 {
			attributes = append(attributes, "open_for", openFor.Round(time.Millisecond).String())
		}
		o.Log.Warn("circuit breaker state changed", attributes...)
	}
}

// accountBreakerChanged returns the function that reports changes of the breaker of one
// account. Which account it is, the metrics and the log do not say.
func (o Options) accountBreakerChanged(backend string) func(from, to string, openFor time.Duration) {
	return func(from, to string, openFor time.Duration) {
		o.Log.Warn("circuit breaker of one account changed state; other accounts are not affected", "backend", backend, "from", from, "to", to, "open_for", openFor.Round(time.Millisecond).String())
	}
}

// chain wraps an Endpoint or a RoundTrip in the middlewares, the first outermost.
func chain[T any](inner T, middlewares ...func(T) T) T {
	for _, wrap := range slices.Backward(middlewares) {
		inner = wrap(inner)
	}
	return inner
}

// backgroundSlots returns how many gets with background priority may run at a time, so that
// lists in full view and refreshes leave capacity for foreground requests.
func backgroundSlots(maxConcurrent int) int { return max(1, min(8, maxConcurrent/2)) }
