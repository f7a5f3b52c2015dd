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
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/agentgw/agentgw"

// Telemetry is where spans and measurements go. It is safe for concurrent use.
type Telemetry struct {
	Tracer trace.Tracer

	sampler          sdktrace.Sampler // nil: there are no spans
	log              *slog.Logger
	page             prometheus.Gatherer
	shutdowns        []func(context.Context) error
	spanDeliveries   *deliveries
	metricDeliveries *deliveries
	droppedLines     func() int64

	mu sync.Mutex // of what is observed
	instruments
}

// Options are what telemetry is set up with.
type Options struct {
	Version string
	Log     *slog.Logger
	// DroppedLines is how many lines of the log were not written; nil where that is
	// not known.
	DroppedLines func() int64
	// SpanProcessor receives the spans in place of what OTEL_TRACES_EXPORTER
	// names; tests record with it.
	SpanProcessor sdktrace.SpanProcessor
}

// New sets telemetry up. OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER are none (the
// default), otlp (over HTTP, by the OTEL_EXPORTER_OTLP_* variables) or console.
// OTEL_SDK_DISABLED=true turns everything off but the log and what the page for
// Prometheus has of the Go runtime.
func New(ctx context.Context, o Options) (*Telemetry, error) {
	t := &Telemetry{
		log:              o.Log,
		spanDeliveries:   &deliveries{signal: "traces", log: o.Log},
		metricDeliveries: &deliveries{signal: "metrics", log: o.Log},
		droppedLines:     o.DroppedLines,
		instruments: instruments{
			observedBreakers: map[string]func() string{},
			observedQuotas:   map[string]func() (int64, int64, bool){},
			cacheRead:        func() (int64, int64) { return 0, 0 },
			storeState:       func() (bool, int) { return false, 0 },
			cachePages:       func() int64 { return 0 },
			inFlight:         func() int64 { return 0 },
		},
	}
	if t.droppedLines == nil {
		t.droppedLines = func() int64 { return 0 }
	}
	res, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "agentgw"), attribute.String("service.version", o.Version),
		attribute.String("service.instance.id", uuid.NewString()),
	), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	if err := t.setUpTraces(ctx, o, res); err != nil {
		return nil, err
	}
	if err := t.setUpMetrics(ctx, res); err != nil {
		return nil, err
	}
	return t, nil
}

// disabled is what the specification says of this variable: true turns it off, anything
// else does not.
func disabled() bool { return strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") }

// checkProtocol refuses what is not spoken here: OTLP over HTTP it is, in protobuf.
func checkProtocol(signal string) error {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_" + signal + "_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := os.Getenv(name); protocol != "" {
			if protocol != "http/protobuf" {
				return fmt.Errorf("%s=%q: only http/protobuf is spoken here; use the collector's port for it, 4318 by default", name, protocol)
			}
			return nil
		}
	}
	return nil
}

// number is a variable's; what is not a number from 1 up is refused.
func number(name string, otherwise int) (int, error) {
	text := os.Getenv(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s=%q is not a number from 1 up", name, text)
	}
	return n, nil
}

// Log is the log.
func (t *Telemetry) Log() *slog.Logger { return t.log }

// Shutdown sends what is still to be sent, within ctx.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	errs := make([]error, len(t.shutdowns))
	var wg sync.WaitGroup
	for i, shutdown := range t.shutdowns { // at the same time: one may have nobody to tell
		wg.Go(func() { errs[i] = shutdown(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
