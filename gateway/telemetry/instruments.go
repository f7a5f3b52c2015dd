package telemetry

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// buckets are the HTTP conventions' for durations in seconds.
var buckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// instruments are what is measured.
type instruments struct {
	served           histogram[Served]
	upstream         histogram[Upstream]
	cacheRequests    counter
	cacheRefused     counter
	cacheEvicted     counter
	coalesced        counter
	retries          counter
	refused          counter
	idempotent       counter
	transitions      counter
	incomplete       counter
	authFailures     counter
	reloads          counter
	ofEachBackend    []counter
	cacheResults     []string
	observedBreakers map[string]func() string
	observedQuotas   map[string]func() (left, limit int64, known bool)
	cacheRead        func() (entries, bytes int64)
	cachePages       func() (bytes int64)
	inFlight         func() int64
}

// Served is a request to the gateway, as it is measured. It has a bounded number of
// values: no caller's own word is in it.
type Served struct {
	Method string // one that HTTP does not define is counted as _OTHER
	Scheme string
	Route  string // as /openapi.json writes it; empty for none
	Status int
	Error  string // code of the problem, for 5xx
}

func (s Served) attributes() []attribute.KeyValue {
	of := []attribute.KeyValue{
		attribute.String("http.request.method", s.Method),
		attribute.String("url.scheme", s.Scheme),
		attribute.Int("http.response.status_code", s.Status),
	}
	if s.Route != "" {
		of = append(of, attribute.String("http.route", s.Route))
	}
	if s.Error != "" {
		of = append(of, attribute.String("error.type", s.Error))
	}
	return of
}

// Upstream is a request to a backend, as it is measured.
type Upstream struct {
	Backend   string
	Operation string
	Method    string
	Address   string // server.address
	Port      int
	Status    int    // 0 where there was no answer
	Error     string // kind of the failure; empty for none
}

func (u Upstream) attributes() []attribute.KeyValue {
	of := []attribute.KeyValue{
		attribute.String("agentgw.backend", u.Backend),
		attribute.String("agentgw.operation", u.Operation),
		attribute.String("http.request.method", u.Method),
		attribute.String("server.address", u.Address),
		attribute.Int("server.port", u.Port),
	}
	if u.Status != 0 {
		of = append(of, attribute.Int("http.response.status_code", u.Status))
	}
	if u.Error != "" {
		of = append(of, attribute.String("error.type", u.Error))
	}
	return of
}

func (t *Telemetry) makeInstruments(meter metric.Meter) error {
	var errs []error
	durations := func(name, description string) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(buckets...))
		errs = append(errs, err)
		return h
	}
	counted := func(name, description string, labels ...string) counter {
		c, err := meter.Int64Counter(name, metric.WithDescription(description))
		errs = append(errs, err)
		return newCounter(c, labels...)
	}
	gauge := func(name, description string, observe metric.Int64Callback, options ...metric.Int64ObservableGaugeOption) {
		_, err := meter.Int64ObservableGauge(name, append(options, metric.WithDescription(description), metric.WithInt64Callback(t.locked(observe)))...)
		errs = append(errs, err)
	}
	t.served = newHistogram(durations("http.server.request.duration", "Duration of requests to the gateway."), Served.attributes)
	t.upstream = newHistogram(durations("http.client.request.duration", "Duration of requests to backends."), Upstream.attributes)
	t.cacheRequests = counted("agentgw.cache.requests", "Reads through the cache, by how they were answered.", "backend", "result")
	t.cacheRefused = counted("agentgw.cache.refused", "Answers that were not kept because the cache is full.", "backend")
	t.cacheEvicted = counted("agentgw.cache.evicted", "Answers, kept for the case that their backend fails, that made room for others.", "backend")
	t.coalesced = counted("agentgw.coalesced.requests", "Reads that shared another one's request to the backend.", "backend")
	t.retries = counted("agentgw.upstream.retries", "Requests to backends that were sent once more after a failure.", "backend")
	t.incomplete = counted("agentgw.list.incomplete", "Lists in which this backend's part was stale, partial or missing.", "backend")
	t.ofEachBackend = []counter{t.cacheRefused, t.cacheEvicted, t.coalesced, t.retries, t.incomplete}
	t.idempotent = counted("agentgw.idempotent.requests", "Creates with an Idempotency-Key, by what became of them.", "result")
	t.refused = counted("agentgw.refused", "Connections and requests that were turned away to protect the others, by what for.", "reason")
	t.transitions = counted("agentgw.breaker.transitions", "Changes of a breaker's state.", "backend", "from", "to")
	t.authFailures = counted("agentgw.auth.failures", "Requests refused for their key.", "reason")
	t.reloads = counted("agentgw.config.reloads", "Reloads of the configuration.", "result")

	gauge("agentgw.breaker.state", "1 for the state that a backend's breaker is in.", t.observeBreakers)
	gauge("agentgw.upstream.quota.remaining", "Requests left in the window, of the credential that has least left.", func(_ context.Context, o metric.Int64Observer) error {
		t.observeQuotas(func(backend string, left, _ int64) { o.Observe(left, backendOnly(backend)) })
		return nil
	})
	gauge("agentgw.upstream.quota.limit", "Requests that the window of the same credential has.", func(_ context.Context, o metric.Int64Observer) error {
		t.observeQuotas(func(backend string, _, limit int64) { o.Observe(limit, backendOnly(backend)) })
		return nil
	})
	gauge("agentgw.requests.in_flight", "Requests to the gateway that run.", func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(t.inFlight())
		return nil
	})
	gauge("agentgw.cache.entries", "Lists and agents that are kept.", func(_ context.Context, o metric.Int64Observer) error {
		entries, _ := t.cacheRead()
		o.Observe(entries)
		return nil
	})
	gauge("agentgw.cache.size", "Memory that the cache takes, by estimate: what was read, and pages that are ready to be sent.", func(_ context.Context, o metric.Int64Observer) error {
		_, bytes := t.cacheRead()
		o.Observe(bytes, metric.WithAttributes(attribute.String("part", "read")))
		o.Observe(t.cachePages(), metric.WithAttributes(attribute.String("part", "pages")))
		return nil
	}, metric.WithUnit("By"))
	_, err := meter.Int64ObservableCounter("agentgw.telemetry.dropped", metric.WithDescription("What was not delivered: spans, exports of metrics, lines of the log."), metric.WithInt64Callback(t.observeDrops))
	return errors.Join(append(errs, err)...)
}

