package upstream

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t *testing.T, base string, change ...func(*Options)) *Client {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Provider: "p", BaseURL: u, Timeout: 5 * time.Second, MaxResponseBytes: 1000, UserAgent: "agentgw/test"}
	for _, c := range change {
		c(&o)
	}
	made := New(o)
	t.Cleanup(made.Close)
	return made
}

func hasty(o *Options) { o.Timeout = 200 * time.Millisecond }

func get(c *Client) error {
	return c.Exchange(context.Background(), &adapters.Request{Op: adapters.OpList, Method: "GET", Path: "/agents", Decode: func(adapters.Response) error { return nil }})
}

func TestRequestIsWhatWasAskedFor(t *testing.T) {
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(418)
		fmt.Fprint(w, "tea")
	}))
	defer server.Close()
	for _, base := range []string{server.URL + "/api/v1", server.URL + "/api/v1/"} {
		var answer adapters.Response
		err := client(t, base).Exchange(context.Background(), &adapters.Request{
			Op: adapters.OpUpdate, Method: "PUT", Path: "/agents/a%2Fb", Query: url.Values{"page": {"2"}}, Header: []adapters.Field{{Name: "X-Api-Key", Value: "k"}}, Body: []byte(`{}`),
			Decode: func(r adapters.Response) error { answer = r; return nil },
		})
		if err != nil || answer.Status != 418 || string(answer.Body) != "tea" || answer.Header.Get("X-Answer") != "yes" {
			t.Fatalf("%v %+v", err, answer)
		}
		if got.Method != "PUT" || got.RequestURI != "/api/v1/agents/a%2Fb?page=2" || string(body) != "{}" {
			t.Errorf("%s %s %s", got.Method, got.RequestURI, body)
		}
		if got.Header.Get("X-Api-Key") != "k" || got.Header.Get("User-Agent") != "agentgw/test" || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v", got.Header)
		}
	}
}

func TestDecodesErrorIsTheExchanges(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	want := errors.New("x")
	err := client(t, server.URL).Exchange(context.Background(), &adapters.Request{Method: "GET", Path: "/", Decode: func(adapters.Response) error { return want }})
	if err != want {
		t.Errorf("%v", err)
	}
}

func TestKinds(t *testing.T) {
	f := func(name string, c *Client, want normalize.Kind) {
		t.Helper()
		err := get(c)
		if normalize.KindOf(err) != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows the URL: %v", name, err)
		}
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()
	f("nobody listens", client(t, "http://"+refused.Addr().String()+"/canary"), normalize.KindConnect)
	f("no such name", client(t, "http://canary.invalid"), normalize.KindConnect)
	f("accepts and never answers", client(t, "http://"+silent.Addr().String(), hasty), normalize.KindTimeout)
	f("TLS to a silent port", client(t, "https://"+silent.Addr().String(), hasty), normalize.KindConnectTimeout)

	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	secure.Config.ErrorLog = nil
	defer secure.Close()
	f("unknown authority", client(t, secure.URL), normalize.KindTLS)
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	trusting := func(o *Options) { o.TLS = &tls.Config{RootCAs: roots} }
	if err := get(client(t, secure.URL, trusting)); err != nil {
		t.Errorf("a known authority: %v", err)
	}
	f("another name", client(t, strings.Replace(secure.URL, "127.0.0.1", "localhost", 1), trusting), normalize.KindTLS)

	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large/agents":
			fmt.Fprint(w, strings.Repeat("x", 1001))
		case "/largest/agents":
			w.Header().Set("Content-Length", "1000000000")
		case "/chunked/agents":
			for range 100 {
				fmt.Fprint(w, strings.Repeat("x", 100))
				_ = http.NewResponseController(w).Flush()
			}
		case "/bomb/agents":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			fmt.Fprint(z, strings.Repeat("x", 100_000))
			z.Close()
		case "/full/agents":
			fmt.Fprint(w, strings.Repeat("x", 1000))
		case "/header/agents":
			w.Header().Set("X-Large", strings.Repeat("x", maxResponseHeaderBytes+1))
		}
	}))
	defer plain.Close()
	f("https to plain http", client(t, strings.Replace(plain.URL, "http:", "https:", 1)), normalize.KindTLS)
	f("too large", client(t, plain.URL+"/large"), normalize.KindTooLarge)
	f("announced too large", client(t, plain.URL+"/largest"), normalize.KindTooLarge)
	f("too large in pieces", client(t, plain.URL+"/chunked"), normalize.KindTooLarge)
	f("too large after decompression", client(t, plain.URL+"/bomb"), normalize.KindTooLarge)
	f("headers too large", client(t, plain.URL+"/header"), normalize.KindBadResponse)
	if err := get(client(t, plain.URL+"/full")); err != nil {
		t.Errorf("a body of just the limit: %v", err)
	}
}

// TestNoRedirectIsFollowed: only the configured host is ever called.
func TestNoRedirectIsFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	status := 0
	err := client(t, server.URL).Exchange(context.Background(), &adapters.Request{Method: "POST", Path: "/", Body: []byte("{}"), Decode: func(r adapters.Response) error { status = r.Status; return nil }})
	if err != nil || status != 307 || elsewhere.Load() != 0 {
		t.Errorf("%v, status %d, %d requests elsewhere", err, status, elsewhere.Load())
	}
}

