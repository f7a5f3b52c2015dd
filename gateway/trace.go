package gateway

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// traceExchange puts a CLIENT span around each request to a backend, and
// measures it and enters it in the journal.
func traceExchange(t *telemetry.Telemetry, j *journal.Journal, b *Backend) ExchangeMiddleware {
	base := b.Config.BaseURL
	port, err := strconv.Atoi(base.Port())
	if err != nil {
		port = map[string]int{"http": 80, "https": 443}[base.Scheme]
	}
	address, baseURL := base.Hostname(), strings.TrimRight(base.String(), "/")
	static := []attribute.KeyValue{
		attribute.String("agentgw.backend", b.Name),
		attribute.String("agentgw.provider", b.Info.Provider),
		attribute.String("server.address", address),
		attribute.Int("server.port", port),
	}
	operations := map[adapters.Operation]*operation{}
	for _, op := range adapters.Operations() {
		operations[op] = &operation{span: b.Info.Provider + " " + spanOperation(op)}
	}
	return func(next adapters.Exchange) adapters.Exchange {
		return func(ctx context.Context, req *adapters.Request) error {
			op := operations[req.Op]
			ctx, span := t.Child(ctx, op.span, trace.SpanKindClient)
			defer span.End()
			noteRequest(ctx, span)
			if b.Config.PropagateTrace {
				req.Header = slices.Clip(req.Header) // it may be sent again with another trace
				for name, value := range telemetry.Injected(ctx) {
					req.Header = append(req.Header, adapters.Field{Name: name, Value: value})
				}
			}
			started := time.Now()
			err := next(ctx, req)
			status := req.Answer.Status
			if failure, ok := err.(*normalize.Error); ok && status == 0 {
				status = failure.Status // its body did not arrive
			}
			took, kind, breaker := time.Since(started), errorType(err), b.breaker.state()
			op.measured.Of(telemetry.Upstream{
				Backend: b.Name, Operation: string(req.Op), Method: req.Method, Address: address, Port: port, Status: status, Error: kind,
			}, t.Upstream).Record(span.SpanContext(), took)
			j.Call(ctx, journal.Call{
				Backend: b.Name, Operation: string(req.Op), Began: started, Took: took,
				Status: status, Error: kind, Failed: err != nil && verdictOf(err) == verdictFailure, Resend: req.Resend, Breaker: breaker,
			})
			if span.IsRecording() {
				span.SetAttributes(static...)
				span.SetAttributes(
					attribute.String("url.full", baseURL+req.Path), // without the query
					attribute.String("agentgw.operation", string(req.Op)),
					attribute.String("agentgw.breaker.state", breaker),
					attribute.String("http.request.method", req.Method),
				)
				if req.Resend > 0 {
					span.SetAttributes(attribute.Int("http.request.resend_count", req.Resend))
				}
				if status != 0 {
					span.SetAttributes(attribute.Int("http.response.status_code", status))
				}
				if err != nil {
					span.SetAttributes(attribute.String("error.type", kind))
					if normalize.KindOf(err) != normalize.KindCanceled {
						span.SetStatus(codes.Error, "")
					}
				}
			}
			return err
		}
	}
}

// operation is what is known of requests for one operation on a backend.
type operation struct {
	span     string // its name
	measured telemetry.Lately[telemetry.Upstream]
}

// spanOperation is an operation as spans name it.
func spanOperation(op adapters.Operation) string {
	if op == adapters.OpList {
		return "list_agents"
	}
	return string(op) + "_agent"
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
