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
	"time"
)

// caller asks over a connection of its own, and never sends anything twice: what
// is lost is seen. Like a load balancer it opens no connection to a gateway that
// says that it is not ready.
type caller struct {
	w     *world
	p     *process
	keep  bool // its connection, until it is told to close it
	ready *atomic.Bool
	conn  net.Conn
	in    *bufio.Reader
}

// ask is a request's status; 0 if it could not be sent, because the gateway is not
// ready for another connection.
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

// TestReloadsAndTheEndLoseNoRequest: 200 reloads and a SIGTERM, under load.
func TestReloadsAndTheEndLoseNoRequest(t *testing.T) {
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
					return // as told
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
	waitFor(t, "/readyz to say that it drains", func() bool {
		resp, err := http.Get(p.admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	})
	before := afterSignal.Load()
	waitFor(t, "requests to be answered while it drains", func() bool { return afterSignal.Load() >= before+8 })
	ready.Store(false)
	wg.Wait()
	stop.Store(true)
	select {
	case err := <-p.exited:
		if err != nil {
			t.Errorf("exit: %v\n%s", err, p.stderr)
		}
	case <-time.After(20 * time.Second):
		t.Error("the process does not end")
	}
	t.Logf("%d requests answered, %d of them after SIGTERM", answered.Load(), afterSignal.Load())
}

// TestNothingUnaskedIsLogged: what a vendor says on a connection that is kept, though nobody
// asked, may quote what it was sent. The connection is closed.
func TestNothingUnaskedIsLogged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	said := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			said <- err
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		req, err := http.ReadRequest(in)
		if err != nil {
			said <- err
			return
		}
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"agents\":[]}")
		fmt.Fprintf(conn, "canary you sent %s\r\n\r\n", req.Header.Get("Authorization"))
		_, err = in.ReadByte() // until the gateway has seen it, and hangs up
		said <- err
	}()
	w := newWorld(t)
	w.write(regexp.MustCompile(`(provider: klen\n    base_url: ).*`).ReplaceAllString(w.file, "${1}http://"+l.Addr().String()))
	p := serve(t, w.env, w.path)
	ask(t, w.key, "GET", p.api+"/v1/agents?backend=klen", "").wants(t, 200, "")
	if err := <-said; err != io.EOF && !errors.Is(err, syscall.ECONNRESET) { // it need not have read it
		t.Fatalf("the vendor: %v", err)
	}
	ask(t, w.key, "GET", p.api+"/v1/backends", "").wants(t, 200, "") // its line comes after
	waitFor(t, "the log", func() bool { return strings.Count(p.stderr.String(), `"request"`) >= 2 })
	if log := p.stderr.String(); strings.Contains(log, "canary") || strings.Contains(log, "credential-") {
		t.Errorf("%s", log)
	}
}

// TestNobodyElseEndsIt: a reader of the log who goes away costs lines, and a collector that
// hangs does not use up the grace.
func TestNobodyElseEndsIt(t *testing.T) {
	w := newWorld(t)
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
	var said struct{ Server, Admin string }
	for lines := bufio.NewScanner(r); said.Server == "" && lines.Scan(); {
		_ = json.Unmarshal(lines.Bytes(), &said) // the lines before it are none
	}
	r.Close() // nobody reads on
	for range 20 {
		if got := ask(t, w.key, "GET", "http://"+said.Server+"/v1/agents", ""); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.text)
		}
	}
	waitFor(t, "the lines that nobody reads to be counted", func() bool {
		page := ask(t, "", "GET", "http://"+said.Admin+"/metrics", "").text
		return strings.Contains(page, `agentgw_telemetry_dropped_total{signal="logs"}`) && !strings.Contains(page, `{signal="logs"} 0`)
	})
	began := time.Now()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	t.Logf("it ended after %s", time.Since(began).Round(10*time.Millisecond))
	if grace := 10 * time.Second; time.Since(began) > grace*4/5 { // most of it is drain_for, as it is meant to be
		t.Errorf("a collector that hangs took %s of the grace", time.Since(began))
	}
}
