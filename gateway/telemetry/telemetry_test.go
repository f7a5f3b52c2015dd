package telemetry

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/internal/syncbuf"
)

func newTelemetry(t *testing.T, o Options) *Telemetry {
	t.Helper()
	o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	telemetry, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = telemetry.Shutdown(context.Background()) })
	return telemetry
}

// justNow returns the event of a request that took no time.
func justNow(e RequestEvent) RequestEvent {
	e.Began = time.Now()
	e.Ended = e.Began
	return e
}

// TestNew_InvalidVariables: a mistake in an OTEL_* variable is logged, and does not keep the
// gateway from starting.
func TestNew_InvalidVariables(t *testing.T) {
	f := func(name, value, want string) {
		t.Helper()
		t.Setenv(name, value)
		log, spans := &syncbuf.Buffer{}, tracetest.NewInMemoryExporter()
		told, err := New(context.Background(), Options{Log: slog.New(slog.NewTextHandler(log, nil)), SpanProcessor: trace.NewSimpleSpanProcessor(spans)})
		if err != nil {
			t.Fatalf("%s=%s: %v", name, value, err)
		}
		if !strings.Contains(strings.ReplaceAll(log.String(), `\"`, `"`), want) {
			t.Errorf("%s=%s: the log is %s", name, value, log)
		}
		_, span := told.StartSpan(context.Background(), "x")
		span.End()
		if got := spans.GetSpans(); len(got) != 1 || !slices.Contains(got[0].Resource.Attributes(), attribute.String("service.name", "agentgw")) {
			t.Errorf("%s=%s: %v", name, value, got)
		}
		_ = told.Shutdown(context.Background())
		t.Setenv(name, "")
	}
	f("OTEL_RESOURCE_ATTRIBUTES", "team=voice,,broken", "OTEL_RESOURCE_ATTRIBUTES")
	f("OTEL_METRICS_EXPORTER", "statsd", `OTEL_METRICS_EXPORTER="statsd" is not one of none, prometheus, otlp, console`)
	f("OTEL_TRACES_SAMPLER", "sometimes", `OTEL_TRACES_SAMPLER="sometimes" is not one of`)
	f("OTEL_TRACES_SAMPLER_ARG", "2", `OTEL_TRACES_SAMPLER_ARG="2" is not a ratio`)
	f("OTEL_TRACES_EXPORTER", "zipkin", `OTEL_TRACES_EXPORTER="zipkin" is not one of none, otlp, console`)
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	f("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", `OTEL_EXPORTER_OTLP_PROTOCOL="grpc": only http/protobuf`)
}

// TestNew_SDKDisabled checks that the gateway works without spans and metrics.
func TestNew_SDKDisabled(t *testing.T) {
	t.Setenv("OTEL_SDK_DISABLED", "true")
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	telemetry := newTelemetry(t, Options{})
	ctx, span := telemetry.StartRequest(context.Background(), "", "")
	telemetry.CountCacheRead("klen", "hit")
	telemetry.EndRequest(ctx, span, new(journal.Entry), justNow(RequestEvent{Method: "GET"}))
	if page := telemetry.pageText(); span.IsRecording() || strings.Contains(page, "agentgw") || !strings.Contains(page, "go_goroutines") {
		t.Errorf("recording %v, and the page has\n%s", span.IsRecording(), page)
	}
}

