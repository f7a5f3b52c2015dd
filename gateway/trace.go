package gateway

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// traceExchange records each request to a backend as a telemetry.CallEvent.
func traceExchange(t *telemetry.Telemetry, b *Backend) ExchangeMiddleware {
	base := b.Config.BaseURL
	port, err := strconv.Atoi(base.Port())
	if err != nil {
		port = map[string]int{"http": 80, "https": 443}[base.Scheme]
	}
	backend := telemetry.CallEvent{Backend: b.Name, Provider: b.Info.Provider, Address: base.Hostname(), Port: port}
	baseURL := strings.TrimRight(base.String(), "/")
	return func(next adapters.Exchange) adapters.Exchange {
		return func(ctx context.Context, req *adapters.Request) error {
			ctx, span := t.StartCall(ctx, b.Info.Provider, string(req.Op))
			defer span.End() // EndCall does not run after a panic
			noteRequest(ctx, span)
			if b.Config.PropagateTrace {
				req.Header = slices.Clip(req.Header) // it may be sent again with another trace
				for name, value := range telemetry.PropagationHeaders(ctx) {
					req.Header = append(req.Header, adapters.Field{Name: name, Value: value})
				}
			}
			call := backend
			call.Operation, call.Method, call.URL, call.Resend = string(req.Op), req.Method, baseURL+req.Path, req.Resend
			call.Began = time.Now()
			err := next(ctx, req)
			call.Took = time.Since(call.Began)
			call.Status = req.Answer.Status
			if failure, ok := err.(*normalize.Error); ok && call.Status == 0 {
				call.Status = failure.Status // its body did not arrive
			}
			call.BreakerState = b.breaker.state()
			if err != nil {
				call.ErrorKind, call.Failed = errorType(err), verdictOf(err) == verdictFailure
				call.Canceled = normalize.KindOf(err) == normalize.KindCanceled
			}
			t.EndCall(ctx, span, call)
			return err
		}
	}
}

// errorType is the kind of a failure; empty for none.
func errorType(err error) string {
	if err == nil {
		return ""
	}
	return normalize.KindOf(err).String()
}

// noteRequest has the last of the requests to a backend noted, for links to it from those who
// wait for the same answer; unless it is not recorded.
func noteRequest(ctx context.Context, span trace.Span) {
	if !span.IsRecording() {
		return
	}
	if r := readingOf(ctx); r != nil {
		sc := span.SpanContext()
		r.last.Store(&sc)
	}
}

// traceParts says in a span how each backend's part came about.
func traceParts(span trace.Span, parts []part) {
	if !span.IsRecording() {
		return
	}
	for _, p := range parts {
		attributes := []attribute.KeyValue{
			attribute.String("agentgw.backend", p.backend.Name),
			attribute.String("agentgw.provider", p.backend.Info.Provider),
			attribute.String("agentgw.source.status", p.source.Status),
			attribute.String("agentgw.breaker.state", p.backend.breaker.state()),
		}
		if p.cache != "" {
			attributes = append(attributes, attribute.String("agentgw.cache", string(p.cache)))
		}
		if p.failure != nil {
			attributes = append(attributes, attribute.String("error.type", string(p.failure.Code)))
		}
		span.AddEvent("source", trace.WithAttributes(attributes...))
	}
}
