package gateway

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/cors"
	"github.com/valyala/fasthttp"

	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// Server is the public listener.
type Server struct {
	gateway   *Gateway
	app       *fiber.App
	bodyLimit int64 // as it was at start

	connections *connections
	byKey       *shares     // the requests of each key that run
	leaving     atomic.Bool // answers end their connections
	closing     atomic.Bool // new requests are refused

	mu       sync.Mutex
	listener net.Listener // nil before Serve
	stopped  bool
}

// Bounds of the public listener that are not configured.
const (
	maxHeaderBytes = 16 << 10
	maxURIBytes    = 8 << 10
	idleTimeout    = 75 * time.Second
	headerTimeout  = 10 * time.Second // of a request's headers
	bodyTimeout    = 30 * time.Second // of its body
	writeTimeout   = 60 * time.Second // of a whole answer
)

// NewServer makes the public listener of a gateway. Its body limit is that of the
// configuration that the gateway has now; all else follows reloads.
//
// A request passes, from the outside in: observe (id, span, log, metric),
// recover, framed (where it ends), admit (how many at once), CORS, the route; there
// the key, its rate limit, its share of those at once and its scope, and the
// handler.
func NewServer(g *Gateway) *Server {
	c := g.state.Load().config.File.Server
	s := &Server{gateway: g, byKey: newShares(), connections: &connections{
		limits:    func() config.Server { return g.state.Load().config.File.Server },
		telemetry: g.telemetry, open: map[*guardedConn]bool{}, byOrigin: map[netip.Addr]int{},
	}}
	s.bodyLimit = int64(c.BodyLimit)
	// Strings of a context are the connection's buffers: whatever outlives its handler is a
	// copy. Immutable would copy each of them, always.
	s.app = fiber.New(fiber.Config{
		AppName:               "agentgw",
		DisableStartupMessage: true,
		ErrorHandler:          s.handleRefused,
		RequestMethods:        append(slices.Clone(fiber.DefaultMethods), telemetry.OtherMethod),
		BodyLimit:             int(c.BodyLimit),
		ReadBufferSize:        maxHeaderBytes,
		WriteBufferSize:       writeBuffer,
		ReadTimeout:           headerTimeout,
		WriteTimeout:          writeTimeout,
		IdleTimeout:           idleTimeout,
		StrictRouting:         true,
		CaseSensitive:         true,
	})
	// The default answer to a malformed request quotes it, keys and all.
	s.app.Server().SecureErrorLogMessage = true
	s.app.Server().CloseOnShutdown = true
	s.app.Server().Logger = discardLogger{}
	s.app.Server().HeaderReceived = func(header *fasthttp.RequestHeader) fasthttp.RequestConfig {
		if n := header.ContentLength(); n != chunked && n <= 0 {
			return fasthttp.RequestConfig{} // there is no body to wait for
		}
		return fasthttp.RequestConfig{ReadTimeout: bodyTimeout}
	}

	s.app.Server().Handler = knownMethods(s.app.Server().Handler)

	s.app.Use(s.observe, s.recover, framed, s.admit, s.cors())
	for _, r := range routes {
		s.app.Add(r.method, r.path, s.serve(r))
		if r.method == fiber.MethodGet {
			s.app.Add(fiber.MethodHead, r.path, s.serve(r))
		}
	}
	return s
}

// knownMethods has such a request come through the middlewares as any other
// does; Fiber would answer it in plain text before them.
func knownMethods(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(c *fasthttp.RequestCtx) {
		if telemetry.KnownMethod(string(c.Method())) == telemetry.OtherMethod {
			c.Request.Header.SetMethod(telemetry.OtherMethod)
		}
		next(c)
	}
}

// chunked is what fasthttp has for the length of a body that says where it ends itself.
const chunked = -1

// discardLogger: fasthttp's own lines can quote a request.
type discardLogger struct{}

var _ fasthttp.Logger = discardLogger{}

func (discardLogger) Printf(string, ...any) {}

// Serve answers on the listener until Shutdown.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.listener = l
	stopped := s.stopped
	s.mu.Unlock()
	if stopped {
		return l.Close()
	}
	return s.app.Listener(l)
}