// locked has a callback find what is observed in peace.
func (t *Telemetry) locked(observe metric.Int64Callback) metric.Int64Callback {
	return func(ctx context.Context, o metric.Int64Observer) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		return observe(ctx, o)
	}
}

func backendOnly(backend string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("backend", backend))
}

// ServerRequest measures a request to the gateway; a span in ctx that is recorded becomes
// its exemplar.
func (t *Telemetry) ServerRequest(ctx context.Context, s Served, d time.Duration) {
	s.Method = knownMethod(s.Method)
	t.served.record(ctx, s, d)
}

// UpstreamRequest measures a request to a backend.
func (t *Telemetry) UpstreamRequest(ctx context.Context, u Upstream, d time.Duration) {
	t.upstream.record(ctx, u, d)
}

// CacheRequest counts a read through the cache.
func (t *Telemetry) CacheRequest(backend, result string) { t.cacheRequests.count(backend, result) }

// Values are those that labels can have, where they are not backends' names.
type Values struct{ CacheResults, AuthFailures, Refused, Idempotent []string }

// Expect has counters shown from the start, so that their first rise is seen as one.
func (t *Telemetry) Expect(v Values) {
	for _, expected := range []struct {
		counter counter
		values  []string
	}{{t.authFailures, v.AuthFailures}, {t.refused, v.Refused}, {t.idempotent, v.Idempotent}, {t.reloads, []string{"ok", "error"}}} {
		for _, value := range expected.values {
			expected.counter.add(0, value)
		}
	}
	t.cacheResults = v.CacheResults
}

// ExpectBackend does the same for those of a backend.
func (t *Telemetry) ExpectBackend(backend string) {
	for _, c := range t.ofEachBackend {
		c.add(0, backend)
	}
	for _, result := range t.cacheResults {
		t.cacheRequests.add(0, backend, result)
	}
	for _, change := range [][2]string{{"closed", "open"}, {"open", "half_open"}, {"half_open", "open"}, {"half_open", "closed"}} {
		t.transitions.add(0, backend, change[0], change[1])
	}
}

// CacheRefused counts an answer that was not kept.
func (t *Telemetry) CacheRefused(backend string) { t.cacheRefused.count(backend) }

// CacheEvicted counts an answer that made room for another.
func (t *Telemetry) CacheEvicted(backend string) { t.cacheEvicted.count(backend) }

// Coalesced counts a read that shared another one's request.
func (t *Telemetry) Coalesced(backend string) { t.coalesced.count(backend) }

// Retried counts a request that was sent once more.
func (t *Telemetry) Retried(backend string) { t.retries.count(backend) }

