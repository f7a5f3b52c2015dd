package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/agentgw/agentgw/gateway/journal"
)

// recorded is where a test finds what Telemetry recorded.
type recorded struct {
	*Telemetry
	spans *tracetest.InMemoryExporter
	log   *bytes.Buffer // read it after lines is closed
	lines *LogQueue
}

func newRecorded(t *testing.T) recorded {
	t.Helper()
	r := recorded{spans: tracetest.NewInMemoryExporter(), log: &bytes.Buffer{}}
	log, lines := NewLogger(r.log, func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) })
	t.Cleanup(lines.Close)
	telemetry, err := New(context.Background(), Options{Log: log, SpanProcessor: trace.NewSimpleSpanProcessor(r.spans)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = telemetry.Shutdown(context.Background()) })
	r.Telemetry, r.lines = telemetry, lines
	return r
}

// onlySpan returns the recorded span as text.
func (r recorded) onlySpan(t *testing.T) string {
	t.Helper()
	spans := r.spans.GetSpans()
	if len(spans) != 1 {
		t.Fatalf("%d spans were recorded", len(spans))
	}
	var attributes []string
	for _, a := range spans[0].Attributes {
		attributes = append(attributes, fmt.Sprintf("%s=%v", a.Key, a.Value.String()))
	}
	slices.Sort(attributes)
	return fmt.Sprintf("%s %q %s: %s", spans[0].SpanKind, spans[0].Name, spans[0].Status.Code, strings.Join(attributes, " "))
}

