package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/gateway/journal"
)

// RequestEvent is what happened in one request to the gateway.
type RequestEvent struct {
	Method    string // OtherMethod is recorded for a method that HTTP does not define
	Scheme    string // http or https
	Route     string // as /openapi.json writes it; empty for none
	Status    int
	Code      string // of the problem that was answered; empty for none
	RequestID string
	KeyID     string // empty without a valid key
	// AuthFailure is why the key was refused; empty if it was not.
	AuthFailure string
	Client      string // address of the connection's other end
	Backend     string // the one that the request concerned; empty for none or several
	AgentID     string // of the agent that was read or written; empty for none
	AgentName   string
	Cache       string // how the cache answered; empty if no agent was read
	Sources     []journal.Source
	// IsClientError reports that the request itself was invalid, and nothing failed.
	IsClientError bool
	Began, Ended  time.Time
}

// StartRequest starts the SERVER span of a request to the gateway, below the caller's span if
// traceparent is valid. EndRequest names and ends it. A span that is not sampled has ids, too.
func (t *Telemetry) StartRequest(ctx context.Context, traceparent, tracestate string) (context.Context, trace.Span) {
	return t.Tracer.Start(withRemoteParent(ctx, traceparent, tracestate), "HTTP", trace.WithSpanKind(trace.SpanKindServer))
}

// EndRequest ends the span of a request and records the request in the metrics, the access
// log and the journal. ctx and span are those of StartRequest. The entry is the journal's of
// this request; it may be nil only if the journal is.
func (t *Telemetry) EndRequest(ctx context.Context, span trace.Span, entry *journal.Entry, e RequestEvent) {
	e.Method = KnownMethod(e.Method)
	if span.IsRecording() {
		span.SetName(e.spanName())
		span.SetAttributes(e.attributes()...)
		if e.isServerError() {
			span.SetStatus(codes.Error, "")
		}
	}
	span.End()
	t.requestDuration.record(ctx, e.labels(), e.took())
	t.log.LogAttrs(ctx, slog.LevelInfo, "request", e.logAttributes()...)
	t.Journal.End(entry, e.Ended, e.outcome(span.SpanContext().TraceID()))
}

func (e RequestEvent) took() time.Duration { return e.Ended.Sub(e.Began) }

func (e RequestEvent) isServerError() bool { return e.Status >= 500 }

// errorType returns the value of the attribute error.type, which only failures of the gateway
// or of a provider have.
func (e RequestEvent) errorType() string {
	if e.isServerError() {
		return e.Code
	}
	return ""
}

// spanName returns the method and the route (semantic conventions for HTTP spans, "Name").
func (e RequestEvent) spanName() string {
	name := e.Method
	if name == OtherMethod {
		name = "HTTP"
	}
	if e.Route == "" {
		return name
	}
	return name + " " + e.Route
}

// path returns the path of a request, or an empty string unless it is a path of the gateway
// or of an agent that exists: any other may contain whatever a caller writes.
func (e RequestEvent) path() string {
	switch {
	case e.Route != "" && !strings.Contains(e.Route, "{"):
		return e.Route
	case e.AgentID != "" && strings.HasPrefix(e.Route, "/v1/agents/"):
		return "/v1/agents/" + e.AgentID
	}
	return ""
}

// attributes returns the span's attributes: the metric's labels, and what has too many values
// for a metric (semantic conventions for HTTP servers).
func (e RequestEvent) attributes() []attribute.KeyValue {
	return withNonEmpty(e.labels().attributes(),
		attribute.String("url.path", e.path()),
		attribute.String("agentgw.key.id", e.KeyID),
		attribute.String("agentgw.cache", e.Cache),
		attribute.String("gen_ai.agent.id", e.AgentID),
		attribute.String("gen_ai.agent.name", e.AgentName),
	)
}

// requestLabels are the labels of http.server.request.duration. They have a bounded number
// of values.
type requestLabels struct {
	method, scheme, route string
	status                int
	errorType             string
}

func (e RequestEvent) labels() requestLabels {
	return requestLabels{method: e.Method, scheme: e.Scheme, route: e.Route, status: e.Status, errorType: e.errorType()}
}

func (l requestLabels) attributes() []attribute.KeyValue {
	return withNonEmpty(
		[]attribute.KeyValue{
			attribute.String("http.request.method", l.method),
			attribute.String("url.scheme", l.scheme),
			attribute.Int("http.response.status_code", l.status),
		},
		attribute.String("http.route", l.route),
		attribute.String("error.type", l.errorType),
	)
}

// logAttributes returns the fields of the access log line.
func (e RequestEvent) logAttributes() []slog.Attr {
	return []slog.Attr{
		slog.String("method", e.Method), slog.String("route", e.Route), slog.Int("status", e.Status),
		slog.Float64("duration_ms", float64(e.took().Microseconds())/1000),
		slog.String("request_id", e.RequestID), slog.String("key_id", e.KeyID),
		slog.String("client", e.Client), slog.String("backend", e.Backend), slog.String("agent_id", e.AgentID),
		slog.String("sources", sourcesText(e.Sources)), slog.String("code", e.Code), slog.String("auth_failure", e.AuthFailure),
	}
}

// outcome returns what the journal keeps of the request.
func (e RequestEvent) outcome(id trace.TraceID) *journal.Outcome {
	return &journal.Outcome{
		Trace: id, Method: e.Method, Route: e.Route, Status: e.Status, Code: e.Code, KeyID: e.KeyID,
		Sources: e.Sources, ClientError: e.IsClientError,
	}
}

// sourcesText returns the sources as the access line has them: "klen=hit talkifai=error".
func sourcesText(sources []journal.Source) string {
	var text strings.Builder
	for i, s := range sources {
		if i > 0 {
			text.WriteByte(' ')
		}
		text.WriteString(s.Backend)
		text.WriteByte('=')
		if s.Cache != "" {
			text.WriteString(s.Cache)
		} else {
			text.WriteString(s.Status)
		}
	}
	return text.String()
}

// withNonEmpty appends the attributes that have a value.
func withNonEmpty(attributes []attribute.KeyValue, optional ...attribute.KeyValue) []attribute.KeyValue {
	for _, a := range optional {
		if a.Value.AsString() != "" {
			attributes = append(attributes, a)
		}
	}
	return attributes
}

// OtherMethod stands for every method that HTTP does not define (semantic conventions for
// HTTP, http.request.method).
const OtherMethod = "_OTHER"

// methods are those that HTTP defines (RFC 9110, section 9.3, and RFC 5789).
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodOptions, http.MethodConnect, http.MethodTrace,
}

// KnownMethod returns the method if HTTP defines it, and OtherMethod otherwise. The result
// does not share memory with its argument.
func KnownMethod(method string) string {
	if i := slices.Index(methods, method); i >= 0 {
		return methods[i]
	}
	return OtherMethod
}