// Idempotent counts a create with an Idempotency-Key.
func (t *Telemetry) Idempotent(result string) { t.idempotent.count(result) }

// Refused counts a connection or request that was turned away.
func (t *Telemetry) Refused(reason string) { t.refused.count(reason) }

// BreakerChanged counts a change of a breaker's state.
func (t *Telemetry) BreakerChanged(backend, from, to string) { t.transitions.count(backend, from, to) }

// ListIncomplete counts a list in which a backend's part was not whole.
func (t *Telemetry) ListIncomplete(backend string) { t.incomplete.count(backend) }

// AuthFailure counts a request refused for its key.
func (t *Telemetry) AuthFailure(reason string) { t.authFailures.count(reason) }

// Reloaded counts a reload: ok or error.
func (t *Telemetry) Reloaded(result string) { t.reloads.count(result) }

// ObserveBreaker has a breaker's state shown. A later one of the same backend
// takes its place.
func (t *Telemetry) ObserveBreaker(backend string, state func() string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.observedBreakers[backend] = state
}

// ObserveQuota has what is left of a backend's quota shown, and what that is of, while
// that is known.
func (t *Telemetry) ObserveQuota(backend string, remaining func() (left, limit int64, known bool)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.observedQuotas[backend] = remaining
}

// ObserveCache has the cache's size shown: of what was read, and of the pages
// that are ready to be sent.
func (t *Telemetry) ObserveCache(read func() (entries, bytes int64), pages func() (bytes int64)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cacheRead, t.cachePages = read, pages
}

// ObserveInFlight has shown how many requests run.
func (t *Telemetry) ObserveInFlight(running func() int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inFlight = running
}

// Forget ends what is shown of a backend.
func (t *Telemetry) Forget(backend string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.observedBreakers, backend)
	delete(t.observedQuotas, backend)
}

func (t *Telemetry) observeBreakers(_ context.Context, o metric.Int64Observer) error {
	for backend, state := range t.observedBreakers {
		now := state()
		for _, s := range []string{"closed", "half_open", "open"} {
			value := int64(0)
			if s == now {
				value = 1
			}
			o.Observe(value, metric.WithAttributes(attribute.String("backend", backend), attribute.String("state", s)))
		}
	}
	return nil
}

func (t *Telemetry) observeQuotas(observe func(backend string, left, limit int64)) {
	for backend, remaining := range t.observedQuotas {
		if left, limit, known := remaining(); known {
			observe(backend, left, limit)
		}
	}
}

// knownMethod bounds the label: a method that HTTP does not define is _OTHER.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "_OTHER"
}

// known makes something of each key once: sets of attributes cost more than what is done
// with them.
type known[K comparable, V any] struct {
	mu   sync.RWMutex
	made map[K]V
	make func(K) V
}

func (k *known[K, V]) of(key K) V {
	k.mu.RLock()
	v, ok := k.made[key]
	k.mu.RUnlock()
	if ok {
		return v
	}
	v = k.make(key)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.made[key] = v
	return v
}

// histogram of durations, by a K of which there is a bounded number.
type histogram[K comparable] struct {
	metric.Float64Histogram
	options *known[K, []metric.RecordOption]
}

func newHistogram[K comparable](h metric.Float64Histogram, attributes func(K) []attribute.KeyValue) histogram[K] {
	return histogram[K]{h, &known[K, []metric.RecordOption]{made: map[K][]metric.RecordOption{}, make: func(k K) []metric.RecordOption {
		return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attributes(k)...))}
	}}}
}

func (h histogram[K]) record(ctx context.Context, k K, d time.Duration) {
	h.Record(ctx, d.Seconds(), h.options.of(k)...)
}

// maxLabels is how many labels a counter has at most.
const maxLabels = 3

// counter counts by values of its labels, of which there is a bounded number.
type counter struct {
	metric.Int64Counter
	options *known[[maxLabels]string, []metric.AddOption]
}

func newCounter(c metric.Int64Counter, labels ...string) counter {
	return counter{c, &known[[maxLabels]string, []metric.AddOption]{made: map[[maxLabels]string][]metric.AddOption{}, make: func(values [maxLabels]string) []metric.AddOption {
		of := make([]attribute.KeyValue, len(labels))
		for i, label := range labels {
			of[i] = attribute.String(label, values[i])
		}
		return []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(of...))}
	}}}
}

func (c counter) count(values ...string) { c.add(1, values...) }

func (c counter) add(n int64, values ...string) {
	var key [maxLabels]string
	copy(key[:], values)
	c.Add(context.Background(), n, c.options.of(key)...)
}
