package telemetry

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// queueSize is the default of OTEL_BSP_MAX_QUEUE_SIZE: how many spans may wait to be
// exported. The specification's 2048 drops most of a burst.
const queueSize = 8192

// setUpTraces makes the tracer, with the exporter that OTEL_TRACES_EXPORTER names.
func (t *Telemetry) setUpTraces(ctx context.Context, o Options, res *resource.Resource) {
	sampler, err := sampler(os.Getenv("OTEL_TRACES_SAMPLER"), os.Getenv("OTEL_TRACES_SAMPLER_ARG"))
	t.ignore(err)
	if disabled() {
		t.Tracer = noop.NewTracerProvider().Tracer(scope)
		return
	}
	// The value of a panic may quote a credential or a provider, so no span records one.
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(res), sdktrace.WithoutPanicRecording()}
	exporter, err := spanExporter(ctx)
	t.ignore(err)
	switch {
	case o.SpanProcessor != nil:
		options = append(options, sdktrace.WithSpanProcessor(o.SpanProcessor))
	case exporter == nil:
		// Without an exporter nothing is recorded, but spans have ids for answers and logs.
		sampler = sdktrace.NeverSample()
	default:
		size, err := positiveInt("OTEL_BSP_MAX_QUEUE_SIZE", queueSize)
		t.ignore(err)
		options = append(options, sdktrace.WithSpanProcessor(newBoundedSpans(exporter, size, t.spanDeliveries)))
	}
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithSampler(sampler))...)
	t.shutdowns = append(t.shutdowns, provider.Shutdown)
	t.Tracer = provider.Tracer(scope)
}

// spanExporter returns the exporter that OTEL_TRACES_EXPORTER names, or nil for none.
func spanExporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	switch name := os.Getenv("OTEL_TRACES_EXPORTER"); name {
	case "", "none":
		return nil, nil
	case "otlp":
		if err := checkProtocol("TRACES"); err != nil {
			return nil, err
		}
		e, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("OTEL_TRACES_EXPORTER=otlp: %w", err)
		}
		return e, nil
	case "console":
		e, err := stdouttrace.New(stdouttrace.WithWriter(os.Stderr))
		if err != nil {
			return nil, fmt.Errorf("OTEL_TRACES_EXPORTER=console: %w", err)
		}
		return e, nil
	default:
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER=%q is not one of none, otlp, console", name)
	}
}

// sampler returns the sampler that OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG name, with an
// error the default.
// Callers are not trusted: the sampled flag of a caller alone does not make the gateway
// record, its trace passes the gateway's own ratio first.
func sampler(name, arg string) (sdktrace.Sampler, error) {
	ratio := 1.0
	if arg != "" {
		r, err := strconv.ParseFloat(arg, 64)
		if err != nil || r < 0 || r > 1 {
			return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(1)), fmt.Errorf("OTEL_TRACES_SAMPLER_ARG=%q is not a ratio from 0 to 1", arg)
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
		return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(1)), fmt.Errorf("OTEL_TRACES_SAMPLER=%q is not one of always_on, always_off, traceidratio, or these with parentbased_", name)
	}
	root := sdktrace.TraceIDRatioBased(ratio)
	options := []sdktrace.ParentBasedSamplerOption{sdktrace.WithRemoteParentSampled(root)}
	if name == "always_on" || name == "traceidratio" { // these ignore the parent's flag
		options = append(options, sdktrace.WithRemoteParentNotSampled(root))
	}
	return sdktrace.ParentBased(root, options...), nil
}

// StartSpan starts an INTERNAL span below the span of ctx.
func (t *Telemetry) StartSpan(ctx context.Context, name string) (context.Context, trace.Span) {
	return t.Tracer.Start(ctx, name)
}

// propagator reads and writes W3C Trace Context only. Baggage is neither read nor sent.
var propagator = propagation.TraceContext{}

// withRemoteParent makes a caller's span the parent of the spans that are started in the
// context. Fields that are not valid are ignored.
func withRemoteParent(ctx context.Context, traceparent, tracestate string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return propagator.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent, "tracestate": tracestate})
}

// PropagationHeaders returns the header fields that make the span of ctx the parent of
// another program's spans.
func PropagationHeaders(ctx context.Context) map[string]string {
	header := propagation.MapCarrier{}
	propagator.Inject(ctx, header)
	return header
}
