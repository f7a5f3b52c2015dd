package gateway

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/agentgw/agentgw/gateway/telemetry"
)

// BenchmarkRequest measures a request on one connection in memory: a list and an agent from
// the response cache, and an agent that its backend, an emulator over loopback, is called for
// each time.
//
//	go test -run '^$' -bench Request -count 10 ./gateway > new.txt && benchstat old.txt new.txt
func BenchmarkRequest(b *testing.B) {
	for _, c := range []struct {
		name, path string
		headers    []string
	}{
		{"cached list", "/v1/agents?limit=1000", nil},
		{"cached agent", "/v1/agents/krosai:agent-1", nil},
		{"uncached agent", "/v1/agents/krosai:agent-1", []string{"Cache-Control", "no-cache"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			send := newMemoryConn(b, unsampled, 100, "krosai")
			b.ReportAllocs()
			for b.Loop() {
				if r := send(c.path, c.headers...); r.StatusCode() != 200 {
					b.Fatalf("%d: %.200s", r.StatusCode(), r.Body())
				}
			}
		})
	}
}

// BenchmarkTelemetry measures a cached list with each telemetry mode. make bench measures the
// same by CPU time, with HTTP clients.
//
//	go test -run '^$' -bench Telemetry -count 10 ./gateway
func BenchmarkTelemetry(b *testing.B) {
	for _, mode := range []telemetryMode{off, unsampled, onePercent, allSampled} {
		b.Run(mode.name, func(b *testing.B) {
			send := newMemoryConn(b, mode, 100, "krosai")
			b.ReportAllocs()
			for b.Loop() {
				if r := send("/v1/agents?limit=1000"); r.StatusCode() != 200 || len(r.Body()) < 10_000 {
					b.Fatalf("%d: %.200s", r.StatusCode(), r.Body())
				}
			}
		})
	}
}

// telemetryMode is a set of OTEL_* variables.
type telemetryMode struct {
	name                             string
	disabled, exporter, sampler, arg string
}

var (
	off        = telemetryMode{name: "off", disabled: "true"} // nor an access log, nor recent requests
	unsampled  = telemetryMode{name: "unsampled", exporter: "otlp", sampler: "parentbased_traceidratio", arg: "0"}
	onePercent = telemetryMode{name: "1%", exporter: "otlp", sampler: "parentbased_traceidratio", arg: "0.01"}
	allSampled = telemetryMode{name: "100%", exporter: "otlp"}
)

// newMemoryConn starts a gateway and opens a connection in memory to it. The function that it
// returns sends a GET and returns the response, which is valid until the next call. headers are
// names and values in turn.
func newMemoryConn(t testing.TB, mode telemetryMode, agents int, providers ...string) func(path string, headers ...string) *fasthttp.Response {
	t.Helper()
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	t.Cleanup(collector.Close)
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_METRICS_EXPORTER": "otlp", "OTEL_SDK_DISABLED": mode.disabled,
		"OTEL_TRACES_EXPORTER": mode.exporter, "OTEL_TRACES_SAMPLER": mode.sampler, "OTEL_TRACES_SAMPLER_ARG": mode.arg,
	} {
		t.Setenv(name, value)
	}
	log := slog.New(slog.DiscardHandler)
	if mode != off {
		written, lines := telemetry.NewLogger(io.Discard, func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) })
		t.Cleanup(lines.Close)
		log = written
	}
	g, _, _ := benchGatewayWith(t, log, time.Hour, agents, providers...)
	if mode == off {
		g.telemetry.Journal = nil
	}
	server := g.NewServer()
	ours, theirs := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.ServeConn(withoutDeadlines{theirs}) // it ends with the connection
	}()
	t.Cleanup(func() {
		ours.Close()
		<-served
	})
	var request []byte
	var response fasthttp.Response
	in := bufio.NewReader(ours)
	return func(path string, headers ...string) *fasthttp.Response {
		request = fmt.Appendf(request[:0], "GET %s HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %s\r\n", path, benchKey)
		for i := 0; i < len(headers); i += 2 {
			request = fmt.Appendf(request, "%s: %s\r\n", headers[i], headers[i+1])
		}
		request = append(request, "\r\n"...)
		if _, err := ours.Write(request); err != nil {
			t.Fatal(err)
		}
		if err := response.Read(in); err != nil {
			t.Fatal(err)
		}
		return &response
	}
}

// withoutDeadlines ignores deadlines. Those of net.Pipe take allocations, which those of a
// socket do not.
type withoutDeadlines struct{ net.Conn }

func (withoutDeadlines) SetReadDeadline(time.Time) error  { return nil }
func (withoutDeadlines) SetWriteDeadline(time.Time) error { return nil }