// Shutdown takes no new connections, lets what runs end, and returns when it
// has, or after the grace. What comes on a connection that is still there is
// told to go elsewhere.
func (s *Server) Shutdown(grace time.Duration) error {
	s.leaving.Store(true)
	s.closing.Store(true)
	s.mu.Lock()
	s.stopped = true
	l := s.listener
	s.mu.Unlock()
	s.connections.end(time.Now().Add(lastRequests))
	err := s.app.ShutdownWithTimeout(grace)
	if l != nil {
		_ = l.Close() // Serve may have been about to begin
	}
	return err
}

// recover turns a panic into a 500. The panic's value may quote anything and is
// not written anywhere.
func (s *Server) recover(c *fiber.Ctx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.gateway.log.ErrorContext(c.UserContext(), "panic in a request", "panic_type", fmt.Sprintf("%T", p), "request_id", exchangeOf(c).requestID, "stack", stack())
			err = newProblem(CodeInternal, "")
		}
	}()
	return c.Next()
}

// cors lets pages of the configured origins call the gateway; by default of
// none.
func (s *Server) cors() fiber.Handler {
	return cors.New(cors.Config{
		AllowOriginsFunc: func(origin string) bool {
			allowed := s.gateway.state.Load().config.File.Server.CORS.Origins
			return slices.ContainsFunc(allowed, func(a string) bool { return a == "*" || strings.EqualFold(a, origin) })
		},
		AllowMethods:  "GET,HEAD,POST,PUT,PATCH,DELETE",
		AllowHeaders:  "Authorization,X-API-Key,Content-Type,Cache-Control,Prefer,X-Request-Id,Idempotency-Key,If-Match,If-None-Match,traceparent",
		ExposeHeaders: "X-Request-Id,ETag,Location,Content-Location,Retry-After,X-Agentgw-Complete,RateLimit,RateLimit-Policy,Cache-Status,Age,Server-Timing,Preference-Applied,Idempotency-Replayed",
		MaxAge:        600,
		Next: func(*fiber.Ctx) bool {
			return len(s.gateway.state.Load().config.File.Server.CORS.Origins) == 0
		},
	})
}

// serve is a route's own part: who asks, may they, and the handler.
func (s *Server) serve(r route) fiber.Handler {
	return func(c *fiber.Ctx) error {
		x, state, routing := exchangeOf(c), s.gateway.state.Load(), s.gateway.routing.Load()
		x.route = r.name
		var caller *Caller
		if !r.open {
			var err error
			if caller, err = s.authenticate(c, x, state); err != nil {
				return err
			}
			x.keyID = caller.KeyID
			if err := limitRate(c, caller); err != nil {
				return err
			}
			if err := s.share(caller.KeyID); err != nil {
				return err
			}
			defer s.byKey.leave(caller.KeyID)
			if !caller.has(r.scope) {
				return newProblem(CodeScopeMissing, "the key lacks the scope %s", r.scope)
			}
			if x.has.any(hasAccept) && !acceptsJSON(c) {
				return newProblem(CodeNotAcceptable, "answers are application/json")
			}
		}
		wish, again := r.wish(c, x.has, caller)
		if again {
			if known, ok := s.gateway.answered(c.UserContext(), wish, x); ok {
				known.send(c, x.has, x.began)
				return nil
			}
		}
		req, err := readRequest(c, r, caller)
		if err != nil {
			return err
		}
		made, err := r.handle(s.gateway, req)
		if err != nil {
			return err
		}
		x.sources, x.cache, x.about = sourcesOf(made.parts), worst(made.parts), made.about
		ready := made.answer()
		if again && made.again {
			s.gateway.remembered.put(wish, made, ready, x, func() bool {
				return s.gateway.state.Load() == state && s.gateway.routing.Load() == routing
			})
		}
		ready.send(c, x.has, time.Now())
		return nil
	}
}

// acceptsJSON reports whether the caller takes what there is (RFC 9110, 12.5.1).
func acceptsJSON(c *fiber.Ctx) bool {
	switch string(c.Request().Header.Peek(fiber.HeaderAccept)) {
	case "", "*/*", fiber.MIMEApplicationJSON: // nearly always; the rest is read in full
		return true
	}
	return c.Accepts(fiber.MIMEApplicationJSON, "application/problem+json") != ""
}
