package telemetry

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// instruments are what is measured.
type instruments struct {
	served           *durations[Served]
	upstream         *durations[Upstream]
	cacheRequests    counter
	cacheRefused     counter
	cacheEvicted     counter
	coalesced        counter
	retries          counter
	refused          counter
	migrationSteps   counter
	shadowReads      counter
	shadowMismatch   counter
	storeState       func() (up bool, aliases int)
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
	counted := func(name, description string, labels ...string) counter {
		c := newCounter(labels...)
		_, err := meter.Int64ObservableCounter(name, metric.WithDescription(description), metric.WithInt64Callback(c.observe))
		errs = append(errs, err)
		return c
	}
	gauge := func(name, description string, observe metric.Int64Callback, options ...metric.Int64ObservableGaugeOption) {
		_, err := meter.Int64ObservableGauge(name, append(options, metric.WithDescription(description), metric.WithInt64Callback(t.locked(observe)))...)
		errs = append(errs, err)
	}
	t.cacheRequests = counted("agentgw.cache.requests", "Reads through the cache, by how they were answered.", "backend", "result")
	t.cacheRefused = counted("agentgw.cache.refused", "Answers that were not kept because the cache is full.", "backend")
	t.cacheEvicted = counted("agentgw.cache.evicted", "Answers, kept for the case that their backend fails, that made room for others.", "backend")
	t.coalesced = counted("agentgw.coalesced.requests", "Reads that shared another one's request to the backend.", "backend")
	t.retries = counted("agentgw.upstream.retries", "Requests to backends that were sent once more after a failure.", "backend")
	t.incomplete = counted("agentgw.list.incomplete", "Lists in which this backend's part was stale, partial or missing.", "backend")
	t.ofEachBackend = []counter{t.cacheRefused, t.cacheEvicted, t.coalesced, t.retries, t.incomplete}
	t.idempotent = counted("agentgw.idempotent.requests", "Creates with an Idempotency-Key, by what became of them.", "result")
	t.refused = counted("agentgw.refused", "Connections and requests that were turned away to protect the others, by what for.", "reason")
	t.migrationSteps = counted("agentgw.migration.steps", "Steps of migrations between backends, by how they ended.", "step", "result")
	t.shadowReads = counted("agentgw.migration.shadow.reads", "Targets that were read beside their source.")
	t.shadowMismatch = counted("agentgw.migration.shadow.mismatch", "Fields of such a target that were not as planned.", "field")
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
	gauge("agentgw.store.up", "1 while the store can be asked, 0 while it cannot.", func(_ context.Context, o metric.Int64Observer) error {
		up, _ := t.storeState()
		value := int64(0)
		if up {
			value = 1
		}
		o.Observe(value)
		return nil
	})
	gauge("agentgw.aliases", "Aliases that lead requests to agents.", func(_ context.Context, o metric.Int64Observer) error {
		_, aliases := t.storeState()
		o.Observe(int64(aliases))
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

// Served is what requests of that kind to the gateway are measured with.
func (t *Telemetry) Served(s Served) *Durations {
	s.Method = KnownMethod(s.Method)
	return t.served.of.of(s)
}

// Upstream is what requests of that kind to a backend are measured with.
func (t *Telemetry) Upstream(u Upstream) *Durations { return t.upstream.of.of(u) }

// CacheReads is the tally of reads through the cache that were answered so.
func (t *Telemetry) CacheReads(backend, result string) *Tally {
	return t.cacheRequests.of(backend, result)
}

// Values are those that labels can have, where they are not backends' names.
type Values struct{ CacheResults, AuthFailures, Refused, Idempotent, MigrationSteps, Fields []string }

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
	for _, step := range v.MigrationSteps {
		t.migrationSteps.add(0, step, "ok")
		t.migrationSteps.add(0, step, "error")
	}
	for _, field := range v.Fields {
		t.shadowMismatch.add(0, field)
	}
	t.shadowReads.add(0)
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

// MigrationStep counts a step of a migration: ok or error.
func (t *Telemetry) MigrationStep(step, result string) { t.migrationSteps.count(step, result) }

// ShadowRead counts a target that was read beside its source.
func (t *Telemetry) ShadowRead() { t.shadowReads.count() }

// ShadowMismatch counts a field of such a target that was not as planned.
func (t *Telemetry) ShadowMismatch(field string) { t.shadowMismatch.count(field) }

// ObserveStore has shown whether the store can be asked, and how many aliases it has.
func (t *Telemetry) ObserveStore(state func() (up bool, aliases int)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.storeState = state
}

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

// OtherMethod stands for every method that HTTP does not define (semantic conventions for
// HTTP, http.request.method).
const OtherMethod = "_OTHER"

// methods are those that HTTP defines (RFC 9110, 9.3, and RFC 5789).
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodOptions, http.MethodConnect, http.MethodTrace,
}

// KnownMethod bounds what a method is counted as: one that HTTP defines, or OtherMethod. It
// is not the string that was given, which may be a buffer that is used again.
func KnownMethod(method string) string {
	if i := slices.Index(methods, method); i >= 0 {
		return methods[i]
	}
	return OtherMethod
}

// known makes something of each key once: sets of attributes cost more than what is done
// with them. Of the keys there is a bounded number, so the map is copied for a new one, and
// whoever looks up waits for nobody.
type known[K comparable, V any] struct {
	mu   sync.Mutex // of who makes
	made atomic.Pointer[map[K]V]
	make func(K) V
}

func newKnown[K comparable, V any](make func(K) V) *known[K, V] {
	k := &known[K, V]{make: make}
	k.made.Store(&map[K]V{})
	return k
}

func (k *known[K, V]) of(key K) V {
	if v, ok := (*k.made.Load())[key]; ok {
		return v
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	v, ok := (*k.made.Load())[key]
	if !ok {
		v = k.make(key)
		more := maps.Clone(*k.made.Load())
		more[key] = v
		k.made.Store(&more)
	}
	return v
}

// maxLabels is how many labels a counter has at most.
const maxLabels = 3

// counter counts by values of its labels, of which there is a bounded number. Adding to it
// is one atomic addition, and the sum is told when somebody collects: the SDK's own
// counters cost half a microsecond each time, and a list of four backends counts four.
type counter struct {
	counts *known[[maxLabels]string, *Tally]
}

// Tally is what was counted of the values of labels. It is safe for concurrent use.
type Tally struct {
	n  atomic.Int64
	of metric.MeasurementOption
}

// Count adds one.
func (t *Tally) Count() { t.n.Add(1) }

func newCounter(labels ...string) counter {
	return counter{newKnown(func(values [maxLabels]string) *Tally {
		of := make([]attribute.KeyValue, len(labels))
		for i, label := range labels {
			of[i] = attribute.String(label, values[i])
		}
		return &Tally{of: metric.WithAttributeSet(attribute.NewSet(of...))}
	})}
}

func (c counter) count(values ...string) { c.add(1, values...) }

func (c counter) add(n int64, values ...string) { c.of(values...).n.Add(n) }

func (c counter) of(values ...string) *Tally {
	var key [maxLabels]string
	copy(key[:], values)
	return c.counts.of(key)
}

// observe tells what was counted so far.
func (c counter) observe(_ context.Context, o metric.Int64Observer) error {
	for _, counted := range *c.counts.made.Load() {
		o.Observe(counted.n.Load(), counted.of)
	}
	return nil
}
