package telemetry

import (
	"context"
	"slices"
	"strings"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/agentgw/agentgw/gateway/journal"
)

// TestMetrics_Temporality checks that a reader of deltas gets what was recorded since the
// collection before, and a cumulative one everything.
func TestMetrics_Temporality(t *testing.T) {
	deltas := sdkmetric.NewManualReader(sdkmetric.WithTemporalitySelector(func(sdkmetric.InstrumentKind) metricdata.Temporality {
		return metricdata.DeltaTemporality
	}))
	cumulative := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(deltas), sdkmetric.WithReader(cumulative))
	telemetry := newTelemetry(t, Options{})
	if err := telemetry.createInstruments(provider.Meter(scope)); err != nil {
		t.Fatal(err)
	}
	for round := 1; round <= 3; round++ {
		for range 2 {
			ctx, span := telemetry.StartRequest(context.Background(), "", "")
			telemetry.EndRequest(ctx, span, new(journal.Entry), justNow(RequestEvent{Method: "GET", Route: "/v1/agents", Status: 200}))
		}
		telemetry.CountRetry("klen")
		if requests, retries := collected(t, deltas); requests != 2 || retries != 1 {
			t.Errorf("round %d: deltas of %d requests and %d retries", round, requests, retries)
		}
		if requests, retries := collected(t, cumulative); requests != 2*round || retries != round {
			t.Errorf("round %d: %d requests and %d retries in all", round, requests, retries)
		}
	}
	if requests, retries := collected(t, deltas); requests != 0 || retries != 0 {
		t.Errorf("deltas of %d requests and %d retries after nothing happened", requests, retries)
	}
}

// collected returns how many requests and retries a reader collects.
func collected(t *testing.T, reader *sdkmetric.ManualReader) (requests, retries int) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, point := range data.DataPoints {
					if !slices.Equal(point.Bounds, durationBuckets) {
						t.Errorf("%s has the buckets %v", m.Name, point.Bounds)
					}
					requests += int(point.Count)
				}
			case metricdata.Sum[int64]:
				for _, point := range data.DataPoints {
					if m.Name == "agentgw.upstream.retries" {
						retries += int(point.Value)
					}
				}
			}
		}
	}
	return requests, retries
}

// TestMetrics_Exemplars checks that a sampled request becomes an exemplar of its duration.
func TestMetrics_Exemplars(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	telemetry := newTelemetry(t, Options{SpanProcessor: trace.NewSimpleSpanProcessor(tracetest.NewInMemoryExporter())})
	if err := telemetry.createInstruments(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter(scope)); err != nil {
		t.Fatal(err)
	}
	ctx, span := telemetry.StartRequest(context.Background(), "", "")
	telemetry.EndRequest(ctx, span, new(journal.Entry), justNow(RequestEvent{Method: "GET", Status: 200}))
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if data, ok := m.Data.(metricdata.Histogram[float64]); ok {
				for _, e := range data.DataPoints[0].Exemplars {
					id := span.SpanContext().TraceID()
					found = found || slices.Equal(e.TraceID, id[:])
				}
			}
		}
	}
	if !found {
		t.Error("the request is no exemplar")
	}
}

// TestInitCounters checks that the series of known label values are shown before anything
// happened.
func TestInitCounters(t *testing.T) {
	telemetry := newTelemetry(t, Options{})
	telemetry.InitCounters(LabelValues{
		CacheResults: []string{"hit"}, AuthFailures: []string{"unknown"}, Refusals: []string{"max_inflight"},
		IdempotentCreates: []string{"created"}, MigrationSteps: []string{"apply"}, Fields: []string{"name"},
	})
	telemetry.InitBackendCounters("klen")
	page := telemetry.pageText()
	for _, want := range []string{
		`agentgw_cache_requests_total{backend="klen",result="hit"} 0`, `agentgw_cache_refused_total{backend="klen"} 0`, `agentgw_cache_evicted_total{backend="klen"} 0`,
		`agentgw_coalesced_requests_total{backend="klen"} 0`, `agentgw_upstream_retries_total{backend="klen"} 0`, `agentgw_list_incomplete_total{backend="klen"} 0`,
		`agentgw_breaker_transitions_total{backend="klen",from="half_open",to="closed"} 0`, `agentgw_auth_failures_total{reason="unknown"} 0`, `agentgw_refused_total{reason="max_inflight"} 0`,
		`agentgw_idempotent_requests_total{result="created"} 0`, `agentgw_migration_steps_total{result="error",step="apply"} 0`, `agentgw_migration_shadow_reads_total 0`,
		`agentgw_migration_shadow_mismatch_total{field="name"} 0`, `agentgw_config_reloads_total{result="error"} 0`, `agentgw_telemetry_dropped_total{signal="traces"} 0`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
}
