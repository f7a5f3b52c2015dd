// Package observability tests the gateway's telemetry with its consumers: an OpenTelemetry
// Collector, Prometheus, and the rules and dashboards of deploy/observability.
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

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/test/internal/gatewaytest"
)

func TestMain(m *testing.M) { gatewaytest.Main(m) }

const deploy = "../../deploy/observability"

// deployed returns a file of deploy/observability.
func deployed(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(deploy, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// sendTo makes gateways that start from now on export to endpoint at short intervals.
func sendTo(t *testing.T, endpoint string) {
	t.Helper()
	for name, value := range map[string]string{
		"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
		"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "300", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
	} {
		t.Setenv(name, value)
	}
}

// tracesAndMetrics returns deploy's configuration of the collector with a pipeline for
// metrics added.
func tracesAndMetrics(t *testing.T) string {
	return deployed(t, "collector.yaml") + "    metrics: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp_http]}\n"
}

// TestCollector tests that spans and metrics pass a real collector unchanged.
func TestCollector(t *testing.T) {
	c := startCollector(t, tracesAndMetrics(t))
	sendTo(t, c.endpoint)
	g := gatewaytest.Start(t, gatewaytest.Options{})
	g.Vendors["krosai"].Control().Fail(sandbox.Fault{Status: 503, Times: 1})
	const parent = "0af7651916cd43dd8448eb211c80319c"
	r, err := g.Ask(context.Background(), "acme", "GET", "/v1/agents", "", "traceparent: 00-"+parent+"-b7ad6b7169203331-01")
	if err != nil || r.Status != 200 {
		t.Fatalf("%v: %s", err, r.Text)
	}
	want := []string{
		"CLIENT agenthuman list_agents < fanout", "CLIENT klen list_agents < fanout", "CLIENT krosai list_agents < fanout",
		"CLIENT krosai list_agents < fanout failed", "CLIENT talkifai list_agents < fanout", "INTERNAL fanout < GET /v1/agents", "SERVER GET /v1/agents < the caller",
	}
	var got []string
	waittest.Until(t, "the trace", func() bool {
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
		waittest.Until(t, name, func() bool { return c.measured(name) })
	}
	if n := g.Metrics().Sum("agentgw_telemetry_dropped_total"); n != 0 {
		t.Errorf("%d were lost on the way to a collector that listens", n)
	}
}

// TestCollector_ThatHangs tests that no request waits for a collector that accepts a
// connection and never responds, and that the telemetry that it does not get is counted.
func TestCollector_ThatHangs(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dead.Close() })
	sendTo(t, "http://"+dead.Addr().String())
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
	// An export of spans never gives up: a request that waited for it would not end.
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", fmt.Sprint(time.Hour.Milliseconds()))
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", fmt.Sprint(time.Hour.Milliseconds()))
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "1000")
	t.Setenv("OTEL_METRIC_EXPORT_TIMEOUT", "1000")
	g := gatewaytest.Start(t, gatewaytest.Options{})
	for range 1400 {
		r, err := g.Ask(context.Background(), "acme", "GET", "/v1/agents", "")
		if err != nil || r.Status != 200 {
			t.Fatalf("%v: %s", err, r.Text)
		}
	}
	waittest.Until(t, "drops to be counted", func() bool {
		page := g.Metrics()
		return page.Sum("agentgw_telemetry_dropped_total", `signal="traces"`) > 1000 && page.Sum("agentgw_telemetry_dropped_total", `signal="metrics"`) > 0
	})
}
