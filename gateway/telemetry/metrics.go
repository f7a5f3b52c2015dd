package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// buckets are the HTTP conventions' for durations in seconds.
var buckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

func (t *Telemetry) setUpMetrics(res *resource.Resource) error {
	exporter, err := promexporter.New(promexporter.WithRegisterer(t.registry), promexporter.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	t.metrics = sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithResource(res))
	meter := t.metrics.Meter("github.com/agentgw/agentgw")

	var errs []error
	histogram := func(name, description string) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(buckets...))
		errs = append(errs, err)
		return h
	}
	counter := func(name, description string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithDescription(description))
		errs = append(errs, err)
		return c
	}
	gauge := func(name, description string, observe metric.Int64Callback, options ...metric.Int64ObservableGaugeOption) {
		_, err := meter.Int64ObservableGauge(name, append(options, metric.WithDescription(description), metric.WithInt64Callback(observe))...)
		errs = append(errs, err)
	}
	t.serverDuration = histogram("http.server.request.duration", "Duration of requests to the gateway.")
	t.upstreamDuration = histogram("http.client.request.duration", "Duration of requests to backends.")
	t.cacheRequests = counter("agentgw.cache.requests", "Reads through the cache, by how they were answered.")
	t.cacheRefused = counter("agentgw.cache.refused", "Answers that were not kept because the cache is full.")
	t.cacheEvicted = counter("agentgw.cache.evicted", "Answers, kept for the case that their backend fails, that made room for others.")
	t.coalesced = counter("agentgw.coalesced.requests", "Reads that shared another one's request to the backend.")
	t.retries = counter("agentgw.upstream.retries", "Requests to backends that were sent once more after a failure.")
	t.idempotent = counter("agentgw.idempotent.requests", "Creates with an Idempotency-Key, by what became of them.")
	t.refused = counter("agentgw.refused", "Connections and requests that were turned away to protect the others, by what for.")
	t.transitions = counter("agentgw.breaker.transitions", "Changes of a breaker's state.")
	t.incomplete = counter("agentgw.list.incomplete", "Lists in which this backend's part was stale, partial or missing.")
	t.authFailures = counter("agentgw.auth.failures", "Requests refused for their key.")
	t.reloads = counter("agentgw.config.reloads", "Reloads of the configuration.")
	gauge("agentgw.breaker.state", "1 for the state that a backend's breaker is in.", t.observeBreakers)
	gauge("agentgw.upstream.quota.remaining", "Requests left in the window, of the credential that has least left.", t.observeQuotas)
	gauge("agentgw.cache.entries", "Lists and agents that are kept.", func(_ context.Context, o metric.Int64Observer) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		entries, _ := t.cacheRead()
		o.Observe(entries)
		return nil
	})
	gauge("agentgw.cache.size", "Memory that the cache takes, by estimate: what was read, and pages that are ready to be sent.", func(_ context.Context, o metric.Int64Observer) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		_, bytes := t.cacheRead()
		o.Observe(bytes, metric.WithAttributes(attribute.String("part", "read")))
		o.Observe(t.cachePages(), metric.WithAttributes(attribute.String("part", "pages")))
		return nil
	}, metric.WithUnit("By"))
	return errors.Join(errs...)
}

// Metrics is the page that Prometheus reads.
func (t *Telemetry) Metrics() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// ServerRequest measures a request to the gateway.
func (t *Telemetry) ServerRequest(ctx context.Context, method, route string, status int, d time.Duration) {
	attributes := []attribute.KeyValue{
		attribute.String("http.request.method", knownMethod(method)),
		attribute.Int("http.response.status_code", status),
	}
	if route != "" {
		attributes = append(attributes, attribute.String("http.route", route))
	}
	t.serverDuration.Record(ctx, d.Seconds(), metric.WithAttributes(attributes...))
}

// UpstreamRequest measures a request to a backend; status is 0 and kind set
// where there was no answer.
func (t *Telemetry) UpstreamRequest(ctx context.Context, backend, method string, status int, kind string, d time.Duration) {
	attributes := []attribute.KeyValue{
		attribute.String("agentgw.backend", backend),
		attribute.String("http.request.method", method),
	}
	if status != 0 {
		attributes = append(attributes, attribute.Int("http.response.status_code", status))
	}
	if kind != "" {
		attributes = append(attributes, attribute.String("error.type", kind))
	}
	t.upstreamDuration.Record(ctx, d.Seconds(), metric.WithAttributes(attributes...))
}

