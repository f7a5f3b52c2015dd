// Package api is the public HTTP API: middlewares, routes, parsing of requests,
// responses and their cache.
//
// It is the only package that imports Fiber and fasthttp. It may not know how an agent is
// read or written: handlers decode a request and call gateway/agents, gateway/alias or
// gateway/migration. Begin with [NewServer], which lists what every request passes, and
// routes.go, which lists what there is.
package api

import (
	"bytes"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/limit"
	"github.com/agentgw/agentgw/gateway/listener"
	"github.com/agentgw/agentgw/gateway/migration"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// Server serves the public API. It is safe for concurrent use.
type Server struct {
	Options
	app       *fiber.App
	bodyLimit int64 // in bytes; a reload does not change it

	documents   *documents
	connections *listener.Connections
	leaving     atomic.Bool // responses close their connections
	closing     atomic.Bool // new requests are refused

	mu      sync.Mutex
	serving net.Listener // nil before Serve
	stopped bool
}

// Limits of requests and responses that are not configurable.
const (
	maxHeaderBytes = 16 << 10
	maxURIBytes    = 8 << 10
	idleTimeout    = 75 * time.Second
	HeaderTimeout  = 10 * time.Second // for reading the headers of a request
	writeTimeout   = 60 * time.Second // for writing the response
)

// Options are the dependencies of a Server. All are required.
type Options struct {
	Version    string
	Providers  []*adapters.Info
	Log        *slog.Logger
	Telemetry  *telemetry.Telemetry
	Agents     *agents.Service
	Aliases    *alias.Service
	Migrations *migration.Service
	Responses  *ResponseCache
	// IsFresh reports whether the cache entry that a response was made from is unchanged, and
	// fresh at that time.
	IsFresh func(d backend.Dependency, now time.Time) bool
	// Slots shares server.max_inflight among keys. InFlight counts the requests in progress, of
	// all servers.
	Slots    *limit.FairSemaphore
	InFlight *atomic.Int64
	// Bodies bounds the memory of all request bodies, by key.
	Bodies *limit.Bytes
	// Current returns the current settings.
	Current func() *Settings
}

// Settings are the part of the configuration that a Server uses. A request uses the settings
// that were current when it began. They are not changed.
type Settings struct {
	config.Server
	Keys *auth.Keyring
}

// NewServer returns a server that does not serve yet. Its body limit is that of the current
// settings; everything else follows reloads.
//
// A request passes, in this order:
//
//	probe           /livez and /readyz end here, after checkFraming
//	observe         request id, span, deadline; at the end access log, metrics, recent requests
//	recoverPanic    a panic becomes a 500
//	checkFraming    refuses requests whose end is ambiguous (request smuggling)
//	cors            server.cors.origins; answers preflights, so it comes after checkFraming
//	refuseHiddenBody  refuses bodies that are too large, and those without a valid key
//	admit           server.max_inflight, shutdown, length of the target
//	handle          the route: key, rate limit, fair share, scope, response cache, handler
func NewServer(o Options) *Server {
	c := o.Current().Server
	s := &Server{Options: o}
	s.connections = listener.New(func() config.Server { return o.Current().Server }, o.Telemetry, o.Log)
	s.bodyLimit = int64(c.BodyLimit)
	s.documents = newDocuments(o.Version, o.Providers)
	// Immutable is off: strings of a *fiber.Ctx alias buffers that the next request reuses, so
	// everything that outlives the handler is copied.
	s.app = fiber.New(fiber.Config{
		AppName:               "agentgw",
		DisableStartupMessage: true,
		ErrorHandler:          s.handleServerError,
		RequestMethods:        append(slices.Clone(fiber.DefaultMethods), telemetry.OtherMethod),
		StreamRequestBody:     true, // so that the key is checked before the body is read
		// A form is refused by its media type, and not parsed.
		DisablePreParseMultipartForm: true,
		ReadBufferSize:               maxHeaderBytes,
		ReadTimeout:                  HeaderTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		StrictRouting:                true,
		CaseSensitive:                true,
	})
	// fasthttp's own response to a malformed request would quote it, including its key.
	s.app.Server().SecureErrorLogMessage = true
	s.app.Server().CloseOnShutdown = true
	s.app.Server().Logger = discardLogger{}
	s.app.Server().HeaderReceived = func(header *fasthttp.RequestHeader) fasthttp.RequestConfig {
		if n := header.ContentLength(); n != chunked && n <= 0 {
			return fasthttp.RequestConfig{} // no body
		}
		if s.refusesBody(header) {
			hideBody(header)
		} else if expected := header.Peek(fiber.HeaderExpect); len(expected) > 0 {
			header.SetBytesV(fiber.HeaderExpect, bytes.ToLower(expected)) // fasthttp compares case
		}
		return fasthttp.RequestConfig{ReadTimeout: s.Current().RequestTimeout.D(), MaxRequestBodySize: prefetch}
	}

	// Before all else: probes are answered also by a gateway that is full, and are not logged.
	s.app.Get(livePath, checkFraming, s.probe(func() bool { return true }))
	s.app.Get(readyPath, checkFraming, s.probe(func() bool { return !s.leaving.Load() }))
	s.app.Use(s.observe, s.recoverPanic, checkFraming, s.cors(), s.refuseHiddenBody, s.admit)
	for i := range routes {
		r := &routes[i]
		s.app.Add(r.method, r.path, s.handle(r))
		if r.method == fiber.MethodGet {
			s.app.Add(fiber.MethodHead, r.path, s.handle(r))
		}
	}
	s.app.Server().Handler = withKnownMethod(s.app.Handler())
	return s
}

// withKnownMethod replaces methods that HTTP does not define, so that such a request passes
// the middlewares. Fiber would answer it in plain text before them.
func withKnownMethod(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(c *fasthttp.RequestCtx) {
		if telemetry.KnownMethod(string(c.Method())) == telemetry.OtherMethod {
			c.Request.Header.SetMethod(telemetry.OtherMethod)
		}
		next(c)
	}
}

// chunked is fasthttp's Content-Length of a chunked body.
const chunked = -1

// discardLogger drops fasthttp's log lines, which can quote a request.
type discardLogger struct{}

var _ fasthttp.Logger = discardLogger{}

func (discardLogger) Printf(string, ...any) {}

// Serve serves connections of the listener until Shutdown. After Shutdown it only closes the
// listener.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.serving = l
	stopped := s.stopped
	s.mu.Unlock()
	if stopped {
		return l.Close()
	}
	return s.app.Listener(l)
}

