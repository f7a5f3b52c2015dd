// Package observability holds what the gateway tells of itself against those who are
// told: an OpenTelemetry Collector, Prometheus, and what deploy/observability makes of
// it.
package observability

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/test/live"
)

func TestMain(m *testing.M) { live.Main(m) }

const deploy = "../../deploy/observability"

func deployed(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(deploy, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// sendTo has gateways that start from now on send their telemetry there, soon.
func sendTo(t *testing.T, endpoint string) {
	t.Helper()
	for name, value := range map[string]string{
		"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
		"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "300", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
	} {
		t.Setenv(name, value)
	}
}

// both is deploy's configuration of the collector, with a pipeline for metrics too.
func both(t *testing.T) string {
	return deployed(t, "collector.yaml") + "    metrics: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp_http]}\n"
}

// TestCollector: spans and metrics come through a real collector as they were sent.
func TestCollector(t *testing.T) {
	c := startCollector(t, both(t))
	sendTo(t, c.endpoint)
	l := live.Start(t, live.Options{})
	l.Vendors["krosai"].Control().Fail(sandbox.Fault{Status: 503, Times: 1})
	const parent = "0af7651916cd43dd8448eb211c80319c"
	r, err := l.Ask(context.Background(), "acme", "GET", "/v1/agents", "", "traceparent: 00-"+parent+"-b7ad6b7169203331-01")
	if err != nil || r.Status != 200 {
		t.Fatalf("%v: %s", err, r.Text)
	}
	want := []string{
		"CLIENT agenthuman list_agents < fanout", "CLIENT klen list_agents < fanout", "CLIENT krosai list_agents < fanout",
		"CLIENT krosai list_agents < fanout failed", "CLIENT talkifai list_agents < fanout", "INTERNAL fanout < GET /v1/agents", "SERVER GET /v1/agents < the caller",
	}
	var got []string
	waitFor(t, "the trace", func() bool {
		spans := c.arrived(parent)
		names := map[string]string{"b7ad6b7169203331": "the caller"}
		for _, s := range spans {
			names[s.id] = s.name
		}
		got = nil
		for _, s := range spans {
			line := fmt.Sprintf("%s %s < %s", s.kind, s.name, names[s.parent])
			if s.failed {
				line += " failed"
			}
			got = append(got, line)
		}
		slices.Sort(got)
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		t.Errorf("the trace is\n%s\n, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, s := range c.arrived(parent) {
		if s.resource["service.name"] != "agentgw" || s.resource["service.instance.id"] == "" || s.resource["deployment.environment.name"] != "test" {
			t.Errorf("%s is of %v", s.name, s.resource)
		}
		if s.kind == "SERVER" && (s.attributes["http.route"] != "/v1/agents" || s.attributes["http.response.status_code"] != "200" || s.attributes["agentgw.key.id"] != "acme") {
			t.Errorf("it has %v", s.attributes)
		}
	}
	for _, name := range []string{"http.server.request.duration", "http.client.request.duration", "agentgw.cache.requests", "agentgw.breaker.state", "agentgw.telemetry.dropped", "go_goroutines"} {
		waitFor(t, name, func() bool { return c.measured(name) })
	}
}

// TestADeadCollectorSlowsNobody: one that takes a connection and never answers changes
// the latency of no request, and what it does not get is counted.
func TestADeadCollectorSlowsNobody(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dead.Close() })
	sendTo(t, "http://"+dead.Addr().String())
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
	t.Setenv("OTEL_METRIC_EXPORT_TIMEOUT", "1000")
	lost := live.Start(t, live.Options{})
	c := startCollector(t, both(t))
	sendTo(t, c.endpoint)
	for _, name := range []string{"OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_METRIC_EXPORT_TIMEOUT"} {
		t.Setenv(name, "")
	}
	heard := live.Start(t, live.Options{})

	median := func(l *live.Live) time.Duration {
		var took []time.Duration
		for range 200 {
			r, err := l.Ask(context.Background(), "acme", "GET", "/v1/agents", "")
			if err != nil || r.Status != 200 {
				t.Fatalf("%v: %s", err, r.Text)
			}
			took = append(took, r.Took)
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	var ratios []float64
	for range 7 {
		ratios = append(ratios, float64(median(lost))/float64(median(heard)))
	}
	slices.Sort(ratios)
	t.Logf("with a dead collector requests take %.2f times as long (medians of 200, of seven rounds: %.2f)", ratios[len(ratios)/2], ratios)
	if ratios[len(ratios)/2] > 1.5 {
		t.Errorf("with a dead collector requests take longer: %.2f", ratios)
	}
	waitFor(t, "drops to be counted", func() bool {
		return lost.Sum("agentgw_telemetry_dropped_total", `signal="traces"`) > 1000 && lost.Sum("agentgw_telemetry_dropped_total", `signal="metrics"`) > 0
	})
	if n := heard.Sum("agentgw_telemetry_dropped_total"); n != 0 {
		t.Errorf("%d are lost on the way to a collector that listens", n)
	}
}
