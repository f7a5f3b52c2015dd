// Package telemetry records what the gateway does: spans and metrics by OpenTelemetry and
// its standard OTEL_* variables, log records, and the journal of recent requests.
//
// It may not know how the gateway works: the gateway tells it what happened, in one
// RequestEvent for each request, one CallEvent for each upstream call, and one Count method
// for each other event. Labels have a bounded number of values. No key, no agent id and
// nothing else that a caller writes is ever one.
//
// Begin with [Telemetry.EndRequest], which shows where each fact of a request goes, and
// [New], which reads the variables.
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
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/gateway/journal"
)

const scope = "github.com/agentgw/agentgw"

// Telemetry records spans, metrics, log records and recent requests. It is safe for
// concurrent use.
type Telemetry struct {
	Tracer trace.Tracer
	// Journal keeps the recent requests. A nil one keeps nothing; set it to nil before the
	// first request only.
	Journal *journal.RequestLog

	log              *slog.Logger
	page             prometheus.Gatherer
	shutdowns        []func(context.Context) error
	spanDeliveries   *deliveries
	metricDeliveries *deliveries
	droppedLines     func() int64

	requestDuration durationHistogram[requestLabels]
	callDuration    durationHistogram[callLabels]
	counters
	gauges *gauges
}

// Options are what New needs.
type Options struct {
	Version string
	Log     *slog.Logger
	// DroppedLines returns how many lines of the log were not written; nil if unknown.
	DroppedLines func() int64
	// SpanProcessor receives the spans in place of the exporter that OTEL_TRACES_EXPORTER
	// names. Tests record spans with it.
	SpanProcessor sdktrace.SpanProcessor
}

// New sets telemetry up. OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER are none (the
// default), otlp (over HTTP, by the OTEL_EXPORTER_OTLP_* variables) or console.
// Mistakes in OTEL_* variables are logged, and the defaults apply.
// OTEL_SDK_DISABLED=true turns off all spans and metrics; the log, the journal and the Go
// runtime on the page for Prometheus stay.
func New(ctx context.Context, o Options) (*Telemetry, error) {
	t := &Telemetry{
		log:              o.Log,
		spanDeliveries:   &deliveries{signal: "traces", log: o.Log},
		metricDeliveries: &deliveries{signal: "metrics", log: o.Log},
		droppedLines:     o.DroppedLines,
		Journal:          journal.New(time.Now),
		gauges:           newGauges(),
	}
	if t.droppedLines == nil {
		t.droppedLines = func() int64 { return 0 }
	}
	otel.SetLogger(logr.Discard()) // it prints values, such as headers with a token
	for _, mistake := range checkEnvironment(os.Environ()) {
		t.ignore(mistake)
	}
	res, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "agentgw"), attribute.String("service.version", o.Version),
		attribute.String("service.instance.id", uuid.NewString()),
	), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil { // res has the attributes that could be read
		t.ignore(fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err))
	}
	t.setUpTraces(ctx, o, res)
	if err := t.setUpMetrics(ctx, res); err != nil {
		return nil, err
	}
	return t, nil
}

// ignore logs a mistake in an OTEL_* variable. It does not keep the gateway from starting: its
// default applies.
func (t *Telemetry) ignore(mistake error) {
	if mistake != nil {
		t.log.Warn("an OpenTelemetry variable is not valid", "problem", mistake.Error())
	}
}

// disabled reports whether OTEL_SDK_DISABLED is true. The specification says that any other
// value does not disable the SDK.
func disabled() bool { return strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") }

// checkProtocol refuses any OTLP protocol but http/protobuf, which is the one that this
// program is built with.
func checkProtocol(signal string) error {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_" + signal + "_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := os.Getenv(name); protocol != "" {
			if protocol != "http/protobuf" {
				return fmt.Errorf("%s=%q: only http/protobuf is supported; use the collector's port for it, 4318 by default", name, protocol)
			}
			return nil
		}
	}
	return nil
}

// positiveInt returns the value of an environment variable, or the default if it is empty or not
// valid.
func positiveInt(name string, byDefault int) (int, error) {
	text := os.Getenv(name)
	if text == "" {
		return byDefault, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return byDefault, fmt.Errorf("%s=%q: must be an integer of 1 or more", name, text)
	}
	return n, nil
}

// Log returns the logger.
func (t *Telemetry) Log() *slog.Logger { return t.log }

// Shutdown exports what waits, within ctx. It shuts the signals down at the same time,
// because the collector of one may not answer.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	errs := make([]error, len(t.shutdowns))
	var wg sync.WaitGroup
	for i, shutdown := range t.shutdowns {
		wg.Go(func() { errs[i] = shutdown(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
