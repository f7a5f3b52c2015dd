package telemetry

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"
)

// TestTemporality: a reader of deltas is told what came since, and another one all, each
// time.
func TestTemporality(t *testing.T) {
	tel := &Telemetry{}
	tel.served = newDurations("served", "", Served.attributes)
	tel.upstream = newDurations("upstream", "", Upstream.attributes)
	all, since := tel.newMeasured(metricdata.CumulativeTemporality), tel.newMeasured(metricdata.DeltaTemporality)
	count := func(m *measured) (counts []uint64, sum float64) {
		t.Helper()
		scopes, err := m.Produce(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, point := range scopes[0].Metrics[0].Data.(metricdata.Histogram[float64]).DataPoints {
			counts = append(counts, point.Count)
			sum += point.Sum
		}
		return counts, sum
	}
	for round := 1; round <= 3; round++ {
		tel.Served(Served{Route: "/v1/agents", Status: 200}).Record(trace.SpanContext{}, 20*time.Millisecond)
		tel.Served(Served{Route: "/v1/agents", Status: 200}).Record(trace.SpanContext{}, 30*time.Second)
		if counts, sum := count(all); len(counts) != 1 || counts[0] != uint64(2*round) || sum < 30*float64(round) {
			t.Errorf("all: %v, %v", counts, sum)
		}
		if counts, sum := count(since); len(counts) != 1 || counts[0] != 2 || sum < 30 || sum > 31 {
			t.Errorf("since: %v, %v", counts, sum)
		}
	}
	if counts, _ := count(since); len(counts) != 0 {
		t.Errorf("nothing came, and it is told of %v", counts)
	}
}
