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
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/normalize"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hangGuard ends what would otherwise wait forever. It is never reached when the
// code is right, however slow the machine is.
const hangGuard = 30 * time.Second

// newTestClient returns a client for the base URL, closed when the test ends.
func newTestClient(t *testing.T, base string, change ...func(*Options)) *Client {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Provider: "p", BaseURL: u, Timeout: 2 * hangGuard, MaxResponseBytes: 1000, UserAgent: "agentgw/test"}
	for _, c := range change {
		c(&o)
	}
	made := New(o)
	t.Cleanup(made.Close)
	return made
}

var (
	acme  = adapters.NewCredential(secret.New("acme"))
	other = adapters.NewCredential(secret.New("other"))
)

// send sends a request and returns the response.
func send(ctx context.Context, c *Client, req adapters.Request) (adapters.Response, error) {
	var got adapters.Response
	req.Decode = func(r adapters.Response) error { got = r; return nil }
	err := c.RoundTrip(ctx, &req)
	return got, err
}

// get reads /agents with the credential.
func get(c *Client, cred adapters.Credential) (adapters.Response, error) {
	return send(context.Background(), c, adapters.Request{Op: adapters.OpList, Credential: cred, Method: "GET", Path: "/agents"})
}

// post writes to /agents with the credential.
func post(c *Client, cred adapters.Credential) (adapters.Response, error) {
	return send(context.Background(), c, adapters.Request{Op: adapters.OpCreate, Credential: cred, Method: "POST", Path: "/agents", Body: []byte("{}")})
}

// startServer returns the base URL of an HTTP server that the handler serves.
func startServer(t *testing.T, serve http.HandlerFunc) (base string) {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	return server.URL
}

// trust makes a client trust the server's certificate.
func trust(server *httptest.Server) func(*Options) {
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return func(o *Options) { o.TLS = &tls.Config{RootCAs: roots} }
}

