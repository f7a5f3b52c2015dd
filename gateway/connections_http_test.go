package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentgw/agentgw/gateway/api"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

// dial opens a connection to the bench's gateway.
func (b *bench) dial() net.Conn {
	b.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	return conn
}

// raw sends text and reads responses until the connection is closed or the time is over.
func (b *bench) raw(text string, timeout time.Duration) (statuses []int, bodies []string, closed bool) {
	b.t.Helper()
	conn := b.dial()
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		b.t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		b.t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			n, ok := errors.AsType[net.Error](err)
			return statuses, bodies, !ok || !n.Timeout()
		}
		body, _ := io.ReadAll(resp.Body) // may be cut off
		statuses, bodies = append(statuses, resp.StatusCode), append(bodies, string(body))
	}
}

// TestFraming_AmbiguousRequestIsRefused checks that a request whose end a proxy may see elsewhere
// is refused with 400, and that nothing after it on the connection is read.
func TestFraming_AmbiguousRequestIsRefused(t *testing.T) {
	b := newBench(t, "")
	b.reload("request_timeout: 2m", "request_timeout: 2m, cors: {origins: [https://app.example]}")
	key := "X-API-Key: " + b.keys[keyAcme] + "\r\n"
	const smuggled = "GET /v1/agents HTTP/1.1\r\nHost: h\r\nX-API-Key: smuggled\r\n\r\n"
	post := func(version, headers, body string) string {
		return "POST /v1/agents HTTP/" + version + "\r\n" + key + "Content-Type: application/json\r\n" + headers + "\r\n" + body
	}
	for name, text := range map[string]string{
		"CL and TE":                 post("1.1", "Host: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled),
		"TE and CL":                 post("1.1", "Host: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"+smuggled),
		"te and cl":                 post("1.1", "Host: h\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n", "0\r\n\r\n"+smuggled),
		"TE on HTTP/1.0":            post("1.0", "Host: h\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled),
		"CL and TE on HTTP/1.0":     post("1.0", "Host: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled),
		"two CLs":                   post("1.1", "Host: h\r\nContent-Length: 2\r\nContent-Length: 0\r\n", "{}"+smuggled),
		"a list of CLs":             post("1.1", "Host: h\r\nContent-Length: 2, 2\r\n", "{}"+smuggled),
		"a signed CL":               post("1.1", "Host: h\r\nContent-Length: +2\r\n", "{}"+smuggled),
		"a negative CL":             post("1.1", "Host: h\r\nContent-Length: -2\r\n", "{}"+smuggled),
		"two TEs":                   post("1.1", "Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"+smuggled),
		"a list of TEs":             post("1.1", "Host: h\r\nTransfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"+smuggled),
		"TE that is not known":      post("1.1", "Host: h\r\nTransfer-Encoding: xchunked\r\n", "0\r\n\r\n"+smuggled),
		"TE identity with CL":       post("1.1", "Host: h\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n", "{}"+smuggled),
		"TE identity":               post("1.1", "Host: h\r\nTransfer-Encoding: identity\r\n", smuggled),
		"space before the colon":    post("1.1", "Host: h\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"+smuggled),
		"a folded header":           post("1.1", "Host: h\r\nX-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", smuggled),
		"two Hosts":                 post("1.1", "Host: h\r\nHost: i\r\nContent-Length: 0\r\n", smuggled),
		"no Host":                   post("1.1", "Content-Length: 0\r\n", smuggled),
		"CL and TE, in a preflight": "OPTIONS /v1/agents HTTP/1.1\r\nHost: h\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: POST\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"CL and TE, refused anyway": "GET /" + strings.Repeat("x", 9000) + " HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"a bare LF":                 post("1.1", "Host: h\r\nX-A: b\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled),
		"HTTP/1.2":                  post("1.2", "Host: h\r\nContent-Length: 2\r\n", "{}"+smuggled),
		"HTTP/2.0":                  post("2.0", "Host: h\r\nContent-Length: 2\r\n", "{}"+smuggled),
		"a chunk size that is not":  post("1.1", "Host: h\r\nTransfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"+smuggled),
	} {
		t.Run(name, func(t *testing.T) {
			statuses, bodies, closed := b.raw(text, 3*time.Second)
			if len(statuses) != 1 || statuses[0] != 400 || !closed || !strings.Contains(bodies[0], `"code":"invalid_parameter"`) {
				t.Errorf("statuses %v, closed %v: %s", statuses, closed, bodies)
			}
			if strings.Contains(strings.Join(bodies, ""), b.keys[keyAcme]) || strings.Contains(strings.Join(bodies, ""), "smuggled") {
				t.Errorf("the response quotes the request: %s", bodies)
			}
		})
	}
	// Valid requests on one connection are answered in order.
	good := "GET /v1/backends HTTP/1.1\r\nHost: h\r\n" + key + "\r\n"
	if statuses, bodies, _ := b.raw(good+post("1.1", "Host: h\r\nTransfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n")+good+post("1.1", "Host: h\r\nContent-Length: 2\r\nConnection: close\r\n", "{}"), 3*time.Second); fmt.Sprint(statuses) != "[200 422 200 422]" {
		t.Errorf("%v %s", statuses, bodies)
	}
	if n := b.requests("krosai"); n != 0 {
		t.Errorf("%d requests reached the provider", n)
	}
}

// TestConnections_AreLimited checks that connections over a limit, in total or from one address,
// are closed without a response, until others have been closed.
func TestConnections_AreLimited(t *testing.T) {
	for setting, reason := range map[string]string{"max_connections": "max_connections", "max_connections_per_address": "max_connections_per_address"} {
		b := newBench(t, "")
		b.reload("max_inflight: 2048", "max_inflight: 2048, "+setting+": 3")
		var kept []net.Conn
		for range 3 {
			kept = append(kept, b.dial())
		}
		waittest.Until(t, "all three to be accepted", func() bool {
			connections, _ := b.server.OpenConnections()
			return connections == 3
		})
		over := b.dial()
		if n, err := over.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%s: the connection over the limit got %d bytes, %v", setting, n, err)
		}
		if page := b.metrics(); !strings.Contains(page, `agentgw_refused_total{reason="`+reason+`"} 1`) {
			t.Errorf("%s is not counted", reason)
		}
		kept[0].Close()
		waittest.Until(t, "a free connection", func() bool {
			conn := b.dial()
			defer conn.Close()
			fmt.Fprintf(conn, "GET /docs/errors HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			_, err := http.ReadResponse(bufio.NewReader(conn), nil)
			return err == nil
		})
		for _, conn := range kept {
			conn.Close()
		}
		waittest.Until(t, "all connections to end", func() bool {
			connections, addresses := b.server.OpenConnections()
			return connections == 0 && addresses == 0
		})
	}
}

// TestAccept_OutOfDescriptors checks that a server goes on after temporary failures to accept.
// fasthttp alone would stop.
func TestAccept_OutOfDescriptors(t *testing.T) {
	b := newBench(t, "")
	l, err := newLoopback()
	if err != nil {
		t.Fatal(err)
	}
	failing := &failingListener{Listener: l, errs: []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS}}
	other := b.gateway.NewServer()
	served := make(chan error, 1)
	go func() { served <- other.Serve(other.Guard(failing)) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/docs/errors")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if err := other.Shutdown(5 * time.Second); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// failingListener returns its errors, one for each Accept, and then accepts.
type failingListener struct {
	net.Listener
	errs []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: err}
	}
	return l.Listener.Accept()
}

// TestDrain_AnswersAndClosesConnections checks that a draining server answers, and closes each
// connection after the response.
func TestDrain_AnswersAndClosesConnections(t *testing.T) {
	b := newBench(t, "")
	conn := b.dial()
	in := bufio.NewReader(conn)
	ask := func() *http.Response {
		t.Helper()
		fmt.Fprintf(conn, "GET /docs/errors HTTP/1.1\r\nHost: h\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp
	}
	if resp := ask(); resp.Close {
		t.Error("the connection is closed before the drain")
	}
	drained := make(chan struct{})
	go func() { b.server.Drain(2 * time.Second); close(drained) }()
	waittest.Until(t, "the drain to begin", func() bool { return b.get("/v1/backends").Close })
	if resp := ask(); resp.StatusCode != 200 || !resp.Close {
		t.Errorf("%d, closed %v", resp.StatusCode, resp.Close)
	}
	if r := b.get("/v1/backends").wants(t, 200, ""); !r.Close {
		t.Error("a new connection is kept open")
	}
	select {
	case <-drained:
		t.Error("the drain ended before its time")
	default:
	}
	<-drained
}

// TestShutdown_FinishesRequestsAndRefusesNewOnes checks that requests in progress are finished
// and that new ones on open connections get 503 draining.
func TestShutdown_FinishesRequestsAndRefusesNewOnes(t *testing.T) {
	b := newBench(t, "timeout: 60s")
	release := make(chan struct{})
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Change: func(body []byte) []byte { <-release; return body }})
	conn := b.dial()
	request := "GET " + krosaiAgent + " HTTP/1.1\r\nHost: h\r\nX-API-Key: " + b.keys[keyAcme] + "\r\n\r\n"
	fmt.Fprint(conn, request)
	waittest.Until(t, "the request to run", func() bool { return b.requests("krosai") == 1 })
	late := b.dial()
	fmt.Fprint(late, "GET /v1/backends HTTP/1.1\r\n") // incomplete
	waittest.Until(t, "both connections", func() bool { return b.inFlight() == 1 })
	done := make(chan error, 1)
	go func() { done <- b.server.Shutdown(9 * time.Second) }()
	waittest.Until(t, "the shutdown to begin", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil // the listener is closed
	})
	fmt.Fprint(late, "Host: h\r\nX-API-Key: "+b.keys[keyAcme]+"\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(late), nil)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 503 || !strings.Contains(string(text), `"draining"`) || resp.Header.Get("Retry-After") == "" || !resp.Close {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	close(release)
	if resp, err = http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("the request in progress: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestShutdown_DoesNotWaitForIncompleteRequests checks that connections without a complete
// request are closed soon after the listener.
func TestShutdown_DoesNotWaitForIncompleteRequests(t *testing.T) {
	b := newBench(t, "")
	b.get("/docs/errors")
	client.CloseIdleConnections()
	for _, first := range []string{"", "GET /v1/agents HT", "POST /v1/agents HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n{"} {
		fmt.Fprint(b.dial(), first)
	}
	waittest.Until(t, "all three to be accepted", func() bool {
		connections, _ := b.server.OpenConnections()
		return connections == 3
	})
	if err := b.server.Shutdown(8 * time.Second); err != nil { // less than the time that headers and body have
		t.Error(err)
	}
}

// pipes is a listener in memory, for tests with a fake clock.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, io.EOF
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// requestTimeout is that of the bench.
const requestTimeout = 2 * time.Minute

// TestTimeout_SlowRequest checks the time for headers and for the body, of clients that send
// nothing or a byte each second.
func TestTimeout_SlowRequest(t *testing.T) {
	b := newBench(t, "")
	b.get("/docs/errors") // fasthttp's goroutine for the Date header must not begin in the bubble
	f := func(name, first string, status int, want time.Duration) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := b.gateway.NewServer()
				l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
				served := make(chan struct{})
				go func() { _ = s.Serve(s.Guard(l)); close(served) }() // until Shutdown
				ours, theirs := net.Pipe()
				l.conns <- theirs
				began := time.Now()
				go func() { // a byte each second, as long as somebody reads
					_, err := io.WriteString(ours, first)
					for err == nil && first != "" {
						time.Sleep(time.Second)
						_, err = io.WriteString(ours, "x")
					}
				}()
				resp, err := http.ReadResponse(bufio.NewReader(ours), nil)
				took := time.Since(began)
				if err == nil && (resp.StatusCode != status || !resp.Close) || took != want {
					t.Errorf("%v after %s, want %s", resp, took, want)
				}
				ours.Close()
				if err := s.Shutdown(time.Minute); err != nil {
					t.Error(err)
				}
				<-served
				time.Sleep(time.Minute) // for fasthttp's workers, who look only now and then
			})
		})
	}
	const head = "POST /v1/agents HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
	key := "X-Api-Key: " + b.keys[keyAcme] + "\r\n"
	f("silent", "", 408, api.HeaderTimeout)
	f("headers", "GET /v1/agents HTTP/1.1\r\nHost: h\r\nX-Slow: ", 408, api.HeaderTimeout)
	f("body", head+key+"Content-Length: 1000\r\n\r\n", 408, requestTimeout)
	f("body without a key", head+"Content-Length: 1000\r\n\r\n", 401, 0)
	f("body that is too large", head+key+"Content-Length: 100000000\r\n\r\n", 413, 0)
}

