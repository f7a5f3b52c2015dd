package upstream

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// newProxiedClient returns a client for the base URL whose proxy is not the environment's.
func newProxiedClient(t *testing.T, proxy, base string, change ...func(*Options)) *Client {
	t.Helper()
	at, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	options := newTestClient(t, base, change...).options
	c := newClient(options, http.ProxyURL(at), (&net.Dialer{Timeout: connectTimeout(options)}).DialContext)
	t.Cleanup(c.Close)
	return c
}

// proxyServer is a proxy of HTTP and, by CONNECT, of anything. It wants a password.
type proxyServer struct {
	*httptest.Server
	forwarded, tunnels atomic.Int32
}

func newProxyServer(t *testing.T, start func(http.Handler) *httptest.Server) *proxyServer {
	p := &proxyServer{}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.Header.Del("Proxy-Authorization") }}
	p.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
		if name, password, _ := who.BasicAuth(); name != "us" || password != "pass word" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		if r.Method != http.MethodConnect {
			if !r.URL.IsAbs() {
				t.Errorf("a proxy was asked for %s", r.URL)
			}
			p.forwarded.Add(1)
			forward.ServeHTTP(w, r)
			return
		}
		p.tunnels.Add(1)
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, in, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(here, "HTTP/1.1 200 Connection established\r\n\r\n")
		pipe(here, there, in)
	}))
	t.Cleanup(p.Close)
	return p
}

// pipe carries bytes between both until one ends; in is what here has sent, or will.
func pipe(here, there net.Conn, in io.Reader) {
	go func() {
		_, _ = io.Copy(here, there) // it ends with either
		here.Close()
	}()
	_, _ = io.Copy(there, in) // it ends with either
	there.Close()
}

// startBackends starts a backend without and one with TLS, which answer with the request's target.
func startBackends(t *testing.T) (plain, secure *httptest.Server, trusting func(*Options)) {
	here := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("the backend is told the proxy's password")
		}
		fmt.Fprint(w, r.RequestURI)
	})
	plain, secure = httptest.NewServer(here), httptest.NewTLSServer(here)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	return plain, secure, trust(secure)
}

// ask returns status and body of a GET of /agents?x=1.
func ask(t *testing.T, c *Client) string {
	t.Helper()
	r, err := send(t.Context(), c, adapters.Request{Op: adapters.OpList, Credential: acme, Method: "GET", Path: "/agents", Query: url.Values{"x": {"1"}}})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(r.Status, " ", string(r.Body))
}

func TestProxy(t *testing.T) {
	plain, secure, trusting := startBackends(t)
	proxy := newProxyServer(t, httptest.NewServer)
	at, _ := url.Parse(proxy.URL)
	at.User = url.UserPassword("us", "pass word")
	const want = "200 /v1/agents?x=1"
	for range 2 { // and a kept connection
		if got := ask(t, newProxiedClient(t, at.String(), plain.URL+"/v1")); got != want {
			t.Error(got)
		}
	}
	if proxy.forwarded.Load() != 2 || proxy.tunnels.Load() != 0 {
		t.Errorf("http: %d requests, %d tunnels", proxy.forwarded.Load(), proxy.tunnels.Load())
	}
	c := newProxiedClient(t, at.String(), secure.URL+"/v1", trusting)
	for range 2 {
		if got := ask(t, c); got != want {
			t.Error(got)
		}
	}
	if proxy.forwarded.Load() != 2 || proxy.tunnels.Load() != 1 {
		t.Errorf("https: %d requests, %d tunnels", proxy.forwarded.Load(), proxy.tunnels.Load())
	}
	// A backend that is what it is through a tunnel, too.
	if _, err := get(newProxiedClient(t, at.String(), secure.URL), acme); normalize.KindOf(err) != normalize.KindTLS {
		t.Errorf("an unknown authority: %v", err)
	}
}

