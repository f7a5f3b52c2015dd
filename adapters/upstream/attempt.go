package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"

	"github.com/agentgw/agentgw/normalize"
)

// attempt notes how far one request came, which is what its failure means. Its
// flags are atomic: net/http sets up connections in goroutines of its own, and
// goes on with one when the request has ended.
type attempt struct {
	caller context.Context // without the client's own timeout

	tlsHandshake atomic.Bool // began, and did not succeed yet
	connected    atomic.Bool // there is a connection: from here on the request may have left
	reused       atomic.Bool // the connection had carried another request
	answered     atomic.Bool // a byte of the response came
	inBody       bool        // the headers of the response are read
}

type attemptKey struct{}

// attemptOf returns the attempt of a context that withTrace made.
func attemptOf(ctx context.Context) *attempt { return ctx.Value(attemptKey{}).(*attempt) }

// withTrace returns a context in which net/http reports its progress to the attempt.
func (a *attempt) withTrace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(context.WithValue(ctx, attemptKey{}, a), &httptrace.ClientTrace{
		TLSHandshakeStart: func() { a.tlsHandshake.Store(true) },
		TLSHandshakeDone:  func(_ tls.ConnectionState, err error) { a.tlsHandshake.Store(err != nil) },
		GotConn: func(info httptrace.GotConnInfo) {
			a.reused.Store(info.Reused)
			a.connected.Store(true)
		},
		GotFirstResponseByte: func() { a.answered.Store(true) },
	})
}

// kind classifies an error. The caller's own deadline says nothing of the
// backend, so it has kinds of its own.
func (a *attempt) kind(err error) normalize.Kind {
	switch {
	case errors.Is(err, errTooLarge):
		return normalize.KindTooLarge
	case errors.Is(err, errNoMemory):
		return normalize.KindOverloaded
	case errors.Is(a.caller.Err(), context.Canceled):
		return normalize.KindCanceled
	case a.caller.Err() != nil && !a.connected.Load():
		return normalize.KindExpired
	case a.caller.Err() != nil:
		return normalize.KindDeadline
	case !a.connected.Load():
		return a.connectKind(err)
	case !a.answered.Load() && isTimeout(err):
		return normalize.KindTimeout
	case !a.answered.Load():
		return normalize.KindReset
	case isTimeout(err):
		return normalize.KindBodyTimeout
	case a.inBody || isCut(err):
		return normalize.KindCut
	}
	return normalize.KindBadResponse // bytes that are no HTTP response
}

// connectKind classifies an error that left the request without a connection.
func (a *attempt) connectKind(err error) normalize.Kind {
	switch {
	case isTimeout(err):
		return normalize.KindConnectTimeout
	case a.tlsHandshake.Load() && !isProxyConnect(err):
		return normalize.KindTLS
	}
	return normalize.KindConnect
}

// isProxyConnect reports whether the connection to the proxy failed, its TLS
// handshake included, and not one through the proxy.
func isProxyConnect(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "proxyconnect"
}

func isCut(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}
