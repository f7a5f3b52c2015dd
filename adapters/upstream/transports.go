package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/agentgw/agentgw/adapters"
)

const (
	// idleTimeout is how long a connection is kept without a request.
	idleTimeout = 90 * time.Second
	// maxIdlePerCredential bounds the idle connections of one credential.
	maxIdlePerCredential = 16
	// maxResponseHeaderBytes bounds the headers of a response, those of its 1xx
	// responses included.
	maxResponseHeaderBytes = 64 << 10
)

// proxyFunc and dialFunc are the fields Proxy and DialContext of http.Transport.
type (
	proxyFunc func(*http.Request) (*url.URL, error)
	dialFunc  func(ctx context.Context, network, address string) (net.Conn, error)
)

// transports holds the connections to one backend. It is safe for concurrent use.
//
// The reads of each credential have a Transport of their own: a kept connection
// serves one credential only, so that a response that nobody asked for cannot
// reach another. A write gets a fresh connection: a kept one that is dead would
// leave open whether the write was done.
type transports struct {
	new    func() *http.Transport
	writes *http.Transport // keeps no connection, so credentials may share it

	mu     sync.Mutex
	reads  map[string]*http.Transport // by credential ID, made with the first read
	closed bool
}

func newTransports(o Options, proxy proxyFunc, dial dialFunc) *transports {
	t := &transports{reads: map[string]*http.Transport{}}
	t.new = func() *http.Transport {
		transport := &http.Transport{
			Proxy:                  sendOnce(proxy),
			DialContext:            dial,
			TLSClientConfig:        o.TLS,
			TLSHandshakeTimeout:    connectTimeout(o),
			MaxIdleConnsPerHost:    maxIdlePerCredential,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxResponseHeaderBytes,
			Protocols:              &http.Protocols{},
		}
		// Over HTTP/2 net/http resends whatever the backend says that it has not
		// looked at (REFUSED_STREAM, GOAWAY), writes too, without bound.
		transport.Protocols.SetHTTP1(true)
		return transport
	}
	t.writes = t.new()
	// DisableKeepAlives would do the same, and add a header field to each request.
	t.writes.MaxIdleConnsPerHost = -1
	return t
}

// connectTimeout bounds the TCP connection, and the TLS handshake. It is shorter
// than the whole timeout: a host that does not even connect is known to be gone sooner.
func connectTimeout(o Options) time.Duration { return o.Timeout / 2 }

var errResend = errors.New("net/http would send the request again")

// sendOnce keeps net/http from sending a request twice. When a kept connection
// breaks, it takes another one for a GET, and then another, past the gateway's
// breaker, quota and retry budget. Before it takes a connection it asks for the
// proxy, and gives up if that fails.
func sendOnce(proxy proxyFunc) proxyFunc {
	return func(r *http.Request) (*url.URL, error) {
		if attemptOf(r.Context()).connected.Load() {
			return nil, errResend
		}
		return proxy(r)
	}
}

// of returns the Transport for a request.
func (t *transports) of(req *adapters.Request) *http.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !req.Op.IsRead() || t.closed {
		return t.writes
	}
	id := req.Credential.ID()
	transport, ok := t.reads[id]
	if !ok {
		transport = t.new()
		t.reads[id] = transport
	}
	return transport
}

func (t *transports) keep(credentialIDs map[string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, transport := range t.reads {
		if !credentialIDs[id] {
			transport.CloseIdleConnections()
			delete(t.reads, id)
		}
	}
}

func (t *transports) close() {
	t.keep(nil)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}