// TestProxy_InTLS: the password, and the names of the backends, are only the proxy's to read.
func TestProxy_InTLS(t *testing.T) {
	plain, secure, trusting := startBackends(t)
	proxy := newProxyServer(t, httptest.NewTLSServer) // of the backends' own authority
	at, _ := url.Parse(proxy.URL)
	at.User = url.UserPassword("us", "pass word")
	for _, base := range []string{plain.URL, secure.URL} {
		c := newProxiedClient(t, at.String(), base, trusting)
		for range 2 {
			if got := ask(t, c); got != "200 /agents?x=1" {
				t.Errorf("%s: %s", base, got)
			}
		}
	}
	if proxy.forwarded.Load() != 2 || proxy.tunnels.Load() != 1 {
		t.Errorf("%d requests, %d tunnels", proxy.forwarded.Load(), proxy.tunnels.Load())
	}
	if _, err := get(newProxiedClient(t, at.String(), plain.URL), acme); normalize.KindOf(err) != normalize.KindConnect {
		t.Errorf("a proxy of an unknown authority: %v", err)
	}
}

func TestProxy_FailureKinds(t *testing.T) {
	_, secure, trusting := startBackends(t)
	proxy := newProxyServer(t, httptest.NewServer)
	gone := httptest.NewServer(nil)
	gone.Close()
	chatty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Large", fmt.Sprint(make([]byte, maxResponseHeaderBytes)))
	}))
	defer chatty.Close()
	for name, c := range map[string]struct {
		proxy string
		kind  normalize.Kind
	}{
		"no password":      {proxy.URL, normalize.KindConnect},
		"is not there":     {gone.URL, normalize.KindConnect},
		"no TLS":           {"https://" + proxy.Listener.Addr().String(), normalize.KindConnect},
		"another protocol": {"ftp://" + proxy.Listener.Addr().String(), normalize.KindConnect},
		"talks too much":   {chatty.URL, normalize.KindConnect},
	} {
		_, err := get(newProxiedClient(t, c.proxy, secure.URL, trusting), acme)
		if normalize.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %s", name, err, c.kind)
		}
	}
}

// TestProxy_SOCKS5: RFC 1928, without a password.
func TestProxy_SOCKS5(t *testing.T) {
	plain, secure, trusting := startBackends(t)
	var served atomic.Int32
	proxy := "socks5://" + listen(t, func(here net.Conn, in *bufio.Reader) {
		hello := make([]byte, 2) // version, methods
		if _, err := io.ReadFull(in, hello); err != nil || hello[0] != 5 {
			t.Errorf("no SOCKS 5: %v %v", hello, err)
			return
		}
		if _, err := in.Discard(int(hello[1])); err != nil {
			t.Error(err)
			return
		}
		_, _ = here.Write([]byte{5, 0})
		request := make([]byte, 10) // version, command, 0, IPv4, address, port
		if _, err := io.ReadFull(in, request); err != nil || request[1] != 1 || request[3] != 1 {
			t.Errorf("not a connection to an IPv4 address: %v %v", request, err)
			return
		}
		there, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: request[4:8], Port: int(binary.BigEndian.Uint16(request[8:]))})
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = here.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		served.Add(1)
		pipe(here, there, in)
	})
	for _, c := range []*Client{
		newProxiedClient(t, proxy, plain.URL), newProxiedClient(t, proxy, secure.URL, trusting),
	} {
		for range 2 {
			if got := ask(t, c); got != "200 /agents?x=1" {
				t.Error(got)
			}
		}
	}
	if n := served.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// TestProxy_FromEnvironment runs in a process of its own: net/http reads the environment once.
func TestProxy_FromEnvironment(t *testing.T) {
	const base = "http://vendor.invalid/v1"
	if os.Getenv("HTTP_PROXY") != "" && os.Getenv("NO_PROXY") == "other.invalid" {
		u, _ := url.Parse(base)
		c := New(Options{Provider: "p", BaseURL: u, Timeout: 5 * time.Second, MaxResponseBytes: 1000})
		defer c.Close()
		fmt.Println(ask(t, c))
		return
	}
	asked := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.RequestURI
		fmt.Fprint(w, "of the proxy")
	}))
	defer proxy.Close()
	again := exec.Command(os.Args[0], "-test.run=^TestProxy_FromEnvironment$")
	again.Env = append(os.Environ(), "HTTP_PROXY="+proxy.URL, "NO_PROXY=other.invalid")
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "200 of the proxy") {
		t.Fatalf("%v: %s", err, out)
	}
	if got := <-asked; got != base+"/agents?x=1" {
		t.Errorf("the proxy was asked for %s", got)
	}
}
