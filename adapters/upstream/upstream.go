// Package upstream sends requests to one backend over HTTP. It is the innermost
// adapters.RoundTrip and the only place that knows in how many ways HTTP can
// fail: every failure leaves it as a normalize.Kind.
//
// Begin reading at Client.RoundTrip. The connections are in transports.go;
// attempt.go follows one request through its stages and classifies its failure.
//
// The package knows no provider, and nothing of retries, breakers, quotas,
// caches or spans: the gateway wraps those around it.
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
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// Options configure a Client.
type Options struct {
	Provider         string        // named in errors
	BaseURL          *url.URL      // http or https; its path is a prefix
	Timeout          time.Duration // of each request, from start to the body's last byte
	MaxResponseBytes int64         // of a body, after decompression
	MaxAgentBytes    int64         // likewise, of a response that is not a list
	Memory           Memory        // bounds the bodies of all clients together; nil for no bound
	UserAgent        string
	TLS              *tls.Config // nil: the system's roots
}

// Memory bounds the memory, in bytes, of the bodies that are being read and decoded.
type Memory interface {
	// Take takes n bytes for a credential and reports whether it could.
	Take(credentialID string, n int64) bool
	// Release gives n bytes back.
	Release(credentialID string, n int64)
}

// Client speaks to one backend. It is safe for concurrent use. It does not bound
// how many requests run at once; its caller does.
type Client struct {
	options    Options
	basePath   string // the escaped path of BaseURL, without a trailing slash
	transports *transports
}

// maxPreallocation bounds the memory, in bytes, that is reserved for a body on
// its announced length alone.
const maxPreallocation = 1 << 20

// memoryStep is in which steps, in bytes, memory for a body is taken.
const memoryStep = 64 << 10

var (
	errTooLarge  = errors.New("the body is too large")
	errNoMemory  = errors.New("the bodies of all responses take too much memory")
	errEscaping  = errors.New("the path is not escaped")
	errHeader    = errors.New("a header field is not valid")
	errSwitching = errors.New("the backend switches protocols")
)

// New returns a client for the backend. Nothing is sent until RoundTrip is called.
// Proxies are those of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY).
func New(o Options) *Client {
	dialer := net.Dialer{Timeout: connectTimeout(o), KeepAlive: 15 * time.Second}
	return newClient(o, http.ProxyFromEnvironment, dialer.DialContext)
}

func newClient(o Options, proxy proxyFunc, dial dialFunc) *Client {
	return &Client{
		options:    o,
		basePath:   strings.TrimRight(o.BaseURL.EscapedPath(), "/"),
		transports: newTransports(o, proxy, dial),
	}
}

// Keep closes the idle connections of every credential whose ID is not in the
// set, and forgets the credential. Requests that run are not interrupted; their
// connections are closed when they end.
func (c *Client) Keep(credentialIDs map[string]bool) { c.transports.keep(credentialIDs) }

// Close closes the idle connections. Requests that run are not interrupted; their
// connections are closed when they end. A later request uses a connection of its
// own.
func (c *Client) Close() { c.transports.close() }

// RoundTrip implements adapters.RoundTrip. It sends the request at most once, within
// the timeout and the context's deadline, and follows no redirect.
func (c *Client) RoundTrip(ctx context.Context, req *adapters.Request) error {
	a := &attempt{caller: ctx}
	if err := ctx.Err(); err != nil {
		failure := c.failure(req, a.kind(err), err)
		failure.Unsent = true
		return failure
	}
	bounded, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	httpReq, err := c.newRequest(a.withTrace(bounded), req)
	if err != nil {
		return c.failure(req, normalize.KindInternal, err)
	}
	// A Transport follows no redirect and keeps no cookie, as an http.Client would.
	transport := c.transports.of(req)
	resp, err := transport.RoundTrip(httpReq)
	if err != nil {
		failure := c.failure(req, a.kind(err), err)
		failure.StaleConnection = a.reused.Load() && failure.Kind == normalize.KindReset
		if failure.StaleConnection || !a.connected.Load() {
			// The other idle connections are as old as the one that broke. One that is
			// still being made net/http would go on with, in the end forever: a SOCKS
			// proxy has no timeout of its own.
			transport.CloseIdleConnections()
		}
		return failure
	}
	defer resp.Body.Close()
	body, taken, err := c.readBody(a, req, resp)
	if c.options.Memory != nil {
		defer func() { c.options.Memory.Release(req.Credential.ID(), taken) }() // when it is decoded
	}
	isDeleted := req.Op == adapters.OpDelete && resp.StatusCode/100 == 2 // whatever else it says
	if err != nil && !isDeleted {
		failure := c.failure(req, a.kind(err), err)
		failure.Status = resp.StatusCode
		return failure
	}
	return req.Receive(adapters.Response{Status: resp.StatusCode, Header: resp.Header, Body: body})
}

