// Package upstream speaks HTTP to one backend: the innermost Exchange. It
// turns every way in which HTTP can fail into a normalize.Kind.
//
// It must not know any vendor, nor anything that stands around a request:
// breaker, cache and spans are the gateway's.
package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// Options configure a Client.
type Options struct {
	Provider         string        // named in errors
	BaseURL          *url.URL      // http or https; its path is a prefix
	Timeout          time.Duration // of each request, from start to the body's last byte
	MaxResponseBytes int64         // of a body, after decompression
	MaxConns         int           // connections at once; 0: no bound
	UserAgent        string
	TLS              *tls.Config // nil: the system's roots
}

// Client speaks to one backend. It is safe for concurrent use.
type Client struct {
	options   Options
	base      string
	transport *http.Transport
	client    *http.Client
	closed    atomic.Bool
}

const (
	// maxResponseHeaderBytes bounds what a backend's headers can cost us.
	maxResponseHeaderBytes = 64 << 10
	// maxAhead bounds the memory that is taken for a body on its announced length
	// alone.
	maxAhead = 1 << 20
)

// New makes a client. Nothing is sent until its Exchange is called.
func New(o Options) *Client {
	connect := o.Timeout / 2 // a host that does not even connect is known to be gone sooner
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: connect, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:        o.TLS,
		TLSHandshakeTimeout:    connect,
		ResponseHeaderTimeout:  o.Timeout,
		MaxConnsPerHost:        o.MaxConns,
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    max(o.MaxConns, 16),
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxResponseHeaderBytes,
		Protocols:              &http.Protocols{},
	}
	// Over HTTP/2 net/http sends again, writes too and without bound, whatever the
	// backend says that it has not looked at (REFUSED_STREAM, GOAWAY).
	transport.Protocols.SetHTTP1(true)
	return &Client{
		options:   o,
		base:      strings.TrimRight(o.BaseURL.String(), "/"),
		transport: transport,
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close gives back the idle connections. Requests that run are not touched; theirs
// are given back when they end.
func (c *Client) Close() {
	c.closed.Store(true)
	c.transport.CloseIdleConnections()
}

// Exchange is an adapters.Exchange: one request, sent at most once, within the
// timeout and the context.
func (c *Client) Exchange(ctx context.Context, req *adapters.Request) error {
	if err := ctx.Err(); err != nil {
		kind := normalize.KindExpired
		if errors.Is(err, context.Canceled) {
			kind = normalize.KindCanceled
		}
		failure := c.failed(req, kind, err)
		failure.Unsent = true
		return failure
	}
	bounded, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	defer func() {
		if c.closed.Load() {
			c.transport.CloseIdleConnections()
		}
	}()

	var at phase
	httpReq, err := c.build(httptrace.WithClientTrace(bounded, at.trace()), req)
	if err != nil {
		return c.failed(req, normalize.KindInternal, err)
	}
	resp, err := c.client.Do(httpReq)
	if err != nil {
		kind := at.kind(ctx, err)
		if kind == normalize.KindReset && at.reused.Load() {
			c.transport.CloseIdleConnections() // the others are as old
		}
		return c.failed(req, kind, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols { // its body is the bare connection, which no context ends
		failure := c.failed(req, normalize.KindBadResponse, nil)
		failure.Status = resp.StatusCode
		return failure
	}
	body, err := c.read(resp)
	if err != nil {
		return c.bodyFailed(ctx, req, resp.StatusCode, err)
	}
	return req.Decode(adapters.Response{Status: resp.StatusCode, Header: resp.Header, Body: body})
}

func (c *Client) build(ctx context.Context, req *adapters.Request) (*http.Request, error) {
	target := c.base + req.Path
	if len(req.Query) > 0 {
		target += "?" + req.Query.Encode()
	}
	var body io.Reader
	if req.Body != nil {
		body = bytes.NewReader(req.Body)
	}
	httpReq, err := http.NewRequestWithContext(ctx, req.Method, target, body)
	if err != nil {
		return nil, err
	}
	if req.Body == nil && req.Method == http.MethodGet {
		httpReq.Body = sentOnce{}
	}
	for name, values := range req.Header {
		httpReq.Header[name] = values
	}
	httpReq.Header.Set("Accept", "application/json")
	httpReq.Header.Set("User-Agent", c.options.UserAgent)
	if req.Body != nil {
		httpReq.Header.Set("Content-Type", "application/json")
	}
	return httpReq, nil
}

// sentOnce is no body, in a form that net/http does not know to be one: it would
// send a GET again, and again, whenever a kept connection turns out to be dead,
// past the breaker, the quota and the retry budget.
type sentOnce struct{}

func (sentOnce) Read([]byte) (int, error) { return 0, io.EOF }
func (sentOnce) Close() error             { return nil }

var errTooLarge = errors.New("body over max_response_bytes")

func (c *Client) read(resp *http.Response) ([]byte, error) {
	limit := c.options.MaxResponseBytes
	if resp.ContentLength > limit {
		return nil, errTooLarge
	}
	var buf bytes.Buffer
	if resp.ContentLength > 0 {
		buf.Grow(int(min(resp.ContentLength, maxAhead)) + bytes.MinRead)
	}
	// One byte over the limit tells "full" from "too large".
	if _, err := buf.ReadFrom(io.LimitReader(resp.Body, limit+1)); err != nil {
		return nil, err
	}
	if int64(buf.Len()) > limit {
		return nil, errTooLarge
	}
	return buf.Bytes(), nil
}

func (c *Client) bodyFailed(ctx context.Context, req *adapters.Request, status int, err error) error {
	kind := normalize.KindCut
	switch {
	case errors.Is(err, errTooLarge):
		kind = normalize.KindTooLarge
	case errors.Is(ctx.Err(), context.Canceled):
		kind = normalize.KindCanceled
	case ctx.Err() != nil:
		kind = normalize.KindDeadline
	case isTimeout(err):
		kind = normalize.KindBodyTimeout
	}
	failure := c.failed(req, kind, err)
	failure.Status = status
	return failure
}

// failed describes a failure by what we know, never by the cause's text: that
// can quote the URL or the backend.
func (c *Client) failed(req *adapters.Request, kind normalize.Kind, cause error) *normalize.Error {
	return &normalize.Error{
		Kind: kind, Provider: c.options.Provider, Op: string(req.Op), Err: cause,
		Message: c.explain(kind),
	}
}

func (c *Client) explain(kind normalize.Kind) string {
	switch kind {
	case normalize.KindConnect:
		return "no connection to base_url: its name does not resolve or nothing listens there"
	case normalize.KindTLS:
		return "the TLS handshake with base_url failed"
	case normalize.KindReset:
		return "the connection broke before an answer"
	case normalize.KindCut:
		return "the body ended early"
	case normalize.KindTooLarge:
		return fmt.Sprintf("the body is over max_response_bytes (%d)", c.options.MaxResponseBytes)
	case normalize.KindExpired, normalize.KindDeadline:
		return "not done within server.request_timeout"
	case normalize.KindConnectTimeout, normalize.KindTimeout, normalize.KindBodyTimeout:
		return fmt.Sprintf("not done within the timeout (%s)", c.options.Timeout)
	}
	return ""
}

// phase notes how far a request came, which is what its failure means.
type phase struct {
	shaking, connected, reused, answered atomic.Bool
}

func (p *phase) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		// net/http may take a second connection if nothing was written to the
		// first; what the first one came to does not count.
		GetConn:           func(string) { p.connected.Store(false) },
		TLSHandshakeStart: func() { p.shaking.Store(true) },
		TLSHandshakeDone:  func(_ tls.ConnectionState, err error) { p.shaking.Store(err != nil) },
		GotConn: func(info httptrace.GotConnInfo) {
			p.connected.Store(true)
			p.reused.Store(info.Reused)
		},
		GotFirstResponseByte: func() { p.answered.Store(true) },
	}
}

// kind is what an error of Do means; ctx is the caller's, without our timeout:
// a deadline of its own says nothing of the backend.
func (p *phase) kind(ctx context.Context, err error) normalize.Kind {
	timeout := isTimeout(err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return normalize.KindCanceled
	case ctx.Err() != nil && p.connected.Load():
		return normalize.KindDeadline
	case ctx.Err() != nil:
		return normalize.KindExpired
	case p.answered.Load() && timeout:
		return normalize.KindBodyTimeout
	case p.answered.Load() && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)):
		return normalize.KindCut // in the headers
	case p.answered.Load():
		return normalize.KindBadResponse // bytes that are no HTTP answer
	case p.connected.Load() && timeout:
		return normalize.KindTimeout
	case p.connected.Load():
		return normalize.KindReset
	case timeout:
		return normalize.KindConnectTimeout
	case p.shaking.Load() || isTLS(err):
		return normalize.KindTLS
	}
	return normalize.KindConnect
}

func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.RecordHeaderError](err)
	return ok
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}