// listen accepts connections until the test ends. It has each one served, and
// closes it then.
func listen(t *testing.T, serve func(conn net.Conn, in *bufio.Reader)) (address string) {
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

// readRequest reads a request with its body, and reports whether there was one.
func readRequest(in *bufio.Reader) bool {
	r, err := http.ReadRequest(in)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil
}

func TestRoundTrip_SendsWhatTheAdapterBuilt(t *testing.T) {
	var got *http.Request
	var body []byte
	server := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(418)
		fmt.Fprint(w, "tea")
	})
	for _, base := range []string{server + "/api/v1", server + "/api/v1/"} {
		answer, err := send(t.Context(), newTestClient(t, base), adapters.Request{
			Op: adapters.OpUpdate, Method: "PUT", Path: "/agents/a%2Fb", Query: url.Values{"page": {"2"}}, Header: http.Header{"X-Api-Key": {"k"}}, Body: []byte(`{}`),
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

func TestRoundTrip_ReturnsTheErrorOfDecode(t *testing.T) {
	c := newTestClient(t, startServer(t, func(http.ResponseWriter, *http.Request) {}))
	want := errors.New("x")
	err := c.RoundTrip(t.Context(), &adapters.Request{Method: "GET", Path: "/", Decode: func(adapters.Response) error { return want }})
	if err != want {
		t.Errorf("%v", err)
	}
}

func TestRoundTrip_RefusesWhatIsNotOneRequest(t *testing.T) {
	var received atomic.Int32
	c := newTestClient(t, startServer(t, func(http.ResponseWriter, *http.Request) { received.Add(1) }))
	for name, r := range map[string]adapters.Request{
		"a line break in a header value": {Path: "/", Header: http.Header{"X-Key": {"a\r\nX-Other: b"}}},
		"a line break in a header name":  {Path: "/", Header: http.Header{"X-Key: a\r\nX-Other": {"b"}}},
		"a space in the path":            {Path: "/a HTTP/1.1"},
		"a line break in the path":       {Path: "/a\r\nX-Other:b"},
		"a path that is not ASCII":       {Path: "/é"},
		"a query in the path":            {Path: "/a?b=c"},
		"a bad escape in the path":       {Path: "/%zz"},
	} {
		for _, op := range []adapters.Operation{adapters.OpList, adapters.OpCreate} {
			r.Op, r.Credential, r.Method = op, acme, "GET"
			if _, err := send(t.Context(), c, r); normalize.KindOf(err) != normalize.KindInternal || strings.Contains(err.Error(), "X-Other") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n := received.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	// A query is escaped here.
	_, err := send(t.Context(), c, adapters.Request{Method: "GET", Path: "/", Query: url.Values{"a b": {"c\r\nd"}}})
	if err != nil || received.Load() != 1 {
		t.Errorf("%v, %d requests", err, received.Load())
	}
}

func TestRoundTrip_FailureKinds(t *testing.T) {
	f := func(name string, c *Client, want normalize.Kind, explained ...string) {
		t.Helper()
		_, err := get(c, acme)
		for _, text := range explained {
			if e, ok := errors.AsType[*normalize.Error](err); !ok || !strings.Contains(e.Message, text) {
				t.Errorf("%s: %v, want the explanation %q", name, err, text)
			}
		}
		if normalize.KindOf(err) != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows the URL: %v", name, err)
		}
	}
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()
	f("connection refused", newTestClient(t, "http://"+refused.Addr().String()+"/canary"), normalize.KindConnect, "nothing accepts connections")
	f("name not found", newTestClient(t, "http://canary.invalid"), normalize.KindConnect, "does not resolve")

	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer secure.Close()
	f("unknown authority", newTestClient(t, secure.URL), normalize.KindTLS, "not trusted")
	if _, err := get(newTestClient(t, secure.URL, trust(secure)), acme); err != nil {
		t.Errorf("a known authority: %v", err)
	}
	f("certificate of another name", newTestClient(t, strings.Replace(secure.URL, "127.0.0.1", "localhost", 1), trust(secure)), normalize.KindTLS)

	plain := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large/agents":
			fmt.Fprint(w, strings.Repeat("x", 1001))
		case "/announced/agents":
			w.Header().Set("Content-Length", "1000000000")
		case "/chunked/agents":
			for range 100 {
				fmt.Fprint(w, strings.Repeat("x", 100))
				_ = http.NewResponseController(w).Flush()
			}
		case "/compressed/agents":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			fmt.Fprint(z, strings.Repeat("x", 100_000))
			z.Close()
		case "/full/agents":
			fmt.Fprint(w, strings.Repeat("x", 1000))
		case "/header/agents":
			w.Header().Set("X-Large", strings.Repeat("x", maxResponseHeaderBytes+1))
		}
	})
	f("https to plain http", newTestClient(t, strings.Replace(plain, "http:", "https:", 1)), normalize.KindTLS, "speaks no TLS")
	f("too large", newTestClient(t, plain+"/large"), normalize.KindTooLarge)
	f("announced too large", newTestClient(t, plain+"/announced"), normalize.KindTooLarge)
	f("too large in chunks", newTestClient(t, plain+"/chunked"), normalize.KindTooLarge)
	f("too large after decompression", newTestClient(t, plain+"/compressed"), normalize.KindTooLarge)
	f("headers too large", newTestClient(t, plain+"/header"), normalize.KindBadResponse)
	if _, err := get(newTestClient(t, plain+"/full"), acme); err != nil {
		t.Errorf("a body of just the limit: %v", err)
	}
}

func TestRoundTrip_FollowsNoRedirect(t *testing.T) {
	var followed atomic.Int32
	target := startServer(t, func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	server := startServer(t, http.RedirectHandler(target, http.StatusTemporaryRedirect).ServeHTTP)
	for _, ask := range []func(*Client, adapters.Credential) (adapters.Response, error){get, post} {
		if r, err := ask(newTestClient(t, server), acme); err != nil || r.Status != 307 || followed.Load() != 0 {
			t.Errorf("%v, status %d, %d requests followed it", err, r.Status, followed.Load())
		}
	}
}

func TestRoundTrip_CallerLeaves(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	c := newTestClient(t, startServer(t, func(http.ResponseWriter, *http.Request) { close(arrived); <-release }))
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if _, err := send(ctx, c, adapters.Request{Op: adapters.OpGet, Credential: acme, Method: "GET", Path: "/"}); normalize.KindOf(err) != normalize.KindCanceled {
		t.Errorf("%v", err)
	}
}

func TestRoundTrip_SpeaksHTTP1Only(t *testing.T) {
	var http2 atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			http2.Add(1)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	c := newTestClient(t, server.URL, trust(server))
	for _, ask := range []func(*Client, adapters.Credential) (adapters.Response, error){get, get, post} {
		if _, err := ask(c, acme); err != nil {
			t.Fatal(err)
		}
	}
	if n := http2.Load(); n > 0 {
		t.Errorf("%d requests over HTTP/2", n)
	}
}
