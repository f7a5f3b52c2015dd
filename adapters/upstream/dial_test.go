package upstream

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
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

// through makes a client whose proxy is not the environment's.
func through(t *testing.T, proxy, base string, change ...func(*Options)) *Client {
	t.Helper()
	at, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	direct := client(t, base, change...)
	c := newClient(direct.options, http.ProxyURL(at))
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

func backends(t *testing.T) (plain, secure *httptest.Server, trusting func(*Options)) {
	here := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("the backend is told the proxy's password")
		}
		fmt.Fprint(w, r.RequestURI)
	})
	plain, secure = httptest.NewServer(here), httptest.NewTLSServer(here)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	return plain, secure, func(o *Options) { o.TLS = &tls.Config{RootCAs: roots} }
}

// answer is the body of a GET of /agents?x=1.
func answer(t *testing.T, c *Client) string {
	t.Helper()
	got := ""
	err := c.Exchange(t.Context(), &adapters.Request{
		Op: adapters.OpList, Method: "GET", Path: "/agents", Query: url.Values{"x": {"1"}},
		Decode: func(r adapters.Response) error { got = fmt.Sprint(r.Status, " ", string(r.Body)); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestProxy(t *testing.T) {
	plain, secure, trusting := backends(t)
	proxy := newProxyServer(t, httptest.NewServer)
	at, _ := url.Parse(proxy.URL)
	at.User = url.UserPassword("us", "pass word")
	const want = "200 /v1/agents?x=1"
	for range 2 { // and a kept connection
		if got := answer(t, through(t, at.String(), plain.URL+"/v1")); got != want {
			t.Error(got)
		}
	}
	if proxy.forwarded.Load() != 2 || proxy.tunnels.Load() != 0 {
		t.Errorf("http: %d requests, %d tunnels", proxy.forwarded.Load(), proxy.tunnels.Load())
	}
	c := through(t, at.String(), secure.URL+"/v1", trusting)
	for range 2 {
		if got := answer(t, c); got != want {
			t.Error(got)
		}
	}
	if proxy.forwarded.Load() != 2 || proxy.tunnels.Load() != 1 {
		t.Errorf("https: %d requests, %d tunnels", proxy.forwarded.Load(), proxy.tunnels.Load())
	}
	// A backend that is what it is through a tunnel, too.
	if err := get(through(t, at.String(), secure.URL)); normalize.KindOf(err) != normalize.KindTLS {
		t.Errorf("an unknown authority: %v", err)
	}
}

// TestProxyInTLS: the password, and the names of the backends, are only the proxy's to read.
func TestProxyInTLS(t *testing.T) {
	plain, secure, trusting := backends(t)
	proxy := newProxyServer(t, httptest.NewTLSServer) // of the backends' own authority
	at, _ := url.Parse(proxy.URL)
	at.User = url.UserPassword("us", "pass word")
	for _, base := range []string{plain.URL, secure.URL} {
		c := through(t, at.String(), base, trusting)
		for range 2 {
			if got := answer(t, c); got != "200 /agents?x=1" {
				t.Errorf("%s: %s", base, got)
			}
		}
	}
	if proxy.forwarded.Load() != 2 || proxy.tunnels.Load() != 1 {
		t.Errorf("%d requests, %d tunnels", proxy.forwarded.Load(), proxy.tunnels.Load())
	}
	if err := get(through(t, at.String(), plain.URL)); normalize.KindOf(err) != normalize.KindConnect {
		t.Errorf("a proxy of an unknown authority: %v", err)
	}
}

func TestProxyThatDoesNot(t *testing.T) {
	_, secure, trusting := backends(t)
	proxy := newProxyServer(t, httptest.NewServer)
	gone := httptest.NewServer(nil)
	gone.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
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
		"never answers":    {"http://" + silent.Addr().String(), normalize.KindConnectTimeout},
		"no SOCKS server":  {"socks5://" + silent.Addr().String(), normalize.KindConnectTimeout},
		"no TLS":           {"https://" + proxy.Listener.Addr().String(), normalize.KindConnect},
		"another protocol": {"ftp://" + proxy.Listener.Addr().String(), normalize.KindConnect},
		"talks too much":   {chatty.URL, normalize.KindConnect},
	} {
		err := get(through(t, c.proxy, secure.URL, trusting, hasty))
		if normalize.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %s", name, err, c.kind)
		}
	}
}

// TestSOCKS: RFC 1928, without a password.
func TestSOCKS(t *testing.T) {
	plain, secure, trusting := backends(t)
	var served atomic.Int32
	proxy := "socks5://" + speaks(t, func(here net.Conn, in *bufio.Reader) {
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
		through(t, proxy, plain.URL), through(t, proxy, secure.URL, trusting),
	} {
		for range 2 {
			if got := answer(t, c); got != "200 /agents?x=1" {
				t.Error(got)
			}
		}
	}
	if n := served.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// TestProxyOfTheEnvironment runs in a process of its own: net/http reads the environment once.
func TestProxyOfTheEnvironment(t *testing.T) {
	const base = "http://vendor.invalid/v1"
	if os.Getenv("HTTP_PROXY") != "" && os.Getenv("NO_PROXY") == "other.invalid" {
		u, _ := url.Parse(base)
		c := New(Options{Provider: "p", BaseURL: u, Timeout: 5 * time.Second, MaxResponseBytes: 1000})
		defer c.Close()
		fmt.Println(answer(t, c))
		return
	}
	asked := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.RequestURI
		fmt.Fprint(w, "of the proxy")
	}))
	defer proxy.Close()
	again := exec.Command(os.Args[0], "-test.run=^TestProxyOfTheEnvironment$")
	again.Env = append(os.Environ(), "HTTP_PROXY="+proxy.URL, "NO_PROXY=other.invalid")
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "200 of the proxy") {
		t.Fatalf("%v: %s", err, out)
	}
	if got := <-asked; got != base+"/agents?x=1" {
		t.Errorf("the proxy was asked for %s", got)
	}
}

func TestAddresses(t *testing.T) {
	for base, want := range map[string][2]string{
		"https://api.example.com":    {"api.example.com:443", "Host: api.example.com\r\n"},
		"http://api.example.com":     {"api.example.com:80", "Host: api.example.com\r\n"},
		"http://api.example.com:81":  {"api.example.com:81", "Host: api.example.com:81\r\n"},
		"http://[::1]":               {"[::1]:80", "Host: [::1]\r\n"},
		"http://[fe80::1%25lo]:82":   {"[fe80::1%lo]:82", "Host: [fe80::1]:82\r\n"},
		"https://bücher.example:444": {"xn--bcher-kva.example:444", "Host: xn--bcher-kva.example:444\r\n"},
	} {
		c := client(t, base)
		if got := [2]string{c.dialer.backend, string(c.always[:len(want[1])])}; got != want {
			t.Errorf("%s: %q", base, got)
		}
	}
}