// newRequest returns the HTTP request. It refuses a path that is not escaped as
// it is sent, so that no native id can change the path, and header fields
// that are not valid: net/http's own refusal would read as a failure to connect.
func (c *Client) newRequest(ctx context.Context, req *adapters.Request) (*http.Request, error) {
	target := *c.options.BaseURL
	target.RawPath = c.basePath + req.Path
	var err error
	if target.Path, err = url.PathUnescape(target.RawPath); err != nil {
		return nil, err
	}
	if target.EscapedPath() != target.RawPath {
		return nil, errEscaping
	}
	target.RawQuery = req.Query.Encode()

	header := http.Header{}
	for name, values := range req.Header {
		for _, value := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
				return nil, errHeader
			}
			header.Add(name, value)
		}
	}
	header.Set("Accept", "application/json")
	header.Set("User-Agent", c.options.UserAgent)
	httpReq := &http.Request{Method: req.Method, URL: &target, Header: header, Body: http.NoBody}
	if req.Body != nil {
		header.Set("Content-Type", "application/json")
	}
	if len(req.Body) > 0 {
		// Without GetBody net/http cannot send the body a second time.
		httpReq.Body, httpReq.ContentLength = io.NopCloser(bytes.NewReader(req.Body)), int64(len(req.Body))
	}
	return httpReq.WithContext(ctx), nil
}

// readBody reads the whole body, which net/http decompresses. It takes the memory for it as it
// grows; the caller gives it back, also after an error. After a 101 there is no body: the
// connection is it, and no deadline ends it.
func (c *Client) readBody(a *attempt, req *adapters.Request, resp *http.Response) (body []byte, taken int64, err error) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, 0, errSwitching
	}
	a.inBody = true
	limit := c.limitOf(req.Op)
	if resp.ContentLength > limit {
		return nil, 0, errTooLarge
	}
	var buf bytes.Buffer
	if resp.ContentLength > 0 {
		buf.Grow(int(min(resp.ContentLength, maxPreallocation)) + bytes.MinRead)
	}
	for {
		n, err := io.CopyN(&buf, resp.Body, memoryStep)
		switch {
		case int64(buf.Len()) > limit:
			return nil, taken, errTooLarge
		// The response to a write must be read: without it the outcome would be unknown.
		case c.options.Memory != nil && req.Op.IsRead() && !c.options.Memory.Take(req.Credential.ID(), n):
			return nil, taken, errNoMemory
		case c.options.Memory != nil && req.Op.IsRead():
			taken += n
		}
		if errors.Is(err, io.EOF) {
			return buf.Bytes(), taken, nil
		}
		if err != nil {
			return nil, taken, err
		}
	}
}

// limitOf returns the largest body of a response to the operation.
func (c *Client) limitOf(op adapters.Operation) int64 {
	if op == adapters.OpList || c.options.MaxAgentBytes == 0 {
		return c.options.MaxResponseBytes
	}
	return min(c.options.MaxAgentBytes, c.options.MaxResponseBytes)
}

// failure describes a failure in our own words. The text of the cause is never
// shown: it can quote the URL or the backend.
func (c *Client) failure(req *adapters.Request, kind normalize.Kind, cause error) *normalize.Error {
	return &normalize.Error{
		Kind: kind, Provider: c.options.Provider, Op: string(req.Op), Err: cause,
		Message: c.explain(kind, req.Op, cause),
	}
}

func (c *Client) explain(kind normalize.Kind, op adapters.Operation, cause error) string {
	switch kind {
	case normalize.KindConnect:
		if _, ok := errors.AsType[*net.DNSError](cause); ok {
			return "no connection: the name in base_url does not resolve"
		}
		return "no connection: nothing accepts connections at base_url"
	case normalize.KindTLS:
		if _, ok := errors.AsType[tls.RecordHeaderError](cause); ok {
			return "the TLS handshake failed: base_url is https, and the server there speaks no TLS"
		}
		if _, ok := errors.AsType[*tls.CertificateVerificationError](cause); ok {
			return "the TLS handshake failed: the certificate of base_url is not valid for its name, or not trusted"
		}
		return "the TLS handshake with base_url failed"
	case normalize.KindReset:
		return "the connection broke before the first byte of a response"
	case normalize.KindCut:
		return "the response ended early"
	case normalize.KindTooLarge:
		setting := "max_agent_bytes"
		if c.limitOf(op) == c.options.MaxResponseBytes {
			setting = "max_response_bytes"
		}
		return fmt.Sprintf("the body is over %s (%d)", setting, c.limitOf(op))
	case normalize.KindOverloaded:
		return "too many responses of providers are being read (server.max_upstream_bytes)"
	case normalize.KindExpired, normalize.KindDeadline:
		return "not done within server.request_timeout"
	case normalize.KindConnectTimeout, normalize.KindTimeout, normalize.KindBodyTimeout:
		return fmt.Sprintf("not done within the timeout (%s)", c.options.Timeout)
	}
	return ""
}