// TestStartRequest_CallersFlagDoesNotSample checks that a caller's sampled flag makes the
// gateway record neither more nor less than its own ratio.
func TestStartRequest_CallersFlagDoesNotSample(t *testing.T) {
	f := func(sampler, arg, flags string, want bool) {
		t.Helper()
		t.Setenv("OTEL_TRACES_SAMPLER", sampler)
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", arg)
		spans := tracetest.NewInMemoryExporter()
		telemetry := newTelemetry(t, Options{SpanProcessor: trace.NewSimpleSpanProcessor(spans)})
		_, span := telemetry.StartRequest(context.Background(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"+flags, "")
		if got := span.SpanContext().TraceID().String(); got != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("the trace is %s", got)
		}
		span.End()
		if got := len(spans.GetSpans()) == 1; got != want {
			t.Errorf("%s %s, flags %s: recorded %v", sampler, arg, flags, got)
		}
	}
	f("", "", "01", true)
	f("parentbased_traceidratio", "0", "01", false)
	f("parentbased_traceidratio", "1", "01", true)
	f("always_off", "", "01", false)
	f("", "", "00", false)
	f("parentbased_always_on", "", "00", false)
	f("always_on", "", "00", true)
	f("traceidratio", "1", "00", true)
}

// TestSpans_PanicsAreNotRecorded checks that the value of a panic, which may quote a
// credential, is in no span.
func TestSpans_PanicsAreNotRecorded(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	telemetry := newTelemetry(t, Options{SpanProcessor: trace.NewSimpleSpanProcessor(spans)})
	func() {
		defer func() { _ = recover() }()
		_, span := telemetry.StartSpan(context.Background(), "x")
		defer span.End()
		panic("a credential")
	}()
	if got := spans.GetSpans(); len(got) != 1 || len(got[0].Events) != 0 {
		t.Errorf("the spans are %v", got)
	}
}

func TestStartRequest_WithoutExporterHasTraceID(t *testing.T) {
	telemetry := newTelemetry(t, Options{})
	_, span := telemetry.StartRequest(context.Background(), "", "")
	if span.IsRecording() {
		t.Error("a span is recorded although nothing exports it")
	}
	if !span.SpanContext().TraceID().IsValid() {
		t.Error("the span has no trace id")
	}
	span.End()
}

func TestMetrics_NamesAndLabels(t *testing.T) {
	telemetry := newTelemetry(t, Options{})
	ctx, span := telemetry.StartRequest(context.Background(), "", "")
	telemetry.EndRequest(ctx, span, new(journal.Entry), justNow(RequestEvent{Method: "BREW", Scheme: "http", Route: "/v1/agents", Status: 200}))
	ctx, span = telemetry.StartCall(context.Background(), "klen", "list")
	telemetry.EndCall(ctx, span, CallEvent{Backend: "klen", Operation: "list", Method: "GET", Address: "api.klen.ai", Port: 443, ErrorKind: "timeout"})
	telemetry.CountCacheRead("klen", "hit")
	telemetry.CountCacheRefusal("klen")
	telemetry.CountCacheEviction("klen")
	telemetry.CountCoalescedRead("klen")
	telemetry.CountBreakerTransition("klen", "closed", "open")
	telemetry.CountIncompleteList("klen")
	telemetry.CountAuthFailure("unknown")
	telemetry.CountReload("ok")
	telemetry.ObserveBreaker("klen", func() string { return "open" })
	telemetry.ObserveQuota("klen", func() (int64, int64, bool) { return 7, 60, true })
	telemetry.ObserveQuota("krosai", func() (int64, int64, bool) { return 0, 0, false })
	telemetry.CountRetry("klen")
	telemetry.CountRefusal("max_inflight")
	telemetry.CountIdempotentCreate("replayed")
	telemetry.ObserveCache(func() (int64, int64) { return 3, 1000 }, func() int64 { return 50 })
	telemetry.ObserveInFlight(func() int64 { return 4 })
	page := telemetry.pageText
	for _, want := range []string{
		`http_server_request_duration_seconds_count{http_request_method="_OTHER",http_response_status_code="200",http_route="/v1/agents",url_scheme="http"} 1`,
		`http_client_request_duration_seconds_count{agentgw_backend="klen",agentgw_operation="list",error_type="timeout",http_request_method="GET",server_address="api.klen.ai",server_port="443"} 1`,
		`agentgw_cache_requests_total{backend="klen",result="hit"} 1`, `agentgw_cache_refused_total{backend="klen"} 1`, `agentgw_coalesced_requests_total{backend="klen"} 1`,
		`agentgw_breaker_transitions_total{backend="klen",from="closed",to="open"} 1`, `agentgw_breaker_state{backend="klen",state="open"} 1`, `agentgw_breaker_state{backend="klen",state="closed"} 0`,
		`agentgw_upstream_quota_remaining{backend="klen"} 7`, `agentgw_upstream_quota_limit{backend="klen"} 60`, `agentgw_requests_in_flight 4`, `agentgw_upstream_retries_total{backend="klen"} 1`, `agentgw_refused_total{reason="max_inflight"} 1`, `agentgw_idempotent_requests_total{result="replayed"} 1`, `agentgw_list_incomplete_total{backend="klen"} 1`, `agentgw_auth_failures_total{reason="unknown"} 1`,
		`agentgw_config_reloads_total{result="ok"} 1`, `agentgw_cache_entries 3`, `agentgw_cache_size_bytes{part="read"} 1000`, `agentgw_cache_size_bytes{part="pages"} 50`, `agentgw_cache_evicted_total{backend="klen"} 1`, "go_goroutines",
	} {
		if !strings.Contains(page(), want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if strings.Contains(page(), `quota_remaining{backend="krosai"}`) {
		t.Error("an unknown quota is shown")
	}
	telemetry.ForgetBackend("klen")
	if strings.Contains(page(), `agentgw_breaker_state{backend="klen"`) {
		t.Error("a removed backend is still shown")
	}
}
