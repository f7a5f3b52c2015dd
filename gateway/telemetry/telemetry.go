// Package telemetry is the gateway's spans, metrics and log, by OpenTelemetry
// and its standard OTEL_* variables.
//
// It must not know what the gateway does: it offers one method for each thing
// that is worth counting. Labels are bounded: no agent's id, no key, no
// caller's own word is ever one.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Telemetry is where spans and measurements go. It is safe for concurrent use.
type Telemetry struct {
	Tracer trace.Tracer

	log      *slog.Logger
	registry *prometheus.Registry
	traces   *sdktrace.TracerProvider
	metrics  *sdkmetric.MeterProvider

	serverDuration   metric.Float64Histogram
	upstreamDuration metric.Float64Histogram
	cacheRequests    metric.Int64Counter
	cacheRefused     metric.Int64Counter
	coalesced        metric.Int64Counter
	transitions      metric.Int64Counter
	incomplete       metric.Int64Counter
	authFailures     metric.Int64Counter
	reloads          metric.Int64Counter

	mu       sync.Mutex
	breakers map[string]func() string
	quotas   map[string]func() int64
	entries  func() int64
}

// Options are what telemetry is set up with.
type Options struct {
	Version string
	Log     *slog.Logger
	// SpanProcessor receives the spans in place of what OTEL_TRACES_EXPORTER
	// names; tests record with it.
	SpanProcessor sdktrace.SpanProcessor
}

// queueSize is the batch processor's: the default of 2048 drops most of a
// burst.
const queueSize = 8192

// buckets are the HTTP conventions' for durations in seconds.
var buckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// New sets telemetry up. OTEL_TRACES_EXPORTER is none (the default), otlp (over
// HTTP, by the OTEL_EXPORTER_OTLP_* variables) or console.
func New(ctx context.Context, o Options) (*Telemetry, error) {
	t := &Telemetry{
		log:      o.Log,
		registry: prometheus.NewRegistry(),
		breakers: map[string]func() string{},
		quotas:   map[string]func() int64{},
		entries:  func() int64 { return 0 },
	}
	res, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "agentgw"), attribute.String("service.version", o.Version),
	), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	if err := t.setUpTraces(ctx, o, res); err != nil {
		return nil, err
	}
	if err := t.setUpMetrics(res); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Telemetry) setUpTraces(ctx context.Context, o Options, res *resource.Resource) error {
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(res)}
	sampler, err := sampler(os.Getenv("OTEL_TRACES_SAMPLER"), os.Getenv("OTEL_TRACES_SAMPLER_ARG"))
	if err != nil {
		return err
	}
	options = append(options, sdktrace.WithSampler(sampler))
	switch exporter := os.Getenv("OTEL_TRACES_EXPORTER"); {
	case o.SpanProcessor != nil:
		options = append(options, sdktrace.WithSpanProcessor(o.SpanProcessor))
	case exporter == "" || exporter == "none":
		// Nobody would see a span: none is recorded.
		options = append(options, sdktrace.WithSampler(sdktrace.NeverSample()))
	case exporter == "otlp":
		e, err := otlptracehttp.New(ctx)
		if err != nil {
			return fmt.Errorf("OTEL_TRACES_EXPORTER=otlp: %w", err)
		}
		options = append(options, sdktrace.WithBatcher(e, sdktrace.WithMaxQueueSize(queueSize)))
	case exporter == "console":
		e, err := stdouttrace.New(stdouttrace.WithWriter(os.Stderr))
		if err != nil {
			return fmt.Errorf("OTEL_TRACES_EXPORTER=console: %w", err)
		}
		options = append(options, sdktrace.WithBatcher(e, sdktrace.WithMaxQueueSize(queueSize)))
	default:
		return fmt.Errorf("OTEL_TRACES_EXPORTER=%q is not one of none, otlp, console", exporter)
	}
	t.traces = sdktrace.NewTracerProvider(options...)
	t.Tracer = t.traces.Tracer("github.com/agentgw/agentgw")
	return nil
}

