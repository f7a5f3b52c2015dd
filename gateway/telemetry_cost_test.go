package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/agentgw/agentgw/gateway/telemetry"
)

// observed are the ways in which a request can be observed.
var observed = []struct {
	name    string
	environ map[string]string
}{
	{"off", map[string]string{"OTEL_SDK_DISABLED": "true"}},
	{"unsampled", map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}},
	{"1%", map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}},
	{"100%", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}},
}

// observedServer is the whole handler of a gateway before vendors with so many agents each,
// observed in one of these ways, and without a connection. Off is without an access line and without a journal, too.
func observedServer(t testing.TB, way, agents int, vendors ...string) func(path string, headers ...string) *fasthttp.Response {
	t.Helper()
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	t.Cleanup(sink.Close)
	set := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": sink.URL, "OTEL_METRICS_EXPORTER": "otlp"}
	for _, w := range observed {
		for name := range w.environ {
			set[name] = ""
		}
	}
	for name, value := range observed[way].environ {
		set[name] = value
	}
	for name, value := range set {
		t.Setenv(name, value)
	}
	off := observed[way].name == "off"
	log := slog.New(slog.DiscardHandler)
	if !off {
		written, lines := telemetry.NewLog(io.Discard, func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) })
		t.Cleanup(lines.Close)
		log = written
	}
	g, _, _ := benchGatewayWith(t, log, time.Hour, agents, vendors...)
	if off {
		g.journal, g.cache.journal = nil, nil
	}
	handler := NewServer(g).app.Server().Handler
	var c fasthttp.RequestCtx // a server uses it again, too
	authorization := "Bearer " + benchKey
	var sent bytes.Buffer
	read := bufio.NewReader(&sent)
	return func(path string, headers ...string) *fasthttp.Response {
		c.Request.Reset()
		c.Response.Reset()
		sent.Reset()
		fmt.Fprintf(&sent, "GET %s HTTP/1.1\r\nHost: gateway\r\nAuthorization: %s\r\n", path, authorization)
		for i := 0; i < len(headers); i += 2 {
			fmt.Fprintf(&sent, "%s: %s\r\n", headers[i], headers[i+1])
		}
		sent.WriteString("\r\n")
		read.Reset(&sent)
		if err := c.Request.Read(read); err != nil {
			t.Fatal(err)
		}
		handler(&c)
		return &c.Response
	}
}

// BenchmarkTelemetry measures the same request, from the cache and through the whole
// handler, in each way of observing it; make bench has it with HTTP around, and by CPU
// time, which is what counts.
//
//	go test -run '^$' -bench Telemetry -count 10 ./gateway
func BenchmarkTelemetry(b *testing.B) {
	for way, w := range observed {
		b.Run(w.name, func(b *testing.B) {
			ask := observedServer(b, way, 100, "krosai")
			b.ReportAllocs()
			for b.Loop() {
				if r := ask("/v1/agents?limit=1000"); r.StatusCode() != 200 || len(r.Body()) < 10_000 {
					b.Fatalf("%d: %.200s", r.StatusCode(), r.Body())
				}
			}
		})
	}
}