// Guard returns a listener whose connections are limited in number and, after a request was
// refused, closed without losing the response. A TLS listener must wrap the returned one.
func (s *Server) Guard(l net.Listener) net.Listener { return s.connections.Guard(l) }

// OpenConnections returns the number of open connections of guarded listeners, and of the
// addresses that they come from.
func (s *Server) OpenConnections() (connections, addresses int) { return s.connections.Count() }

// ServeConn serves one connection, without a listener, until it ends.
func (s *Server) ServeConn(c net.Conn) error { return s.app.Server().ServeConn(c) }

// RefuseRequests makes the server respond to every new request with 503 draining.
func (s *Server) RefuseRequests() { s.closing.Store(true) }

// Shutdown closes the listener and waits until the requests in progress are finished, at most
// for the grace period. New requests on open connections get 503 draining.
func (s *Server) Shutdown(grace time.Duration) error {
	s.leaving.Store(true)
	s.RefuseRequests()
	s.mu.Lock()
	s.stopped = true
	l := s.serving
	s.mu.Unlock()
	s.connections.EndReads(time.Now().Add(lastRequests))
	err := s.app.ShutdownWithTimeout(grace)
	if l != nil {
		_ = l.Close() // Serve may have started it in between
	}
	return err
}

// Drain keeps serving for that time and closes each connection after its response, so that
// callers and load balancers move to other instances before the listener closes.
func (s *Server) Drain(d time.Duration) {
	s.leaving.Store(true)
	time.Sleep(d)
}

// lastRequests is how long incomplete requests may still arrive once Shutdown was called.
const lastRequests = time.Second
