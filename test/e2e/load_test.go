package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/agentgw/agentgw/internal/waittest"
)

// caller uses its own connection and repeats nothing, so that a lost request is seen. Like a
// load balancer it opens no connection to a gateway that is not ready.
type caller struct {
	w     *world
	p     *process
	keep  bool // the connection, until the gateway closes it
	ready *atomic.Bool
	conn  net.Conn
	in    *bufio.Reader
}

// ask sends a request and returns its status, or 0 if the gateway is not ready for another
// connection.
func (c *caller) ask() (int, error) {
	if c.conn == nil {
		if !c.ready.Load() {
			return 0, nil
		}
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.p.api, "http://"))
		if err != nil {
			return 0, fmt.Errorf("connecting: %w", err)
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}
	if _, err := fmt.Fprintf(c.conn, "GET /v1/agents?require=all HTTP/1.1\r\nHost: gateway\r\nX-API-Key: %s\r\n\r\n", c.w.key); err != nil {
		return 0, fmt.Errorf("sending: %w", err)
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, fmt.Errorf("waiting for the answer: %w", err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, fmt.Errorf("reading the answer: %w", err)
	}
	if resp.Close || !c.keep {
		c.conn.Close()
		c.conn = nil
	}
	return resp.StatusCode, nil
}

// TestLoad_NoRequestIsLost tests that 200 reloads and a SIGTERM under load lose no request.
func TestLoad_NoRequestIsLost(t *testing.T) {
	w := newWorld(t)
	p := serve(t, w.env, w.path)
	var ready, stop atomic.Bool
	ready.Store(true)
	var wg sync.WaitGroup
	var answered, afterSignal atomic.Int64
	var signalled atomic.Bool
	for i := range 8 {
		wg.Go(func() {
			c := &caller{w: w, p: p, keep: i%2 == 0, ready: &ready}
			for !stop.Load() {
				status, err := c.ask()
				switch {
				case err != nil:
					t.Errorf("a request was lost: %v", err)
					return
				case status == 0:
					return // the gateway is draining
				case status != 200:
					t.Errorf("status %d", status)
				}
				answered.Add(1)
				if signalled.Load() {
					afterSignal.Add(1)
				}
			}
		})
	}
	removed := strings.Split(w.file, "  - id: second")[0]
	for i := range 200 {
		file, want := w.file, 200
		if i%2 == 0 {
			file, want = removed, 401
		}
		w.write(strings.Replace(file, "shutdown_grace: 10s", fmt.Sprintf("shutdown_grace: 10s, request_timeout: %ds", 10+i%3), 1))
		ask(t, "", "POST", p.admin+"/reload", "").wants(t, 200, "")
		if r := ask(t, w.second, "GET", p.api+"/v1/backends", ""); r.status != want {
			t.Fatalf("reload %d: the second key gets %d, want %d", i, r.status, want)
		}
	}
	if answered.Load() < 200 {
		t.Errorf("only %d requests under 200 reloads", answered.Load())
	}
	client.CloseIdleConnections()
	signalled.Store(true)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, "/readyz to say that it drains", func() bool {
		resp, err := http.Get(p.admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	})
	before := afterSignal.Load()
	waittest.Until(t, "requests to be answered while it drains", func() bool { return afterSignal.Load() >= before+8 })
	ready.Store(false)
	wg.Wait()
	stop.Store(true)
	if err := waittest.Receive(t, "the process to end", p.exited); err != nil {
		t.Errorf("exit: %v\n%s", err, p.stderr)
	}
	t.Logf("%d requests answered, %d of them after SIGTERM", answered.Load(), afterSignal.Load())
}

// TestUpstream_StrayBytesAreNotLogged tests that bytes that a provider sends on an idle
// connection, which may quote a request, close the connection and are not logged.
func TestUpstream_StrayBytesAreNotLogged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			ended <- err
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		req, err := http.ReadRequest(in)
		if err != nil {
			ended <- err
			return
		}
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"agents\":[]}")
		fmt.Fprintf(conn, "canary you sent %s\r\n\r\n", req.Header.Get("Authorization"))
		_, err = in.ReadByte() // until the gateway closes the connection
		ended <- err
	}()
	w := newWorld(t)
	w.write(regexp.MustCompile(`(provider: klen\n    base_url: ).*`).ReplaceAllString(w.file, "${1}http://"+l.Addr().String()))
	p := serve(t, w.env, w.path)
	ask(t, w.key, "GET", p.api+"/v1/agents?backend=klen", "").wants(t, 200, "")
	if err := <-ended; err != io.EOF && !errors.Is(err, syscall.ECONNRESET) { // it need not have read it
		t.Fatalf("the vendor: %v", err)
	}
	ask(t, w.key, "GET", p.api+"/v1/backends", "").wants(t, 200, "") // its line comes after
	waittest.Until(t, "the log", func() bool { return strings.Count(p.stderr.String(), `"request"`) >= 2 })
	if log := p.stderr.String(); strings.Contains(log, "canary") || strings.Contains(log, "credential-") {
		t.Errorf("%s", log)
	}
}

// TestShutdown_BrokenLogAndCollector tests that a closed log pipe loses lines but does not end
// the process, and that a collector that hangs does not use up shutdown_grace.
func TestShutdown_BrokenLogAndCollector(t *testing.T) {
	w := newWorld(t)
	w.write(strings.Replace(w.file, "shutdown_grace: 10s", "shutdown_grace: 1h, drain_for: 100ms", 1))
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	r, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--config", w.path)
	cmd.Env = append(append(os.Environ(), w.env...), "OTEL_TRACES_EXPORTER=otlp", "OTEL_METRICS_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+hanging.Addr().String())
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	stderr.Close()
	var address struct{ Server, Admin string }
	for lines := bufio.NewScanner(r); address.Server == "" && lines.Scan(); {
		_ = json.Unmarshal(lines.Bytes(), &address) // other lines have no address
	}
	r.Close() // the rest of the log has no reader
	for range 20 {
		if got := ask(t, w.key, "GET", "http://"+address.Server+"/v1/agents", ""); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.text)
		}
	}
	waittest.Until(t, "the lines that nobody reads to be counted", func() bool {
		page := ask(t, "", "GET", "http://"+address.Admin+"/metrics", "").text
		return strings.Contains(page, `agentgw_telemetry_dropped_total{signal="logs"}`) && !strings.Contains(page, `{signal="logs"} 0`)
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	if err := waittest.Receive(t, "the process to end long before shutdown_grace", exited); err != nil {
		t.Errorf("exit: %v", err)
	}
}
