package upstream

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// newPipedClient returns a client whose connections are net.Pipes, for tests with
// a fake clock. Each connection is served, and closed then.
func newPipedClient(t *testing.T, base, proxy string, serve func(net.Conn)) *Client {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	proxyURL := func(*http.Request) (*url.URL, error) { return nil, nil }
	if proxy != "" {
		at, err := url.Parse(proxy)
		if err != nil {
			t.Fatal(err)
		}
		proxyURL = http.ProxyURL(at)
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		if serve == nil { // no connection is ever made
			<-ctx.Done()
			return nil, ctx.Err()
		}
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			serve(there)
		}()
		return here, nil
	}
	return newClient(Options{Provider: "p", BaseURL: u, Timeout: time.Minute, MaxResponseBytes: 1000}, proxyURL, dial)
}

// TestRoundTrip_Timeouts: each request ends at its timeout, with the kind of how far it
// came, and leaves no goroutine behind: the bubble would not end.
func TestRoundTrip_Timeouts(t *testing.T) {
	silent := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	stalls := func(response string) func(net.Conn) {
		return func(conn net.Conn) {
			in := bufio.NewReader(conn)
			if readRequest(in) {
				fmt.Fprint(conn, response)
				_, _ = io.Copy(io.Discard, in)
			}
		}
	}
	for name, c := range map[string]struct {
		base, proxy string
		serve       func(net.Conn)
		kind        normalize.Kind
		after       time.Duration
	}{
		"no connection":                 {"http://backend.example", "", nil, normalize.KindConnectTimeout, time.Minute},
		"no TLS handshake":              {"https://backend.example", "", silent, normalize.KindConnectTimeout, time.Minute / 2},
		"no response of a proxy":        {"https://backend.example", "http://proxy.example", silent, normalize.KindConnectTimeout, time.Minute},
		"no TLS handshake of a proxy":   {"https://backend.example", "https://proxy.example", silent, normalize.KindConnectTimeout, time.Minute / 2},
		"no response of a SOCKS proxy":  {"https://backend.example", "socks5://proxy.example", silent, normalize.KindConnectTimeout, time.Minute},
		"no response":                   {"http://backend.example", "", silent, normalize.KindTimeout, time.Minute},
		"headers that stall":            {"http://backend.example", "", stalls("HTTP/1.1 200 OK\r\nContent-"), normalize.KindBodyTimeout, time.Minute},
		"a body that stalls":            {"http://backend.example", "", stalls("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{"), normalize.KindBodyTimeout, time.Minute},
		"a chunked body without an end": {"http://backend.example", "", stalls("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"), normalize.KindBodyTimeout, time.Minute},
	} {
		for _, op := range []adapters.Operation{adapters.OpGet, adapters.OpDelete} {
			t.Run(fmt.Sprintf("%s/%s", name, op), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client := newPipedClient(t, c.base, c.proxy, c.serve)
					began := time.Now()
					_, err := send(t.Context(), client, adapters.Request{Op: op, Credential: acme, Method: "GET", Path: "/"})
					took := time.Since(began)
					if op == adapters.OpDelete && strings.Contains(name, "body") {
						if err != nil || took != c.after { // its 200 has said that it is done
							t.Errorf("%v after %s, want success after %s", err, took, c.after)
						}
						return
					}
					if normalize.KindOf(err) != c.kind || took != c.after {
						t.Errorf("%v after %s, want %s after %s", err, took, c.kind, c.after)
					}
				})
			})
		}
	}
}

// TestRoundTrip_CallersDeadline: the caller's deadline says nothing of the backend.
func TestRoundTrip_CallersDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(net.Conn)
		kind  normalize.Kind
	}{
		"before a connection": {nil, normalize.KindExpired},
		"before a response":   {func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, normalize.KindDeadline},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := newPipedClient(t, "http://backend.example", "", c.serve)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				req := adapters.Request{Op: adapters.OpUpdate, Credential: acme, Method: "PUT", Path: "/", Body: []byte("{}")}
				if _, err := send(ctx, client, req); normalize.KindOf(err) != c.kind {
					t.Errorf("%v, want %s", err, c.kind)
				}
				_, err := send(ctx, client, req)
				if normalize.KindOf(err) != normalize.KindExpired || !err.(*normalize.Error).Unsent {
					t.Errorf("after the deadline: %v", err)
				}
			})
		})
	}
}