// sampler reads the standard variables. A caller is a stranger: its own
// sampled flag does not make us record, it is only not refused by our ratio.
func sampler(name, arg string) (sdktrace.Sampler, error) {
	ratio := 1.0
	if arg != "" {
		r, err := strconv.ParseFloat(arg, 64)
		if err != nil || r < 0 || r > 1 {
			return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG=%q is not a ratio from 0 to 1", arg)
		}
		ratio = r
	}
	switch name {
	case "always_off", "parentbased_always_off":
		return sdktrace.NeverSample(), nil
	case "", "always_on", "parentbased_always_on":
		ratio = 1
	case "traceidratio", "parentbased_traceidratio":
	default:
		return nil, fmt.Errorf("OTEL_TRACES_SAMPLER=%q is not one of always_on, always_off, traceidratio, or these with parentbased_", name)
	}
	root := sdktrace.TraceIDRatioBased(ratio)
	return sdktrace.ParentBased(root, sdktrace.WithRemoteParentSampled(root)), nil
}

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
	gauge := func(name, description string, observe metric.Int64Callback) {
		_, err := meter.Int64ObservableGauge(name, metric.WithDescription(description), metric.WithInt64Callback(observe))
		errs = append(errs, err)
	}
	t.serverDuration = histogram("http.server.request.duration", "Duration of requests to the gateway.")
	t.upstreamDuration = histogram("http.client.request.duration", "Duration of requests to backends.")
	t.cacheRequests = counter("agentgw.cache.requests", "Reads through the cache, by how they were answered.")
	t.cacheRefused = counter("agentgw.cache.refused", "Answers that were not kept because the cache is full.")
	t.coalesced = counter("agentgw.coalesced.requests", "Reads that shared another one's request to the backend.")
	t.transitions = counter("agentgw.breaker.transitions", "Changes of a breaker's state.")
	t.incomplete = counter("agentgw.list.incomplete", "Lists in which this backend's part was stale, partial or missing.")
	t.authFailures = counter("agentgw.auth.failures", "Requests refused for their key.")
	t.reloads = counter("agentgw.config.reloads", "Reloads of the configuration.")
	gauge("agentgw.breaker.state", "1 for the state that a backend's breaker is in.", t.observeBreakers)
	gauge("agentgw.upstream.quota.remaining", "Requests left in the window, of the credential that has least left.", t.observeQuotas)
	gauge("agentgw.cache.entries", "Lists and agents that are kept.", func(_ context.Context, o metric.Int64Observer) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		o.Observe(t.entries())
		return nil
	})
	return errors.Join(errs...)
}

// Log is the log.
func (t *Telemetry) Log() *slog.Logger { return t.log }

// Shutdown sends what is still to be sent, within ctx.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	return errors.Join(t.traces.Shutdown(ctx), t.metrics.Shutdown(ctx))
}

// Metrics is the page that Prometheus reads.
func (t *Telemetry) Metrics() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// propagator is W3C Trace Context alone: baggage from outside is not read, and
// none is sent.
var propagator = propagation.TraceContext{}

// Extract puts a caller's traceparent into ctx.
func Extract(ctx context.Context, traceparent, tracestate string) context.Context {
	return propagator.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent, "tracestate": tracestate})
}

// Inject puts ctx's span into a request's headers.
func Inject(ctx context.Context, header http.Header) {
	propagator.Inject(ctx, propagation.HeaderCarrier(header))
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

// CacheRefused counts an answer that was not kept.
func (t *Telemetry) CacheRefused(backend string) {
	t.count(t.cacheRefused, attribute.String("backend", backend))
}

// Coalesced counts a read that shared another one's request.
func (t *Telemetry) Coalesced(backend string) {
	t.count(t.coalesced, attribute.String("backend", backend))
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

// ObserveQuota has what is left of a backend's quota shown.
func (t *Telemetry) ObserveQuota(backend string, remaining func() int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.quotas[backend] = remaining
}

// ObserveEntries has the cache's size shown.
func (t *Telemetry) ObserveEntries(entries func() int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries = entries
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
		o.Observe(remaining(), metric.WithAttributes(attribute.String("backend", backend)))
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
