package gateway

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// piecesConn is a connection on which a read brings one piece, and after the last it ends so.
type piecesConn struct {
	turnConn
	pieces [][]byte
	end    error
	write  func() error // before something is written
}

func (c *piecesConn) Read(p []byte) (int, error) {
	if len(c.pieces) == 0 {
		return 0, c.end
	}
	n := copy(p, c.pieces[0])
	if c.pieces[0] = c.pieces[0][n:]; len(c.pieces[0]) == 0 {
		c.pieces = c.pieces[1:]
	}
	return n, nil
}

func (c *piecesConn) Write(p []byte) (int, error) {
	if c.write != nil {
		if err := c.write(); err != nil {
			return 0, err
		}
	}
	return c.turnConn.Write(p)
}

// serve is what the server writes to a connection on which these pieces come.
func (b *bench) serve(fronted bool, end error, pieces ...[]byte) string {
	b.t.Helper()
	conn := &piecesConn{pieces: slices.Clone(pieces), end: end}
	var served net.Conn = conn
	if fronted {
		served = newFront(conn, b.server)
	}
	_ = b.server.app.Server().ServeConn(served) // how it ends is in what was written
	return string(conn.written)
}

// own are what each answer has of its own, and what is the same for all follows.
var own = regexp.MustCompile(`(?m)^(Date|X-Request-Id|Age|Ratelimit|Server-Timing): .*\r\n|"(request_id|trace_id|fetched_at)":"[^"]*"`)

// answersIn are the answers' status lines, and all lines of their heads and bodies, sorted.
func answersIn(text string) (statuses, lines []string) {
	text = strings.ReplaceAll(own.ReplaceAllString(text, ""), "HTTP/1.1 ", "\r\nHTTP/1.1 ")
	lines = strings.Split(text, "\r\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "HTTP/1.1 ") {
			statuses = append(statuses, line[len("HTTP/1.1 "):])
		}
	}
	slices.Sort(lines)
	return statuses, lines
}