// CacheRequest counts a read through the cache.
func (t *Telemetry) CacheRequest(backend, result string) {
	t.count(t.cacheRequests, attribute.String("backend", backend), attribute.String("result", result))
}

// Expect has the counters of a backend shown from the start, so that their first
// rise is seen as one.
func (t *Telemetry) Expect(backend string) {
	for _, c := range []metric.Int64Counter{t.cacheRefused, t.cacheEvicted, t.coalesced, t.retries, t.incomplete} {
		c.Add(context.Background(), 0, metric.WithAttributes(attribute.String("backend", backend)))
	}
}

// CacheRefused counts an answer that was not kept.
func (t *Telemetry) CacheRefused(backend string) {
	t.count(t.cacheRefused, attribute.String("backend", backend))
}

// CacheEvicted counts an answer that made room for another.
func (t *Telemetry) CacheEvicted(backend string) {
	t.count(t.cacheEvicted, attribute.String("backend", backend))
}

// Coalesced counts a read that shared another one's request.
func (t *Telemetry) Coalesced(backend string) {
	t.count(t.coalesced, attribute.String("backend", backend))
}

// Retried counts a request that was sent once more.
func (t *Telemetry) Retried(backend string) {
	t.count(t.retries, attribute.String("backend", backend))
}

// Idempotent counts a create with an Idempotency-Key.
func (t *Telemetry) Idempotent(result string) {
	t.count(t.idempotent, attribute.String("result", result))
}

// Refused counts a connection or request that was turned away.
func (t *Telemetry) Refused(reason string) {
	t.count(t.refused, attribute.String("reason", reason))
}

// BreakerChanged counts a change of a breaker's state.
func (t *Telemetry) BreakerChanged(backend, from, to string) {
	t.count(t.transitions, attribute.String("backend", backend), attribute.String("from", from), attribute.String("to", to))
}

// ListIncomplete counts a list in which a backend's part was not whole.
func (t *Telemetry) ListIncomplete(backend string) {
	t.count(t.incomplete, attribute.String("backend", backend))
}

// AuthFailure counts a request refused for its key.
func (t *Telemetry) AuthFailure(reason string) {
	t.count(t.authFailures, attribute.String("reason", reason))
}

// Reloaded counts a reload: ok or error.
func (t *Telemetry) Reloaded(result string) {
	t.count(t.reloads, attribute.String("result", result))
}

func (t *Telemetry) count(c metric.Int64Counter, attributes ...attribute.KeyValue) {
	c.Add(context.Background(), 1, metric.WithAttributes(attributes...))
}

// ObserveBreaker has a breaker's state shown. A later one of the same backend
// takes its place.
func (t *Telemetry) ObserveBreaker(backend string, state func() string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.breakers[backend] = state
}

// ObserveQuota has what is left of a backend's quota shown, while that is known.
func (t *Telemetry) ObserveQuota(backend string, remaining func() (left int64, known bool)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.quotas[backend] = remaining
}

// ObserveCache has the cache's size shown: of what was read, and of the pages
// that are ready to be sent.
func (t *Telemetry) ObserveCache(read func() (entries, bytes int64), pages func() (bytes int64)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cacheRead, t.cachePages = read, pages
}

// Forget ends what is shown of a backend.
func (t *Telemetry) Forget(backend string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.breakers, backend)
	delete(t.quotas, backend)
}

func (t *Telemetry) observeBreakers(_ context.Context, o metric.Int64Observer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for backend, state := range t.breakers {
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

func (t *Telemetry) observeQuotas(_ context.Context, o metric.Int64Observer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for backend, remaining := range t.quotas {
		if left, known := remaining(); known {
			o.Observe(left, metric.WithAttributes(attribute.String("backend", backend)))
		}
	}
	return nil
}

// knownMethod bounds the label: a method that HTTP does not define is _OTHER.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "_OTHER"
}
