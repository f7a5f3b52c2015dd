package telemetry

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
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
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(res), sdktrace.WithIDGenerator(ids{})}
	exporter, err := spanExporter(ctx)
	switch {
	case err != nil:
		return err
	case o.SpanProcessor != nil:
		options = append(options, sdktrace.WithSpanProcessor(o.SpanProcessor))
	case exporter == nil:
		// Nobody would see a span: none is recorded.
		sampler = sdktrace.NeverSample()
	default:
		size, err := number("OTEL_BSP_MAX_QUEUE_SIZE", queueSize)
		if err != nil {
			return err
		}
		options = append(options, sdktrace.WithSpanProcessor(newBoundedSpans(exporter, size, t.spanDeliveries)))
	}
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithSampler(sampler))...)
	t.sampler = sampler
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

// ServerSpan starts the span of a request to the gateway, below the one of ctx if there is
// one. One that is not sampled has its ids and nothing more: span is nil, and ctx is as it
// was. The SDK makes a span, a context and options for it, which is a twentieth of what an
// answer from memory costs.
func (t *Telemetry) ServerSpan(ctx context.Context, name string) (_ context.Context, span trace.Span, ids trace.SpanContext) {
	parent := trace.SpanContextFromContext(ctx)
	if t.sampler == nil {
		return ctx, nil, parent
	}
	traceID := parent.TraceID()
	if !traceID.IsValid() {
		traceID = newTraceID()
	}
	sampled := t.sampler.ShouldSample(sdktrace.SamplingParameters{ParentContext: ctx, TraceID: traceID, Name: name, Kind: trace.SpanKindServer})
	if sampled.Decision != sdktrace.Drop {
		_, span = t.Tracer.Start(context.WithValue(ctx, chosenTrace{}, traceID), name, trace.WithSpanKind(trace.SpanKindServer))
		return trace.ContextWithSpan(ctx, span), span, span.SpanContext()
	}
	return ctx, nil, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: newSpanID(), TraceFlags: parent.TraceFlags() &^ trace.FlagsSampled, TraceState: sampled.Tracestate,
	})
}

// ids are chance, as the SDK's own are, but that the id of a trace can be chosen before its
// first span is started.
type ids struct{}

var _ sdktrace.IDGenerator = ids{}

// chosenTrace marks the id in a context.
type chosenTrace struct{}

func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if chosen, ok := ctx.Value(chosenTrace{}).(trace.TraceID); ok {
		return chosen, newSpanID()
	}
	return newTraceID(), newSpanID()
}

func (ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return newSpanID() }

// newTraceID is never zero, which would be none (W3C Trace Context, 3.2.2.3).
func newTraceID() (id trace.TraceID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id
}

func newSpanID() (id trace.SpanID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

// Child starts a span below that of ctx. Below one that is not recorded nothing is, and
// nothing is made.
func (t *Telemetry) Child(ctx context.Context, name string, kind trace.SpanKind) (context.Context, trace.Span) {
	if !Recorded(ctx) {
		return ctx, unrecorded
	}
	return t.Tracer.Start(ctx, name, trace.WithSpanKind(kind))
}

// Unrecorded is a context that knows whether its own span is not recorded.
type Unrecorded interface{ Unrecorded() bool }

// Recorded reports whether the span of ctx is. A context that knows is asked; to find the span
// among the values of one takes longer.
func Recorded(ctx context.Context) bool {
	if own, ok := ctx.(Unrecorded); ok && own.Unrecorded() {
		return false
	}
	return trace.SpanFromContext(ctx).IsRecording()
}

var unrecorded trace.Span = noop.Span{}

// propagator is W3C Trace Context alone: baggage from outside is not read, and
// none is sent.
var propagator = propagation.TraceContext{}

// Extract puts a caller's traceparent into ctx.
func Extract(ctx context.Context, traceparent, tracestate string) context.Context {
	return propagator.Extract(ctx, received{traceparent, tracestate})
}

// received is what came of a trace, as the propagator reads it; a map would be made for each
// request.
type received struct{ traceparent, tracestate string }

var _ propagation.TextMapCarrier = received{}

func (r received) Get(key string) string {
	switch key {
	case "traceparent":
		return r.traceparent
	case "tracestate":
		return r.tracestate
	}
	return ""
}

func (r received) Keys() []string { return []string{"traceparent", "tracestate"} }

// Set does nothing: it is only read.
func (received) Set(string, string) {}

// Injected is the header fields that tell another program of ctx's span.
func Injected(ctx context.Context) map[string]string {
	header := propagation.MapCarrier{}
	propagator.Inject(ctx, header)
	return header
}
