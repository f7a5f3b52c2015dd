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
)

// queueSize is the batch processor's: the default of 2048 drops most of a
// burst.
const queueSize = 8192

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