// headFor is a head that agentgw's clients would send.
func (b *bench) headFor(path string, headers ...string) string {
	lines := append([]string{"GET " + path + " HTTP/1.1", "Host: h", "Authorization: Bearer " + b.keys[keyAcme]}, headers...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// knownHead is a head that the front answers; it came three times.
func (b *bench) knownHead() string {
	head := b.headFor("/v1/agents/klen:123")
	for range 3 {
		b.serve(true, io.EOF, []byte(head))
	}
	return head
}

// answered is how many lines the log has of requests.
func (b *bench) answered() int { return strings.Count(b.log.String(), `"msg":"request"`) }

// TestFrontIsNotSeen: whatever comes on a connection, and in whichever pieces, it is
// answered as it would be without a front: a head is one only where a request begins.
func TestFrontIsNotSeen(t *testing.T) {
	b := newBench(t, "cache: {ttl: 1h}") // compressed bodies say when they were fetched
	known := []string{
		b.headFor("/v1/agents"), b.headFor("/v1/agents/klen:123"), b.headFor("/v1/agents", "Accept-Encoding: gzip"),
		b.headFor("/v1/agents/klen:123", "If-None-Match: *"), b.headFor("/v1/agents/klen:nobody"),
	}
	for range 3 {
		for _, head := range known {
			b.serve(true, io.EOF, []byte(head))
		}
	}
	replayed := int64(0)
	for range 10 { // TestMain has few checks made
		rapid.Check(t, func(t *rapid.T) {
			head := rapid.SampledFrom(known)
			within := func(method, headers, body string) string {
				return method + " /v1/agents HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + b.keys[keyAcme] + "\r\n" + headers + "\r\n\r\n" + body
			}
			var stream []byte
			var cuts []int // where it may be cut, more likely than elsewhere
			for range rapid.IntRange(1, 6).Draw(t, "requests") {
				inner := strings.Replace(head.Draw(t, "known"), "\r\n", "\r\n"+rapid.SampledFrom([]string{
					"", "", "X-Request-Id: a\r\n", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n", "X-Forwarded-For: a\r\nForwarded:\r\n",
					"X-Request-Id: a\nContent-Length: 4\r\n", "Forwarded: a\rb\r\n", "Forwarded: a\r\n b\r\n", "Forwarded : a\r\n", "Forwarded: \x00\r\n",
				}).Draw(t, "field"), 1)
				request := rapid.SampledFrom([]string{
					inner, inner, inner,
					within("GET", fmt.Sprintf("Content-Length: %d", len(inner)), inner),
					within("POST", fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d", len(inner)), inner),
					within("POST", "Content-Type: application/json\r\nTransfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner)),
					within("GET", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\nX-Api-Key: a\r\n\r\n", len(inner), inner)),
					within("GET", "Expect: 100-continue", ""),
					within("GET", "Connection: close", ""),
					"\r\n" + inner,
					strings.Replace(inner, "GET ", "HEAD ", 1),
					strings.Replace(inner, "\r\n\r\n", "\n\n", 1),
					strings.Replace(inner, "HTTP/1.1", "HTTP/1.0", 1),
					strings.Replace(inner, "Bearer", "Basic", 1),
					inner[:len(inner)-2],
				}).Draw(t, "request")
				if at := strings.Index(request, inner); at > 0 {
					cuts = append(cuts, len(stream)+at, len(stream)+at+len(inner))
				}
				stream = append(stream, request...)
				cuts = append(cuts, len(stream))
			}
			if rapid.Bool().Draw(t, "some of them") {
				cuts = slices.DeleteFunc(cuts, func(int) bool { return rapid.Bool().Draw(t, "not there") })
			}
			cuts = append(cuts, rapid.SliceOfN(rapid.IntRange(1, len(stream)-1), 0, 2).Draw(t, "anywhere")...)
			slices.Sort(cuts)
			var pieces [][]byte
			from := 0
			for _, at := range append(slices.Compact(cuts), len(stream)) {
				if at > from {
					pieces = append(pieces, stream[from:at])
					from = at
				}
			}
			handled := b.handled.Load()
			plain := b.serve(false, io.EOF, pieces...)
			all := b.handled.Load() - handled
			fronted := b.serve(true, io.EOF, pieces...)
			replayed += 2*all - (b.handled.Load() - handled)
			got, lines := answersIn(fronted)
			want, plainLines := answersIn(plain)
			if !slices.Equal(got, want) || !slices.Equal(lines, plainLines) {
				t.Fatalf("%q\nis answered %q, and without a front %q; other lines are %.2000q", pieces, got, want, slices.DeleteFunc(lines, func(l string) bool { return slices.Contains(plainLines, l) }))
			}
		})
	}
	if replayed < 20 {
		t.Errorf("%d requests were answered by the front", replayed)
	}
}

// TestFrontEndsInSilence: a connection on which nothing comes any more, or which breaks, is
// told nothing after what the front answered.
func TestFrontEndsInSilence(t *testing.T) {
	b := newBench(t, "")
	head := b.knownHead()
	waitFor(t, "the log", func() bool { return b.answered() == 3 })
	for _, end := range []error{io.EOF, os.ErrDeadlineExceeded, net.ErrClosed} {
		handled, logged := b.handled.Load(), b.answered()
		if got, _ := answersIn(b.serve(true, end, []byte(head), []byte(head))); !slices.Equal(got, []string{"200 OK", "200 OK"}) {
			t.Errorf("%v: %q", end, got)
		}
		waitFor(t, "two lines", func() bool { return b.answered() >= logged+2 })
		if b.handled.Load() != handled || b.answered() != logged+2 {
			t.Errorf("%v: %d requests came to a handler, %d lines", end, b.handled.Load()-handled, b.answered()-logged)
		}
	}
	late := &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	if got, _ := answersIn(b.serve(true, late, []byte(head), []byte(head[:40]))); !slices.Equal(got, []string{"200 OK", "408 Request Timeout"}) {
		t.Errorf("half a head after one that was replayed: %q", got)
	}
}

// TestFrontThatCannotAnswer: a request whose answer cannot be written has one record, and
// nothing is written behind it.
func TestFrontThatCannotAnswer(t *testing.T) {
	b := newBench(t, "")
	head := b.knownHead()
	logged := 0
	for _, broken := range []error{syscall.EPIPE, &net.OpError{Op: "write", Err: os.ErrDeadlineExceeded}} {
		logged += 3
		waitFor(t, "the log", func() bool { return b.answered() == logged })
		writes := 0
		conn := &piecesConn{pieces: [][]byte{[]byte(head), []byte(head), []byte(head), []byte(head)}, end: io.EOF}
		conn.write = func() error {
			if writes++; writes == 3 {
				return broken
			}
			return nil
		}
		_ = b.server.app.Server().ServeConn(newFront(conn, b.server)) // how it ends is in what was written
		waitFor(t, "three lines", func() bool { return b.answered() >= logged+3 })
		if writes != 3 || b.answered() != logged+3 || strings.Contains(b.log.String(), `"status":4`) {
			t.Errorf("%v: %d writes, %d lines", broken, writes, b.answered()-logged)
		}
	}
}

// TestWhatIsRefusedAfterTheFront: how long a request that HTTP refuses took is counted from
// when it began to come, not from when its connection did.
func TestWhatIsRefusedAfterTheFront(t *testing.T) {
	b := newBench(t, "")
	head := b.knownHead()
	late := time.Now()
	conn := &piecesConn{pieces: [][]byte{[]byte(head), []byte(head), []byte("garbage\r\n\r\n")}, end: io.EOF}
	f := newFront(conn, b.server)
	f.began = f.began.Add(-time.Hour) // as if it were there for so long
	_ = b.server.app.Server().ServeConn(f)
	var refused string
	waitFor(t, "the line", func() bool {
		for line := range strings.Lines(b.log.String()) {
			if strings.Contains(line, `"status":400`) {
				refused = line
			}
		}
		return refused != ""
	})
	var line struct {
		DurationMS float64 `json:"duration_ms"`
	}
	if err := json.Unmarshal([]byte(refused), &line); err != nil || line.DurationMS > float64(time.Since(late).Milliseconds()+1) {
		t.Errorf("%v: %s", err, refused)
	}
}

// TestShutdownClosesFrontsThatWait at once, also where fasthttp never had a request.
func TestShutdownClosesFrontsThatWait(t *testing.T) {
	b := newBench(t, "")
	b.get("/v1/agents/klen:123")
	head := b.knownHead()
	client.CloseIdleConnections()
	conn := b.dial()
	handled := b.handled.Load()
	fmt.Fprint(conn, head)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != 200 || b.handled.Load() != handled {
		t.Fatal(err, "or it was not the front that answered")
	}
	_, _ = io.Copy(io.Discard, resp.Body) // it is all there
	waitFor(t, "it to wait", func() bool {
		b.server.connections.mu.Lock()
		defer b.server.connections.mu.Unlock()
		for c := range b.server.connections.open {
			if c.waits.Load() {
				return true
			}
		}
		return false
	})
	closed := make(chan time.Time, 1)
	go func() {
		_, _ = in.ReadByte() // it ends with the connection
		closed <- time.Now()
	}()
	began := time.Now()
	if err := b.server.Shutdown(10 * time.Second); err != nil {
		t.Error(err)
	}
	// A bound that is not of the machine's: what is not idle has lastRequests.
	if took := (<-closed).Sub(began); took >= lastRequests {
		t.Errorf("it was closed after %s", took)
	}
}

// TestFrontIsClosedOnceItsAnswerIsSent: to fasthttp its connection is idle, and a server that
// shuts down closes those.
func TestFrontIsClosedOnceItsAnswerIsSent(t *testing.T) {
	b := newBench(t, "")
	head := b.knownHead()
	conn := &piecesConn{pieces: [][]byte{[]byte(head), []byte(head)}, end: io.EOF}
	f := newFront(conn, b.server)
	closed := func() bool { return conn.closed.Load() }
	conn.write = func() error {
		if err := f.Close(); err != nil || closed() {
			t.Errorf("closed while it answers: %v", err)
		}
		conn.write = nil
		return nil
	}
	handled := b.handled.Load()
	_ = b.server.app.Server().ServeConn(f)
	if got, _ := answersIn(string(conn.written)); len(got) == 0 || got[0] != "200 OK" || !closed() || b.handled.Load() != handled {
		t.Errorf("closed %t, answers %q", closed(), got)
	}
}

// TestFrontOverTLS: it answers there, too, and says so.
func TestFrontOverTLS(t *testing.T) {
	b := newBench(t, "")
	certFile, keyFile := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	writePair(t, certFile, keyFile, 1)
	config, err := TLSConfig(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLoopback()
	if err != nil {
		t.Fatal(err)
	}
	server, handled := NewServer(b.gateway), atomic.Int64{}
	countHandled(server, &handled)
	served := make(chan error, 1)
	go func() { served <- server.Serve(tls.NewListener(server.Guard(l), config)) }()
	t.Cleanup(func() {
		if err := server.Shutdown(10 * time.Second); err != nil {
			t.Error(err)
		}
		<-served
	})
	conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true}) // its certificate is its own
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	b.get("/v1/agents") // it is in the cache
	b.spans.Reset()
	var seen []string
	for i := range 5 {
		if i == 2 {
			handled.Store(0)
		}
		fmt.Fprint(conn, b.headFor("/v1/agents"))
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body) // compared
		seen = append(seen, fmt.Sprint(resp.StatusCode, string(body)))
	}
	if n := handled.Load(); n > 0 || len(slices.Compact(seen)) != 1 || !strings.HasPrefix(seen[0], "200") {
		t.Errorf("%d came to a handler: %.100q", n, seen)
	}
	spans := 0
	for _, s := range b.spans.GetSpans() {
		if s.Name == "GET /v1/agents" && strings.Contains(fmt.Sprint(s.Attributes), `{"url.scheme":"https"}`) {
			spans++
		}
	}
	if spans != 5 {
		t.Errorf("%d spans of https", spans)
	}
}