// TestEndRequest checks that span, metric, access line and journal have the facts of the event.
func TestEndRequest(t *testing.T) {
	r := newRecorded(t)
	began := time.Now()
	_, entry := r.Journal.Start(context.Background(), "the-request", began)
	ctx, span := r.StartRequest(context.Background(), "", "")
	r.EndRequest(ctx, span, entry, RequestEvent{
		Method: "GET", Scheme: "https", Route: "/v1/agents/{id}", Status: 502, Code: "upstream_unavailable", RequestID: "the-request", KeyID: "acme", Client: "192.0.2.7", Backend: "klen",
		AgentID: "klen:a1", AgentName: "Ada", Cache: "stale", Sources: []journal.Source{{Backend: "klen", Status: "error"}, {Backend: "krosai", Status: "ok", Cache: "hit"}},
		Began: began, Ended: began.Add(1500 * time.Microsecond),
	})
	r.lines.Close()

	if got, want := r.onlySpan(t), `server "GET /v1/agents/{id}" Error: agentgw.cache=stale agentgw.key.id=acme error.type=upstream_unavailable `+
		`gen_ai.agent.id=klen:a1 gen_ai.agent.name=Ada http.request.method=GET http.response.status_code=502 http.route=/v1/agents/{id} url.path=/v1/agents/klen:a1 url.scheme=https`; got != want {
		t.Errorf("the span is\n%s, want\n%s", got, want)
	}
	if series := `http_server_request_duration_seconds_sum{error_type="upstream_unavailable",http_request_method="GET",http_response_status_code="502",http_route="/v1/agents/{id}",url_scheme="https"} 0.0015`; !strings.Contains(r.pageText(), series) {
		t.Errorf("the page has no %s", series)
	}
	var line map[string]any
	if err := json.Unmarshal(r.log.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	delete(line, "time")
	id := span.SpanContext().TraceID().String()
	if want := map[string]any{
		"level": "INFO", "msg": "request", "method": "GET", "route": "/v1/agents/{id}", "status": 502.0, "duration_ms": 1.5, "request_id": "the-request", "key_id": "acme",
		"client": "192.0.2.7", "backend": "klen", "agent_id": "klen:a1", "auth_failure": "",
		"sources": "klen=error krosai=hit", "code": "upstream_unavailable", "trace_id": id, "span_id": span.SpanContext().SpanID().String(),
	}; !reflect.DeepEqual(line, want) {
		t.Errorf("the access line has %v, want %v", line, want)
	}
	requests := r.Journal.View(0, 0, journal.Steps).Requests
	if len(requests) != 1 || requests[0].RequestID != "the-request" || requests[0].TraceID != id || requests[0].Status != 502 || requests[0].TookMs != 1.5 {
		t.Errorf("the journal has %+v", requests)
	}
}

// TestEndRequest_UnsampledHasIDs checks that the access line of an unsampled request has ids.
func TestEndRequest_UnsampledHasIDs(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	r := newRecorded(t)
	const id = "0af7651916cd43dd8448eb211c80319c"
	ctx, span := r.StartRequest(context.Background(), "00-"+id+"-b7ad6b7169203331-01", "")
	_, entry := r.Journal.Start(context.Background(), "x", time.Now())
	r.EndRequest(ctx, span, entry, justNow(RequestEvent{Method: "GET", Status: 200}))
	r.lines.Close()
	if own := span.SpanContext().SpanID().String(); own == "b7ad6b7169203331" || !strings.Contains(r.log.String(), `"trace_id":"`+id+`","span_id":"`+own+`"`) || len(r.spans.GetSpans()) != 0 {
		t.Errorf("%d spans, and the line is %s", len(r.spans.GetSpans()), r.log.String())
	}
}

// TestEndRequest_CallersTextIsNotRecorded checks that neither an unknown method nor the path
// of an unknown agent is recorded.
func TestEndRequest_CallersTextIsNotRecorded(t *testing.T) {
	r := newRecorded(t)
	ctx, span := r.StartRequest(context.Background(), "", "")
	r.EndRequest(ctx, span, new(journal.Entry), justNow(RequestEvent{Method: "BREW", Scheme: "http", Route: "/v1/agents/{id}", Status: 404, Code: "agent_not_found", IsClientError: true}))
	if got, want := r.onlySpan(t), `server "HTTP /v1/agents/{id}" Unset: http.request.method=_OTHER http.response.status_code=404 http.route=/v1/agents/{id} url.scheme=http`; got != want {
		t.Errorf("the span is\n%s, want\n%s", got, want)
	}
}

// TestEndCall checks that span, metric and journal have the facts of the event.
func TestEndCall(t *testing.T) {
	failed := CallEvent{
		Backend: "klen-eu", Provider: "klen", Operation: "get", Method: "GET", Address: "api.klen.ai", Port: 443, URL: "https://api.klen.ai/v1/agents/a1",
		Status: 503, ErrorKind: "unavailable", Failed: true, Resend: 1, BreakerState: "closed", Took: 250 * time.Millisecond,
	}
	const attributes = `agentgw.backend=klen-eu agentgw.breaker.state=closed agentgw.operation=get agentgw.provider=klen error.type=unavailable ` +
		`http.request.method=GET http.request.resend_count=1 http.response.status_code=503 server.address=api.klen.ai server.port=443 url.full=https://api.klen.ai/v1/agents/a1`
	canceled := failed
	canceled.Canceled = true
	for want, event := range map[string]CallEvent{
		`client "klen get_agent" Error: ` + attributes: failed,
		`client "klen get_agent" Unset: ` + attributes: canceled,
	} {
		r := newRecorded(t)
		ctx, entry := r.Journal.Start(context.Background(), "the-request", time.Now())
		ctx, span := r.StartCall(ctx, "klen", "get")
		r.EndCall(ctx, span, event)
		r.Journal.End(entry, time.Now(), &journal.Outcome{})
		if got := r.onlySpan(t); got != want {
			t.Errorf("the span is\n%s, want\n%s", got, want)
		}
		if series := `http_client_request_duration_seconds_sum{agentgw_backend="klen-eu",agentgw_operation="get",error_type="unavailable",http_request_method="GET",http_response_status_code="503",server_address="api.klen.ai",server_port="443"} 0.25`; !strings.Contains(r.pageText(), series) {
			t.Errorf("the page has no %s", series)
		}
		requests := r.Journal.View(0, 0, journal.Steps).Requests
		if len(requests) != 1 || len(requests[0].Calls) != 1 || requests[0].Calls[0].Status != 503 || !requests[0].Calls[0].Failed || requests[0].Calls[0].Resend != 1 {
			t.Errorf("the journal has %+v", requests)
		}
	}
}

// TestEvents_WithoutJournal checks that a nil journal is no error.
func TestEvents_WithoutJournal(t *testing.T) {
	r := newRecorded(t)
	r.Journal = nil
	ctx, span := r.StartRequest(context.Background(), "", "")
	callCtx, call := r.StartCall(ctx, "klen", "list")
	r.EndCall(callCtx, call, CallEvent{})
	r.EndRequest(ctx, span, nil, RequestEvent{})
	if n := len(r.spans.GetSpans()); n != 2 {
		t.Errorf("%d spans were recorded", n)
	}
}

// BenchmarkRequest measures what recording an unsampled request costs the request.
func BenchmarkRequest(b *testing.B) {
	b.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	log, lines := NewLogger(io.Discard, func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) })
	defer lines.Close()
	telemetry, err := New(context.Background(), Options{Log: log, SpanProcessor: trace.NewSimpleSpanProcessor(tracetest.NewNoopExporter())})
	if err != nil {
		b.Fatal(err)
	}
	event := RequestEvent{
		Method: "GET", Scheme: "http", Route: "/v1/agents", Status: 200, RequestID: "01J", KeyID: "acme", Cache: "hit",
		Sources: []journal.Source{{Backend: "klen", Status: "ok", Cache: "hit"}, {Backend: "krosai", Status: "ok", Cache: "hit"}},
	}
	b.ReportAllocs()
	for b.Loop() {
		event.Began = time.Now()
		event.Ended = event.Began
		_, entry := telemetry.Journal.Start(context.Background(), event.RequestID, event.Began)
		ctx, span := telemetry.StartRequest(context.Background(), "", "")
		telemetry.EndRequest(ctx, span, entry, event)
	}
}
