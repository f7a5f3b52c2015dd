package telemetry

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// pageText returns the page that Prometheus reads.
func (t *Telemetry) pageText() string {
	w := httptest.NewRecorder()
	t.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// blockedExporter waits for release before each export returns.
type blockedExporter struct {
	mu      sync.Mutex
	release chan error
	spans   int
}

func (e *blockedExporter) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := <-e.release
	e.mu.Lock()
	defer e.mu.Unlock()
	e.spans += len(spans)
	return err
}

func (*blockedExporter) Shutdown(context.Context) error { return nil }

// TestBoundedSpans_CountsOrDelivers checks that each span is either exported or counted.
func TestBoundedSpans_CountsOrDelivers(t *testing.T) {
	telemetry := newTelemetry(t, Options{})
	exporter := &blockedExporter{release: make(chan error)}
	bounded := newBoundedSpans(exporter, 100, telemetry.spanDeliveries)
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(bounded))
	const spans = 5000
	for range spans {
		_, span := provider.Tracer("x").Start(context.Background(), "x")
		span.End()
	}
	if dropped := telemetry.spanDeliveries.dropped.Load(); dropped != spans-100 {
		t.Errorf("%d dropped while nothing leaves, want %d", dropped, spans-100)
	}
	exporter.release <- errors.New("refused") // the first batch
	close(exporter.release)
	if err := provider.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if sum := telemetry.spanDeliveries.dropped.Load(); sum < spans-99 || sum > spans || exporter.spans != 100 || bounded.free.Load() != 100 {
		t.Errorf("%d dropped, %d came to the exporter, room for %d", sum, exporter.spans, bounded.free.Load())
	}
}

// TestDropped_FailingCollector checks that what a collector refuses is counted by signal.
func TestDropped_FailingCollector(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })}
	go func() { _ = refusing.Serve(l) }()
	t.Cleanup(func() { _ = refusing.Close() })
	for name, value := range map[string]string{
		"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + l.Addr().String(),
		"OTEL_BSP_SCHEDULE_DELAY": "10", "OTEL_METRIC_EXPORT_INTERVAL": "10",
	} {
		t.Setenv(name, value)
	}
	telemetry := newTelemetry(t, Options{DroppedLines: func() int64 { return 7 }})
	_, span := telemetry.Tracer.Start(context.Background(), "x")
	span.End()
	deadline := time.Now().Add(30 * time.Second)
	for page := ""; ; page = telemetry.pageText() {
		if strings.Contains(page, `agentgw_telemetry_dropped_total{signal="traces"} 1`) && strings.Contains(page, `agentgw_telemetry_dropped_total{signal="logs"} 7`) &&
			strings.Contains(page, `agentgw_telemetry_dropped_total{signal="metrics"}`) && !strings.Contains(page, `{signal="metrics"} 0`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the page has\n%s", page)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
