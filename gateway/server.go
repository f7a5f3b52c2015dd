package gateway

import (
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
	date        date
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
// A request passes, from the outside in: its connection's front, which knows heads that came
// before; observe (id, span, log, metric) and the door (recover, framed, admit); CORS and the
// route, where understand reads who asks for what; and serve, which heeds the key's limits, and
// calls the route's handler. One whose head came before goes from the front to serve.
func NewServer(g *Gateway) *Server {
	c := g.state.Load().config.File.Server
	s := &Server{gateway: g, connections: &connections{
		limits:    func() config.Server { return g.state.Load().config.File.Server },
		telemetry: g.telemetry, open: map[*guardedConn]bool{}, byOrigin: map[netip.Addr]int{},
	}}
	s.bodyLimit = int64(c.BodyLimit)
	// Strings of a context are the connection's buffers: whatever outlives its route is a
	// copy. Immutable would copy each of them, always.
	s.app = fiber.New(fiber.Config{
		AppName:               "agentgw",
		DisableStartupMessage: true,
		ErrorHandler:          s.handleFailed,
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

	s.app.Use(s.cors())
	for i := range routes {
		r := &routes[i]
		s.app.Add(r.method, r.path, s.routed(r))
		if r.method == fiber.MethodGet {
			s.app.Add(fiber.MethodHead, r.path, s.routed(r))
		}
	}
	s.app.Server().Handler = s.observe(s.door(s.app.Handler()))
	return s
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
	return s.app.Listener(frontListener{l, s})
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
			return !s.gateway.state.Load().cors()
		},
	})
}

// routed is a route in Fiber: it reads the request, and serves it.
func (s *Server) routed(r *route) fiber.Handler {
	return func(f *fiber.Ctx) error {
		x, ok := exchangeOf(f.Context())
		if !ok {
			return newProblem(CodeInternal, "") // every request comes through observe
		}
		x.route = r.name
		u, err := s.understand(f, x, r)
		if err != nil {
			return err
		}
		x.state.heads.keep(x.head, u, &f.Context().Request.Header, x.has)
		return s.serve(x, u)
	}
}