func TestCallersDeadlineBinds(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	err := client(t, server.URL).Exchange(ctx, &adapters.Request{Method: "GET", Path: "/", Decode: func(adapters.Response) error { return nil }})
	if normalize.KindOf(err) != normalize.KindDeadline {
		t.Errorf("%v", err)
	}
	// Over before it began: nothing is sent, and it says nothing of the backend.
	err = client(t, server.URL).Exchange(ctx, &adapters.Request{Method: "POST", Path: "/", Decode: func(adapters.Response) error { return nil }})
	if normalize.KindOf(err) != normalize.KindExpired {
		t.Errorf("%v", err)
	}
}

// speaks listens, has each connection served, and closes it then.
func speaks(t *testing.T, serve func(conn net.Conn, in *bufio.Reader)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn, bufio.NewReader(conn))
			}()
		}
	}()
	return l.Addr().String()
}

// took reads a request with its body, and reports whether there was one.
func took(in *bufio.Reader) bool {
	r, err := http.ReadRequest(in)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil
}

// dyingServer answers the first request of each connection, once so many have come
// on as many, and closes it on the next one without an answer.
func dyingServer(t *testing.T, together int) (base string, received *atomic.Int32) {
	t.Helper()
	received = new(atomic.Int32)
	all := make(chan struct{})
	return "http://" + speaks(t, func(conn net.Conn, in *bufio.Reader) {
		if !took(in) {
			return
		}
		if received.Add(1) == int32(together) {
			close(all)
		}
		<-all
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
		if took(in) {
			received.Add(1)
		}
	}), received
}

// TestNothingIsSentTwice: net/http would send a GET again on each kept connection
// that turns out to be dead, and then on a new one.
func TestNothingIsSentTwice(t *testing.T) {
	base, received := dyingServer(t, 4)
	c := client(t, base)
	// Several connections are kept, and all of them are about to die.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := get(c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	before := received.Load()
	err := get(c)
	if sent := received.Load() - before; sent != 1 || normalize.KindOf(err) != normalize.KindReset {
		t.Errorf("sent %d times: %v", sent, err)
	}
	// The others that were kept are as old, and are not tried.
	if err := get(c); err != nil {
		t.Errorf("after a dead connection: %v", err)
	}
}

// TestGetHasNoBody, though net/http is made to think that it has one.
func TestGetHasNoBody(t *testing.T) {
	var headers []http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if len(body) > 0 || r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
			t.Errorf("Content-Length %d, Transfer-Encoding %v, body %q", r.ContentLength, r.TransferEncoding, body)
		}
		headers = append(headers, r.Header)
	}))
	defer server.Close()
	c := client(t, server.URL)
	for range 2 {
		if err := get(c); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"Content-Length", "Transfer-Encoding"} {
		if _, ok := headers[1][name]; ok {
			t.Errorf("the second request has %s", name)
		}
	}
}

// TestHTTP1Only: a backend that has HTTP/2 is spoken to in HTTP/1.1 none the less.
func TestHTTP1Only(t *testing.T) {
	var other atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			other.Add(1)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c := client(t, server.URL, func(o *Options) { o.TLS = &tls.Config{RootCAs: roots} })
	for range 2 {
		if err := get(c); err != nil {
			t.Fatal(err)
		}
	}
	if n := other.Load(); n > 0 {
		t.Errorf("%d requests over HTTP/2", n)
	}
}

// TestSwitchingProtocols: what comes after a 101 is a bare connection, and is not
// waited for.
func TestSwitchingProtocols(t *testing.T) {
	ended := make(chan error, 1)
	address := speaks(t, func(conn net.Conn, in *bufio.Reader) {
		took(in)
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_, err := in.ReadByte()
		ended <- err
	})
	if err := get(client(t, "http://"+address)); normalize.KindOf(err) != normalize.KindBadResponse {
		t.Errorf("%v", err)
	}
	if err := <-ended; err != io.EOF {
		t.Errorf("the connection is kept: %v", err)
	}
}

// TestClosedClientKeepsNothing: a request that ends after Close leaves no idle
// connection behind.
func TestClosedClientKeepsNothing(t *testing.T) {
	release := make(chan struct{})
	left := make(chan struct{}, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { <-release; fmt.Fprint(w, "{}") }))
	running := make(chan struct{}, 1)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateActive:
			running <- struct{}{}
		case http.StateClosed:
			left <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	c := client(t, server.URL)
	done := make(chan error, 1)
	go func() { done <- get(c) }()
	<-running
	c.Close()
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	<-left // or the test never ends
}

// TestHeadersThatBreakOff are an answer that is cut, not one that is wrong.
func TestHeadersThatBreakOff(t *testing.T) {
	for body, want := range map[string]normalize.Kind{
		"HTTP/1.1 200 OK\r\nContent-Type: app":                  normalize.KindCut,
		"SSH-2.0-OpenSSH\r\n":                                   normalize.KindBadResponse,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}":        normalize.KindCut,
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}":        normalize.KindBadResponse,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n": normalize.KindCut,
	} {
		address := speaks(t, func(conn net.Conn, in *bufio.Reader) {
			if took(in) {
				fmt.Fprint(conn, body)
			}
		})
		if err := get(client(t, "http://"+address)); normalize.KindOf(err) != want {
			t.Errorf("%q: %v, want %s", body, err, want)
		}
	}
}
