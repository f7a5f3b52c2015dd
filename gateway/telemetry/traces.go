package telemetry

import (
	"context"
	"fmt"
	"net/http"
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

// queueSize is how many spans wait, unless OTEL_BSP_MAX_QUEUE_SIZE says otherwise: the
// default of 2048 drops most of a burst.
const queueSize = 8192

func (t *Telemetry) setUpTraces(ctx context.Context, o Options, res *resource.Resource) error {
	sampler, err := sampler(os.Getenv("OTEL_TRACES_SAMPLER"), os.Getenv("OTEL_TRACES_SAMPLER_ARG"))
	if err != nil {
		return err
	}
	if disabled() {
		t.Tracer = noop.NewTracerProvider().Tracer(scope)
		return nil
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(res), sdktrace.WithSampler(sampler)}
	exporter, err := spanExporter(ctx)
	switch {
	case err != nil:
		return err
	case o.SpanProcessor != nil:
		options = append(options, sdktrace.WithSpanProcessor(o.SpanProcessor))
	case exporter == nil:
		// Nobody would see a span: none is recorded.
		options = append(options, sdktrace.WithSampler(sdktrace.NeverSample()))
	default:
		size, err := number("OTEL_BSP_MAX_QUEUE_SIZE", queueSize)
		if err != nil {
			return err
		}
		options = append(options, sdktrace.WithSpanProcessor(newBoundedSpans(exporter, size, t.spanDeliveries)))
	}
	provider := sdktrace.NewTracerProvider(options...)
	t.shutdowns = append(t.shutdowns, provider.Shutdown)
	t.Tracer = provider.Tracer(scope)
	return nil
}

// spanExporter is what OTEL_TRACES_EXPORTER names; nil for none.
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
	options := []sdktrace.ParentBasedSamplerOption{sdktrace.WithRemoteParentSampled(root)}
	if name == "always_on" || name == "traceidratio" { // whatever the parent says
		options = append(options, sdktrace.WithRemoteParentNotSampled(root))
	}
	return sdktrace.ParentBased(root, options...), nil
}

// Child starts a span below that of ctx. Below one that is not recorded nothing is, and
// nothing is made.
func (t *Telemetry) Child(ctx context.Context, name string, kind trace.SpanKind) (context.Context, trace.Span) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, unrecorded
	}
	return t.Tracer.Start(ctx, name, trace.WithSpanKind(kind))
}

var unrecorded = noop.Span{}

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
