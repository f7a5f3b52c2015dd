package upstream

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// TestNoValueAddsALine: nothing is sent of what would not be one header, or one target.
func TestNoValueAddsALine(t *testing.T) {
	var received atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { received.Add(1) }))
	defer server.Close()
	c := client(t, server.URL)
	for name, r := range map[string]adapters.Request{
		"a value":  {Path: "/", Header: []adapters.Field{{Name: "X-Key", Value: "a\r\nX-Other: b"}}},
		"a name":   {Path: "/", Header: []adapters.Field{{Name: "X-Key: a\r\nX-Other", Value: "b"}}},
		"a space":  {Path: "/a HTTP/1.1"},
		"a line":   {Path: "/a\r\nX-Other:b"},
		"no ASCII": {Path: "/é"},
	} {
		r.Method, r.Decode = "GET", func(adapters.Response) error { return nil }
		err := c.Exchange(t.Context(), &r)
		if normalize.KindOf(err) != normalize.KindInternal || strings.Contains(err.Error(), "X-Other") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := received.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	// A query is escaped here.
	err := c.Exchange(t.Context(), &adapters.Request{Method: "GET", Path: "/", Query: url.Values{"a b": {"c\r\nd"}}, Decode: func(adapters.Response) error { return nil }})
	if err != nil || received.Load() != 1 {
		t.Errorf("%v", err)
	}
}

