// Package upstream speaks HTTP to one backend: the innermost Exchange. It
// turns every way in which HTTP can fail into a normalize.Kind.
//
// Answers are read by net/http, but for plain ones; the connections are this package's own, one
// request at a time on each (docs/decisions/0001). A request is sent at most once, whatever
// becomes of it.
//
//	upstream.go  an Exchange, from the caller's context to the kind of its failure
//	message.go   one request and its answer on a connection
//	plain.go     the head of an answer of which nothing is to be decided
//	dial.go      a new connection: TCP, a proxy, TLS
//	idle.go      connections that wait for the next request
//	quiet_*.go   whether one of them is still good, and a request on it
//
// It must not know any vendor, nor anything that stands around a request:
// breaker, cache and spans are the gateway's.
package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
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
	UserAgent        string
	TLS              *tls.Config // nil: the system's roots
}

// Client speaks to one backend. It is safe for concurrent use. It opens as many
// connections as there are requests at once: whoever calls it bounds those.
type Client struct {
	options Options
	target  string // what stands before each path in the first line of a request
	always  []byte // headers, as they are sent
	dialer  dialer
	idle    idle
}

// New makes a client. Nothing is sent until its Exchange is called.
func New(o Options) *Client {
	return newClient(o, http.ProxyFromEnvironment)
}

func newClient(o Options, proxyFor proxyFor) *Client {
	base := *o.BaseURL
	if ascii, err := httpguts.PunycodeHostPort(base.Host); err == nil { // else there is no such name, as will turn out
		base.Host = ascii
	}
	o.BaseURL = &base
	c := &Client{
		options: o, target: strings.TrimRight(o.BaseURL.EscapedPath(), "/"),
		dialer: newDialer(o, proxyFor),
	}
	c.always = o.headers(c.dialer.authorization)
	if c.dialer.forwards() {
		c.target = "http://" + withoutZone(o.BaseURL.Host) + c.target
	}
	return c
}

// Close gives back the idle connections. Requests that run are not touched; theirs
// are given back when they end.
func (c *Client) Close() { c.idle.close() }

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
	room := heads.Get().(*[]byte)
	defer heads.Put(room)
	head, err := c.appendHead((*room)[:0], req)
	if err != nil {
		return c.failed(req, normalize.KindInternal, err)
	}
	t := newTrip(ctx, c.options.Timeout)
	if req.LendBody {
		t.lent = bodies.Get().(*[]byte)
		defer bodies.Put(t.lent)
	}
	resp, err := c.send(&t, head, req.Body)
	if err != nil {
		failure := c.failed(req, t.kind(err), err)
		failure.Status = resp.Status
		return failure
	}
	return req.Receive(resp)
}

// send sends the request on a connection, which is kept for the next one if nothing is left on
// it. Of an answer that fails in its body the status is returned with the error.
func (c *Client) send(t *trip, head, body []byte) (adapters.Response, error) {
	for {
		t.stage = connecting
		connection := c.idle.take(t.began, t.deadline)
		t.reused = connection != nil
		if !t.reused {
			var err error
			if connection, err = c.dialer.dial(t); err != nil {
				return adapters.Response{}, err
			}
		}
		release := connection.bind(t.ctx)
		resp, err := connection.do(t, head, body, c.options.MaxResponseBytes)
		if untouched := release(); err == nil && untouched && connection.clean() {
			c.idle.put(connection)
			return resp, nil
		}
		connection.hangUp()
		if err == errNotQuiet {
			continue
		}
		if err != nil && t.reused && t.kind(err) == normalize.KindReset {
			c.idle.clear() // the others are as old
		}
		return resp, err
	}
}

// trip is one request on its way.
type trip struct {
	ctx      context.Context // the caller's
	began    time.Time
	deadline time.Time // the earlier of the caller's and the timeout's
	callers  bool      // it is the caller's: that it passes says nothing of the backend
	reused   bool      // the connection had another request before
	stage    stage
	lent     *[]byte // room for the answer's body; nil: it has its own
}

func newTrip(ctx context.Context, timeout time.Duration) trip {
	began := time.Now()
	t := trip{ctx: ctx, began: began, deadline: began.Add(timeout)}
	if callers, ok := ctx.Deadline(); ok && callers.Before(t.deadline) {
		t.deadline, t.callers = callers, true
	}
	return t
}

// stage is how far a request came, which is what its failure means.
type stage int

const (
	connecting stage = iota
	shaking          // hands, for TLS
	sent             // or so much of it as could be
	answered         // a byte at least
	inBody           // of the answer
)

// kind is what an error at this stage means.
func (t *trip) kind(err error) normalize.Kind {
	timeout := isTimeout(err)
	callers := t.ctx.Err() != nil || timeout && t.callers && !time.Now().Before(t.deadline)
	cut := errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	switch {
	case errors.Is(err, errTooLarge):
		return normalize.KindTooLarge
	case errors.Is(t.ctx.Err(), context.Canceled):
		return normalize.KindCanceled
	case callers && t.stage < sent:
		return normalize.KindExpired
	case callers:
		return normalize.KindDeadline
	}
	switch t.stage {
	case connecting, shaking:
		switch {
		case timeout:
			return normalize.KindConnectTimeout
		case t.stage == shaking:
			return normalize.KindTLS
		}
		return normalize.KindConnect
	case sent:
		if timeout {
			return normalize.KindTimeout
		}
		return normalize.KindReset
	}
	switch {
	case timeout:
		return normalize.KindBodyTimeout
	case cut || t.stage == inBody:
		return normalize.KindCut
	}
	return normalize.KindBadResponse // bytes that are no HTTP answer
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
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
