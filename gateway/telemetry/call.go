package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/gateway/journal"
)

// CallEvent is what happened in one upstream call: one attempt of a request to a backend.
type CallEvent struct {
	Backend   string
	Provider  string
	Operation string // such as list or get
	Method    string
	Address   string // host of the backend
	Port      int
	URL       string // without the query
	Status    int    // 0 without a response
	ErrorKind string // empty for success
	Failed    bool   // the backend failed; a missing agent, for example, is no failure of it
	Canceled  bool   // the caller left
	Resend    int    // 0 for the first attempt
	// BreakerState is the circuit breaker's state after the call.
	BreakerState string
	Began        time.Time
	Took         time.Duration
}

// StartCall starts the CLIENT span of an upstream call. EndCall ends it.
func (t *Telemetry) StartCall(ctx context.Context, provider, operation string) (context.Context, trace.Span) {
	return t.Tracer.Start(ctx, callSpanName(provider, operation), trace.WithSpanKind(trace.SpanKindClient))
}

// EndCall ends the span of an upstream call and records the call in the metrics and in the
// journal's entry of ctx. ctx and span are those of StartCall.
func (t *Telemetry) EndCall(ctx context.Context, span trace.Span, e CallEvent) {
	if span.IsRecording() {
		span.SetAttributes(e.attributes()...)
		if e.ErrorKind != "" && !e.Canceled {
			span.SetStatus(codes.Error, "")
		}
	}
	span.End()
	t.callDuration.record(ctx, e.labels(), e.Took)
	t.Journal.AddCall(ctx, journal.Call{
		Backend: e.Backend, Operation: e.Operation, Began: e.Began, Took: e.Took, Status: e.Status,
		Error: e.ErrorKind, Failed: e.Failed, Resend: e.Resend, Breaker: e.BreakerState,
	})
}

// callSpanName returns the name of an upstream call's span, such as "klen list_agents".
func callSpanName(provider, operation string) string {
	if operation == "list" {
		return provider + " list_agents"
	}
	return provider + " " + operation + "_agent"
}

// attributes returns the span's attributes: the metric's labels, and what has too many values
// for a metric (semantic conventions for HTTP clients).
func (e CallEvent) attributes() []attribute.KeyValue {
	attributes := append(e.labels().attributes(),
		attribute.String("agentgw.provider", e.Provider),
		attribute.String("agentgw.breaker.state", e.BreakerState),
		attribute.String("url.full", e.URL),
	)
	if e.Resend > 0 {
		attributes = append(attributes, attribute.Int("http.request.resend_count", e.Resend))
	}
	return attributes
}

// callLabels are the labels of http.client.request.duration. They have a bounded number of
// values.
type callLabels struct {
	backend, operation, method, address string
	port, status                        int
	errorType                           string
}

func (e CallEvent) labels() callLabels {
	return callLabels{
		backend: e.Backend, operation: e.Operation, method: e.Method, address: e.Address,
		port: e.Port, status: e.Status, errorType: e.ErrorKind,
	}
}

func (l callLabels) attributes() []attribute.KeyValue {
	attributes := withNonEmpty(
		[]attribute.KeyValue{
			attribute.String("agentgw.backend", l.backend),
			attribute.String("agentgw.operation", l.operation),
			attribute.String("http.request.method", l.method),
			attribute.String("server.address", l.address),
			attribute.Int("server.port", l.port),
		},
		attribute.String("error.type", l.errorType),
	)
	if l.status != 0 {
		attributes = append(attributes, attribute.Int("http.response.status_code", l.status))
	}
	return attributes
}