// TestTrailer_IsIgnored checks that a trailer cannot authenticate a request or change its
// response (RFC 9110, section 6.5.1).
func TestTrailer_IsIgnored(t *testing.T) {
	b := newBench(t, "breaker: {consecutive: 1000, min_requests: 1000}")
	f := func(head, trailer string, want int) {
		t.Helper()
		statuses, _, _ := b.raw("GET /v1/agents HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"+head+"Transfer-Encoding: chunked\r\n\r\n0\r\n"+trailer+"\r\n", 30*time.Second)
		if len(statuses) != 1 || statuses[0] != want {
			t.Errorf("%q and %.20q: %v, want %d", head, trailer, statuses, want)
		}
	}
	key := "X-Api-Key: " + b.keys[keyAcme] + "\r\n"
	b.vendors["klen"].Control().Fail(faultOf(500)) // so that strict handling changes the response
	for range 2 {
		f("", "", 401)
		f("", key, 401)
		f("Trailer: X-Api-Key\r\n", "x-api-key: "+b.keys[keyAcme]+"\r\n", 401)
		f(key, "", 200)
		f(key, "X-Checksum: 1\r\n", 200)
		f(key, "Prefer: handling=strict\r\n", 200)
		f(key, "X-Api-Key: another\r\n", 200)
		f(key+"Prefer: handling=strict\r\n", "", 502)
	}
}
