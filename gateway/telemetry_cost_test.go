package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
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

// observedServer is the whole server of a gateway before vendors with so many agents each,
// observed in one of these ways, with one connection that makes no system call. Off is
// without an access line and without a journal, too.
func observedServer(t testing.TB, way, agents int, serve func(testing.TB, http.Handler) string, vendors ...string) func(path string, headers ...string) *fasthttp.Response {
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
		written, lines := telemetry.NewLogger(io.Discard, func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) })
		t.Cleanup(lines.Close)
		log = written
	}
	g, _, _ := benchGatewayWith(t, log, time.Hour, agents, serve, vendors...)
	if off {
		g.telemetry.Journal = nil
	}
	conn := &turnConn{asked: make(chan []byte), answered: make(chan []byte, 1)}
	server := g.NewServer()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.ServeConn(conn) // it ends with the requests
	}()
	t.Cleanup(func() {
		close(conn.asked)
		<-ended
	})
	var sent []byte
	var response fasthttp.Response
	read := bufio.NewReader(nil)
	got := bytes.NewReader(nil)
	return func(path string, headers ...string) *fasthttp.Response {
		sent = fmt.Appendf(sent[:0], "GET %s HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %s\r\n", path, benchKey)
		for i := 0; i < len(headers); i += 2 {
			sent = fmt.Appendf(sent, "%s: %s\r\n", headers[i], headers[i+1])
		}
		sent = append(sent, "\r\n"...)
		conn.asked <- sent
		got.Reset(<-conn.answered)
		read.Reset(got)
		if err := response.Read(read); err != nil {
			t.Fatal(err)
		}
		return &response
	}
}

// turnConn is a connection whose two sides take turns: a request is read in one piece, and
// it is answered when the next one is read.
type turnConn struct {
	net.Conn
	asked, answered chan []byte
	written         []byte
	begun           bool
	closed          atomic.Bool
}

func (c *turnConn) Read(p []byte) (int, error) {
	if c.begun {
		c.answered <- c.written
	}
	c.begun = true
	request, ok := <-c.asked
	if !ok {
		return 0, io.EOF
	}
	c.written = c.written[:0]
	return copy(p, request), nil
}

func (c *turnConn) Write(p []byte) (int, error) {
	c.written = append(c.written, p...)
	return len(p), nil
}

func (c *turnConn) SetReadDeadline(time.Time) error  { return nil }
func (c *turnConn) SetWriteDeadline(time.Time) error { return nil }
func (c *turnConn) Close() error                     { c.closed.Store(true); return nil }
func (c *turnConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *turnConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }

// BenchmarkTelemetry measures the same request, from the cache and through the whole
// handler, in each way of observing it; make bench has it with HTTP around, and by CPU
// time, which is what counts.
//
//	go test -run '^$' -bench Telemetry -count 10 ./gateway
func BenchmarkTelemetry(b *testing.B) {
	for way, w := range observed {
		b.Run(w.name, func(b *testing.B) {
			ask := observedServer(b, way, 100, served, "krosai")
			b.ReportAllocs()
			for b.Loop() {
				if r := ask("/v1/agents?limit=1000"); r.StatusCode() != 200 || len(r.Body()) < 10_000 {
					b.Fatalf("%d: %.200s", r.StatusCode(), r.Body())
				}
			}
		})
	}
}
