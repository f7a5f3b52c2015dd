package telemetry

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// gauges are the values that are read whenever metrics are collected. It is safe for
// concurrent use.
type gauges struct {
	mu           sync.Mutex // guards the functions; held while they run
	breakers     map[string]func() (state string)
	quotas       map[string]func() (remaining, limit int64, known bool)
	cacheEntries func() (entries, bytes int64)
	cachePages   func() (bytes int64)
	store        func() (up bool, aliases int)
	inFlight     func() int64
}

func newGauges() *gauges {
	return &gauges{
		breakers:     map[string]func() string{},
		quotas:       map[string]func() (int64, int64, bool){},
		cacheEntries: func() (int64, int64) { return 0, 0 },
		cachePages:   func() int64 { return 0 },
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
	create("agentgw.breaker.state", "1 for the state that a backend's breaker is in.", g.readBreakers)
	create("agentgw.upstream.quota.remaining", "Requests left in the window, of the credential that has least left.", func(observe observeInt64) {
		g.readQuotas(func(backend string, remaining, _ int64) { observe(remaining, attribute.String("backend", backend)) })
	})
	create("agentgw.upstream.quota.limit", "Requests that the window of the same credential has.", func(observe observeInt64) {
		g.readQuotas(func(backend string, _, limit int64) { observe(limit, attribute.String("backend", backend)) })
	})
	create("agentgw.store.up", "1 while the store can be asked, 0 while it cannot.", func(observe observeInt64) {
		up, _ := g.store()
		observe(oneIf(up))
	})
	create("agentgw.aliases", "Aliases that lead requests to agents.", func(observe observeInt64) {
		_, aliases := g.store()
		observe(int64(aliases))
	})
	create("agentgw.requests.in_flight", "Requests to the gateway that run.", func(observe observeInt64) { observe(g.inFlight()) })
	create("agentgw.cache.entries", "Lists and agents that are kept.", func(observe observeInt64) {
		entries, _ := g.cacheEntries()
		observe(entries)
	})
	create("agentgw.cache.size", "Memory that the cache takes, by estimate: what was read, and pages that are ready to be sent.", func(observe observeInt64) {
		_, bytes := g.cacheEntries()
		observe(bytes, attribute.String("part", "read"))
		observe(g.cachePages(), attribute.String("part", "pages"))
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

// ObserveQuota shows what remains of a backend's quota, and its limit, while they are known.
func (t *Telemetry) ObserveQuota(backend string, quota func() (remaining, limit int64, known bool)) {
	t.gauges.mu.Lock()
	defer t.gauges.mu.Unlock()
	t.gauges.quotas[backend] = quota
}

// ForgetBackend ends what ObserveBreaker and ObserveQuota show of a backend.
func (t *Telemetry) ForgetBackend(backend string) {
	t.gauges.mu.Lock()
	defer t.gauges.mu.Unlock()
	delete(t.gauges.breakers, backend)
	delete(t.gauges.quotas, backend)
}

// ObserveCache shows the size of the cache: of its entries, and of the pages that are ready
// to be sent.
func (t *Telemetry) ObserveCache(entries func() (entries, bytes int64), pages func() (bytes int64)) {
	t.gauges.mu.Lock()
	defer t.gauges.mu.Unlock()
	t.gauges.cacheEntries, t.gauges.cachePages = entries, pages
}

// ObserveStore shows whether the store can be reached, and how many aliases it has.
func (t *Telemetry) ObserveStore(state func() (up bool, aliases int)) {
	t.gauges.mu.Lock()
	defer t.gauges.mu.Unlock()
	t.gauges.store = state
}

// ObserveInFlight shows how many requests are being answered.
func (t *Telemetry) ObserveInFlight(requests func() int64) {
	t.gauges.mu.Lock()
	defer t.gauges.mu.Unlock()
	t.gauges.inFlight = requests
}
