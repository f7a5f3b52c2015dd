package backend

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// traceRoundTrip records each request to a backend as a telemetry.CallEvent.
func traceRoundTrip(t *telemetry.Telemetry, b *Backend) RoundTripMiddleware {
	base := b.Config.BaseURL
	port, err := strconv.Atoi(base.Port())
	if err != nil {
		port = map[string]int{"http": 80, "https": 443}[base.Scheme]
	}
	backend := telemetry.CallEvent{Backend: b.Name, Provider: b.Info.Provider, Address: base.Hostname(), Port: port}
	baseURL := strings.TrimRight(base.String(), "/")
	return func(next adapters.RoundTrip) adapters.RoundTrip {
		return func(ctx context.Context, req *adapters.Request) error {
			ctx, span := t.StartCall(ctx, b.Info.Provider, string(req.Op))
			defer span.End() // EndCall does not run after a panic
			recordLastSpan(ctx, span)
			if b.Config.PropagateTrace {
				req.Header = req.Header.Clone() // a retry sends the request with another span
				for name, value := range telemetry.PropagationHeaders(ctx) {
					req.Header.Set(name, value)
				}
			}
			call := backend
			call.Operation, call.Method, call.URL, call.Resend = string(req.Op), req.Method, baseURL+req.Path, req.Resend
			call.Began = time.Now()
			err := next(ctx, req)
			call.Took = time.Since(call.Began)
			call.Status = req.Response.Status
			if failure, ok := err.(*normalize.Error); ok && call.Status == 0 {
				call.Status = failure.Status // the body did not arrive
			}
			call.BreakerState = b.breaker.state()
			if err != nil {
				call.ErrorKind, call.Failed = ErrorType(err), problem.VerdictOf(err) == problem.VerdictFailure
				call.Canceled = normalize.KindOf(err) == normalize.KindCanceled
			}
			t.EndCall(ctx, span, call)
			return err
		}
	}
}

// ErrorType returns the kind of a failure, for the attribute error.type; empty for nil.
func ErrorType(err error) string {
	if err == nil {
		return ""
	}
	return normalize.KindOf(err).String()
}

type lastSpanKey struct{}

// WithLastSpan returns a context that keeps the last recorded span of the requests sent with
// it, so that reads which share a result can link to it, and a function that returns that
// span, or nil.
func WithLastSpan(ctx context.Context) (context.Context, func() *trace.SpanContext) {
	last := new(atomic.Pointer[trace.SpanContext])
	return context.WithValue(ctx, lastSpanKey{}, last), last.Load
}

// recordLastSpan keeps a recorded span in a context of WithLastSpan.
func recordLastSpan(ctx context.Context, span trace.Span) {
	if last, ok := ctx.Value(lastSpanKey{}).(*atomic.Pointer[trace.SpanContext]); ok && span.IsRecording() {
		sc := span.SpanContext()
		last.Store(&sc)
	}
}