// TestLengths: RFC 9110, section 8.6; some servers refuse a POST without a length.
func TestLengths(t *testing.T) {
	var length string
	address := speaks(t, func(conn net.Conn, in *bufio.Reader) {
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			length = strings.Join(r.Header["Content-Length"], ",") // net/http leaves what was sent
			_, _ = io.Copy(io.Discard, r.Body)                     // whatever it is
			fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	c := client(t, "http://"+address)
	for _, r := range []struct {
		method string
		body   []byte
		want   string
	}{{"GET", nil, ""}, {"DELETE", nil, ""}, {"POST", nil, "0"}, {"PUT", []byte("{}"), "2"}, {"PATCH", []byte(strings.Repeat(" ", 100_000)), "100000"}} {
		err := c.Exchange(t.Context(), &adapters.Request{Method: r.method, Path: "/", Body: r.body, Decode: func(adapters.Response) error { return nil }})
		if err != nil || length != r.want {
			t.Errorf("%s with %d bytes: %v, Content-Length %q", r.method, len(r.body), err, length)
		}
	}
}

// says answers each request with the same bytes, and hangs up then if it is told to.
func says(t *testing.T, text string, hangUp bool) (base string) {
	t.Helper()
	return "http://" + speaks(t, func(conn net.Conn, in *bufio.Reader) {
		for took(in) {
			fmt.Fprint(conn, text)
			if hangUp {
				return
			}
		}
	})
}

// TestWaysToAnswer: the forms of a message that HTTP/1.1 knows (RFC 9112, sections 6 and 7).
func TestWaysToAnswer(t *testing.T) {
	const interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
	zipped := &strings.Builder{}
	z := gzip.NewWriter(zipped)
	fmt.Fprint(z, "hello")
	z.Close()
	for name, c := range map[string]struct {
		text   string
		hangUp bool
		want   string
		kept   int
		kind   normalize.Kind
	}{
		"a length":                    {text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", want: "hello", kept: 1},
		"the end of the connection":   {text: "HTTP/1.1 200 OK\r\n\r\nhello", hangUp: true, want: "hello"},
		"chunks":                      {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", want: "hello", kept: 1},
		"chunks and trailers":         {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n", want: "hello", kept: 1},
		"nothing":                     {text: "HTTP/1.1 204 No Content\r\n\r\n", kept: 1},
		"HTTP/1.0":                    {text: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", want: "hello"},
		"no further request":          {text: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", want: "hello"},
		"announcements":               {text: interim + interim + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", want: "hello", kept: 1},
		"gzip":                        {text: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", zipped.Len(), zipped), want: "hello", kept: 1},
		"gzip of nothing":             {text: "HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n", kept: 1},
		"gzip of no bytes":            {text: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", kept: 1},
		"gzip of no chunks":           {text: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", kept: 1},
		"gzip that is none":           {text: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", kind: normalize.KindCut},
		"gzip that ends early":        {text: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", zipped.Len()-4, zipped.String()[:zipped.Len()-4]), kind: normalize.KindCut},
		"announcements without end":   {text: strings.Repeat(interim, 100), kind: normalize.KindBadResponse},
		"two lengths":                 {text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", kind: normalize.KindBadResponse},
		"chunks that are none":        {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello", hangUp: true, kind: normalize.KindCut},
		"an encoding nobody asks for": {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello", hangUp: true, kind: normalize.KindBadResponse},
	} {
		t.Run(name, func(t *testing.T) {
			client := client(t, says(t, c.text, c.hangUp))
			for range 2 {
				got := ""
				err := client.Exchange(t.Context(), &adapters.Request{Method: "GET", Path: "/", Decode: func(r adapters.Response) error { got = string(r.Body); return nil }})
				if got != c.want || err != nil && normalize.KindOf(err) != c.kind || err == nil && c.kind != 0 {
					t.Fatalf("%q, %v", got, err)
				}
				if kept := len(waiting(client)); kept != c.kept {
					t.Errorf("%d connections are kept", kept)
				}
			}
		})
	}
}

// TestAnswerBeforeTheRequestIsOver: a backend may refuse a body that it has not read, whether
// it hangs up then or not. What it says is known, and not that nothing is.
func TestAnswerBeforeTheRequestIsOver(t *testing.T) {
	for _, hangsUp := range []bool{true, false} {
		over := make(chan struct{})
		c := client(t, "http://"+speaks(t, func(conn net.Conn, in *bufio.Reader) {
			if _, err := http.ReadRequest(in); err == nil {
				fmt.Fprint(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
			}
			if !hangsUp {
				<-over
			}
		}))
		status := 0
		err := c.Exchange(t.Context(), &adapters.Request{Method: "PUT", Path: "/", Body: make([]byte, 16<<20), Decode: func(r adapters.Response) error { status = r.Status; return nil }})
		if err != nil || status != 413 {
			t.Errorf("hangs up: %t: %v, %d", hangsUp, err, status)
		}
		if n := len(waiting(c)); n != 0 {
			t.Errorf("%d connections are kept, with a request half sent", n)
		}
		close(over)
	}
}

// TestNoFarewell: TLS' would wait up to 5 s for a backend that does not read, past the timeout
// and the caller's own time.
func TestNoFarewell(t *testing.T) {
	_, secure, trusting := backends(t)
	farewell := make(chan int64, 1)
	c := client(t, "https://"+speaks(t, func(conn net.Conn, _ *bufio.Reader) {
		defer close(farewell)
		secured := tls.Server(conn, secure.TLS)
		if !took(bufio.NewReader(secured)) {
			t.Error("no request")
			return
		}
		fmt.Fprint(secured, "HTTP/1.1 204 No Content\r\n\r\n")
		n, err := io.Copy(io.Discard, conn) // below TLS
		if err != nil {
			t.Error(err)
		}
		farewell <- n
	}), trusting)
	if err := get(c); err != nil || len(waiting(c)) != 1 {
		t.Fatalf("%v, %d connections are kept", err, len(waiting(c)))
	}
	c.Close()
	if n, ok := <-farewell; n != 0 || !ok {
		t.Errorf("%d bytes of farewell", n)
	}
}

// TestLentBody: it is there while it is decoded, and in nothing that stays.
func TestLentBody(t *testing.T) {
	sizes := []int{400, 30, 700, 0, 700}
	n := 0
	c := client(t, "http://"+speaks(t, func(conn net.Conn, in *bufio.Reader) {
		for ; took(in); n++ {
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", sizes[n], strings.Repeat(string(rune('a'+n)), sizes[n]))
		}
	}))
	for i, size := range sizes {
		want := strings.Repeat(string(rune('a'+i)), size)
		req := &adapters.Request{Method: "GET", Path: "/", LendBody: i > 0}
		var got []byte
		req.Decode = func(r adapters.Response) error {
			if string(r.Body) != want || r.BodyLent != (i > 0 && size > 0) {
				t.Errorf("%d: %q, lent %t", i, r.Body, r.BodyLent)
			}
			got = r.Body
			return nil
		}
		if err := c.Exchange(t.Context(), req); err != nil || req.Answer.Status != 200 || req.Answer.Body != nil {
			t.Errorf("%d: %v, %+v", i, err, req.Answer)
		}
		if i == 0 {
			defer func() {
				if string(got) != want {
					t.Errorf("one that was not lent is %q now", got)
				}
			}()
		}
	}
}

// TestLentBodiesAreUsedAgain: as plain and as compressed ones, unless they are large.
func TestLentBodiesAreUsedAgain(t *testing.T) {
	large := strings.Repeat("x", maxAhead+1)
	for _, encoding := range []string{"", "gzip"} {
		body := "{}"
		c := client(t, startServer(t, func(w http.ResponseWriter, r *http.Request) {
			var to io.Writer = w
			if encoding != "" {
				w.Header().Set("Content-Encoding", encoding)
				z := gzip.NewWriter(w)
				defer z.Close()
				to = z
			}
			_, _ = io.WriteString(to, body)
		}), func(o *Options) { o.MaxResponseBytes = 2 * maxAhead })
		var places []*byte
		ask := func() {
			t.Helper()
			if err := c.Exchange(t.Context(), &adapters.Request{Method: "GET", Path: "/", LendBody: true, Decode: func(r adapters.Response) error {
				if string(r.Body) != body || r.BodyLent != (len(body) <= maxAhead) {
					t.Errorf("%q: %d bytes of %d, lent %t", encoding, len(r.Body), len(body), r.BodyLent)
				}
				places = append(places, &r.Body[0])
				return nil
			}}); err != nil {
				t.Error(err)
			}
		}
		again := func() bool {
			for range 20 { // a pool lets go of what it has now and then
				places = nil
				ask()
				ask()
				if places[0] == places[1] {
					return true
				}
			}
			return false
		}
		if !again() {
			t.Errorf("%q: two bodies were never in the same memory", encoding)
		}
		if body = large; again() {
			t.Errorf("%q: a large one was lent", encoding)
		}
	}
}

// TestAllThatWaitAreDead: what is told of a request is how far it came itself, and not the
// connection that was tried before.
func TestAllThatWaitAreDead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		took(bufio.NewReader(conn))
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
		l.Close()
		conn.Close()
	}()
	c := client(t, "http://"+l.Addr().String())
	if err := get(c); err != nil {
		t.Fatal(err)
	}
	<-served
	eventually(t, "hung up", func() bool { return useless(c) })
	if err := post(c); normalize.KindOf(err) != normalize.KindConnect {
		t.Errorf("%v", err)
	}
}

// TestLargeRequests go out on a connection that is good, and are reset by one that dies under them.
func TestLargeRequests(t *testing.T) {
	large := strings.Repeat("x", 4<<20)
	put := func(c *Client, body string) error {
		return c.Exchange(t.Context(), &adapters.Request{Method: "PUT", Path: "/", Body: []byte(body), Decode: func(adapters.Response) error { return nil }})
	}
	c := client(t, "http://"+speaks(t, func(conn net.Conn, in *bufio.Reader) {
		if took(in) {
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
		}
	}))
	if err := get(c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "hung up", func() bool { return useless(c) })
	if err := put(c, large[:40_000]); err != nil {
		t.Errorf("on the next connection: %v", err)
	}
	dying := client(t, "http://"+speaks(t, func(conn net.Conn, in *bufio.Reader) {
		_, _ = in.ReadString('\n')
		_ = conn.(*net.TCPConn).CloseWrite()
		<-t.Context().Done()
	}))
	if err := put(dying, large); normalize.KindOf(err) != normalize.KindReset {
		t.Errorf("%v", err)
	}
}

// TestOverBeforeItIsAsked: a request whose time was over before it went out was not sent.
func TestOverBeforeItIsAsked(t *testing.T) {
	var received atomic.Int32
	c := client(t, startServer(t, func(http.ResponseWriter, *http.Request) { received.Add(1) }))
	if err := get(c); err != nil {
		t.Fatal(err)
	}
	req := &adapters.Request{Method: "PUT", Path: "/", Body: []byte("{}"), Decode: func(adapters.Response) error { return nil }}
	if err := c.Exchange(overUnnoticed{t.Context()}, req); normalize.KindOf(err) != normalize.KindExpired || received.Load() != 1 {
		t.Errorf("%v, %d received", err, received.Load())
	}
}

// overUnnoticed is a context whose deadline has passed, and that has not noticed yet.
type overUnnoticed struct{ context.Context }

func (overUnnoticed) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

func startServer(t *testing.T, serve http.HandlerFunc) (base string) {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	return server.URL
}
