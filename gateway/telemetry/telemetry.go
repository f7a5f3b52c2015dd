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
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
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
	cacheEvicted     metric.Int64Counter
	coalesced        metric.Int64Counter
	retries          metric.Int64Counter
	refused          metric.Int64Counter
	idempotent       metric.Int64Counter
	transitions      metric.Int64Counter
	incomplete       metric.Int64Counter
	authFailures     metric.Int64Counter
	reloads          metric.Int64Counter

	mu         sync.Mutex
	breakers   map[string]func() string
	quotas     map[string]func() (int64, bool)
	cacheRead  func() (entries, bytes int64)
	cachePages func() (bytes int64)
}

// Options are what telemetry is set up with.
type Options struct {
	Version string
	Log     *slog.Logger
	// SpanProcessor receives the spans in place of what OTEL_TRACES_EXPORTER
	// names; tests record with it.
	SpanProcessor sdktrace.SpanProcessor
}

// New sets telemetry up. OTEL_TRACES_EXPORTER is none (the default), otlp (over
// HTTP, by the OTEL_EXPORTER_OTLP_* variables) or console.
func New(ctx context.Context, o Options) (*Telemetry, error) {
	t := &Telemetry{
		log:        o.Log,
		registry:   prometheus.NewRegistry(),
		breakers:   map[string]func() string{},
		quotas:     map[string]func() (int64, bool){},
		cacheRead:  func() (int64, int64) { return 0, 0 },
		cachePages: func() int64 { return 0 },
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

// Log is the log.
func (t *Telemetry) Log() *slog.Logger { return t.log }

// Shutdown sends what is still to be sent, within ctx.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	return errors.Join(t.traces.Shutdown(ctx), t.metrics.Shutdown(ctx))
}
