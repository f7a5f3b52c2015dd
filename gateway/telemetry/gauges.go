package telemetry

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// gauges are the metrics whose current value is read whenever metrics are collected. It is
// safe for concurrent use.
type gauges struct {
	mu           sync.Mutex // guards the functions; held while they run
	breakers     map[string]func() (state string)
	quotas       map[string]func() (remaining, limit int64, known bool)
	cacheEntries func() (entries, bytes int64)
	responses    func() (bytes int64)
	store        func() (up bool, aliases int)
	inFlight     func() int64
}

func newGauges() *gauges {
	return &gauges{
		breakers:     map[string]func() string{},
		quotas:       map[string]func() (int64, int64, bool){},
		cacheEntries: func() (int64, int64) { return 0, 0 },
		responses:    func() int64 { return 0 },
		store:        func() (bool, int) { return false, 0 },
		inFlight:     func() int64 { return 0 },
	}
}

// observeInt64 reports the current value of a series.
type observeInt64 func(value int64, attributes ...attribute.KeyValue)

func (g *gauges) create(meter metric.Meter) error {
	var errs []error
	create := func(name, description string, read func(observeInt64), options ...metric.Int64ObservableGaugeOption) {
		callback := func(_ context.Context, o metric.Int64Observer) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			read(func(value int64, attributes ...attribute.KeyValue) {
				o.Observe(value, metric.WithAttributes(attributes...))
			})
			return nil
		}
		_, err := meter.Int64ObservableGauge(name, append(options, metric.WithDescription(description), metric.WithInt64Callback(callback))...)
		errs = append(errs, err)
	}
	create("agentgw.breaker.state", "1 for the current state of the backend's circuit breaker, 0 for its other states.", g.readBreakers)
	create("agentgw.upstream.quota.remaining", "Requests that remain in the backend's rate limit window, of the credential with the fewest.", func(observe observeInt64) {
		g.readQuotas(func(backend string, remaining, _ int64) { observe(remaining, attribute.String("backend", backend)) })
	})
	create("agentgw.upstream.quota.limit", "Size of that credential's rate limit window, in requests.", func(observe observeInt64) {
		g.readQuotas(func(backend string, _, limit int64) { observe(limit, attribute.String("backend", backend)) })
	})
	create("agentgw.store.up", "1 while the store is available, else 0.", func(observe observeInt64) {
		up, _ := g.store()
		observe(oneIf(up))
	})
	create("agentgw.aliases", "Number of aliases.", func(observe observeInt64) {
		_, aliases := g.store()
		observe(int64(aliases))
	})
	create("agentgw.requests.in_flight", "Requests to the gateway that are in progress.", func(observe observeInt64) { observe(g.inFlight()) })
	create("agentgw.cache.entries", "Lists and agents in the cache.", func(observe observeInt64) {
		entries, _ := g.cacheEntries()
		observe(entries)
	})
	create("agentgw.cache.size", "Estimated memory of the cache: lists and agents (read) and encoded responses (pages).", func(observe observeInt64) {
		_, bytes := g.cacheEntries()
		observe(bytes, attribute.String("part", "read"))
		observe(g.responses(), attribute.String("part", "pages"))
	}, metric.WithUnit("By"))
	return errors.Join(errs...)
}

func (g *gauges) readBreakers(observe observeInt64) {
	for backend, state := range g.breakers {
		current := state()
		for _, s := range []string{"closed", "half_open", "open"} {
			observe(oneIf(s == current), attribute.String("backend", backend), attribute.String("state", s))
		}
	}
}

func (g *gauges) readQuotas(observe func(backend string, remaining, limit int64)) {
	for backend, quota := range g.quotas {
		if remaining, limit, known := quota(); known {
			observe(backend, remaining, limit)
		}
	}
}

func oneIf(condition bool) int64 {
	if condition {
		return 1
	}
	return 0
}

// ObserveBreaker shows the state of a backend's circuit breaker. It replaces an earlier
// function of the same backend. Like all functions that Observe methods take, state may not
// call Telemetry.
func (t *Telemetry) ObserveBreaker(backend string, state func() string) {
	t.gauges.mu.Lock()
	defer t.gauges.mu.Unlock()
	t.gauges.breakers[backend] = state
}

// ObserveQuota shows the rest of a backend's rate limit, and the limit, while they are known.
func (t *Telemetry) ObserveQuota(backend string, quota func() (remaining, limit int64, known bool)) {
	t.gauges.mu.Lock()
	defer t.gauges.mu.Unlock()
	t.gauges.quotas[backend] = quota
}

// ForgetBackend removes the series of ObserveBreaker and ObserveQuota for a backend.
func (t *Telemetry) ForgetBackend(backend string) {
	t.gauges.mu.Lock()
	defer t.gauges.mu.Unlock()
	delete(t.gauges.breakers, backend)
	delete(t.gauges.quotas, backend)
}

// ObserveCache shows the size of the snapshot cache and of the response cache.
func (t *Telemetry) ObserveCache(entries func() (entries, bytes int64), responses func() (bytes int64)) {
	t.gauges.mu.Lock()
	defer t.gauges.mu.Unlock()
	t.gauges.cacheEntries, t.gauges.responses = entries, responses
}

// ObserveStore shows whether the store is available, and the number of aliases.
func (t *Telemetry) ObserveStore(state func() (up bool, aliases int)) {
	t.gauges.mu.Lock()
	defer t.gauges.mu.Unlock()
	t.gauges.store = state
}

// ObserveInFlight shows the number of requests in progress.
func (t *Telemetry) ObserveInFlight(requests func() int64) {
	t.gauges.mu.Lock()
	defer t.gauges.mu.Unlock()
	t.gauges.inFlight = requests
}
