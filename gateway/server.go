package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/cors"
	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/gateway/telemetry"
)

// Server is the public listener.
type Server struct {
	gateway  *Gateway
	app      *fiber.App
	inFlight atomic.Int64
}

// Bounds of the public listener that are not configured.
const (
	maxHeaderBytes = 16 << 10
	maxURIBytes    = 8 << 10
	idleTimeout    = 75 * time.Second
	readTimeout    = 30 * time.Second // of a whole request
	writeTimeout   = 60 * time.Second // of a whole answer
)

// NewServer makes the public listener of a gateway. Its body limit is that of the
// configuration that the gateway has now; all else follows reloads.
//
// A request passes, from the outside in: observe (id, span, log, metric),
// recover, admit (how many at once), CORS, the route; there the key, its scope
// and its rate limit, and the handler.
func NewServer(g *Gateway) *Server {
	s := &Server{gateway: g}
	c := g.state.Load().config.File.Server
	s.app = fiber.New(fiber.Config{
		AppName:               "agentgw",
		DisableStartupMessage: true,
		Immutable:             true, // strings from a context outlive the handler
		ErrorHandler:          s.handleRefused,
		RequestMethods:        append(slices.Clone(fiber.DefaultMethods), otherMethod),
		BodyLimit:             int(c.BodyLimit),
		ReadBufferSize:        maxHeaderBytes,
		ReadTimeout:           readTimeout,
		WriteTimeout:          writeTimeout,
		IdleTimeout:           idleTimeout,
		StrictRouting:         true,
		CaseSensitive:         true,
	})
	// The default answer to a malformed request quotes it, keys and all.
	s.app.Server().SecureErrorLogMessage = true
	s.app.Server().CloseOnShutdown = true
	s.app.Server().Logger = discardLogger{}

	s.app.Server().Handler = knownMethods(s.app.Server().Handler)

	s.app.Use(s.observe, s.recover, s.admit, s.cors())
	for _, r := range routes {
		s.app.Add(r.method, r.path, s.serve(r))
		if r.method == fiber.MethodGet {
			s.app.Add(fiber.MethodHead, r.path, s.serve(r))
		}
	}
	return s
}

// otherMethod stands for every method that HTTP does not define.
const otherMethod = "_OTHER"

// knownMethods has such a request come through the middlewares as any other
// does; Fiber would answer it in plain text before them.
func knownMethods(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(c *fasthttp.RequestCtx) {
		if !slices.Contains(fiber.DefaultMethods, string(c.Method())) {
			c.Request.Header.SetMethod(otherMethod)
		}
		next(c)
	}
}

// discardLogger: fasthttp's own lines can quote a request.
type discardLogger struct{}

var _ fasthttp.Logger = discardLogger{}

func (discardLogger) Printf(string, ...any) {}

// Serve answers on the listener until Shutdown.
func (s *Server) Serve(l net.Listener) error { return s.app.Listener(l) }

// Shutdown takes no new connections, lets what runs end, and returns when it
// has, or after the grace.
func (s *Server) Shutdown(grace time.Duration) error { return s.app.ShutdownWithTimeout(grace) }

// exchange is what is noted of one request and its answer.
type exchange struct {
	requestID string
	traceID   string
	route     string
	keyID     string
	parts     []part
}

const exchangeLocal = "agentgw.exchange"

func exchangeOf(c *fiber.Ctx) *exchange {
	if x, ok := c.Locals(exchangeLocal).(*exchange); ok {
		return x
	}
	// What HTTP itself refused never came through observe.
	return newExchange(c)
}

var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// newExchange keeps the caller's request id if it has the form of one.
func newExchange(c *fiber.Ctx) *exchange {
	x := &exchange{requestID: c.Get("X-Request-Id")}
	if !requestID.MatchString(x.requestID) {
		x.requestID = ulid.Make().String()
	}
	return x
}

// observe gives the request its id, span, deadline, access line and metric,
// and turns every error into a problem.
func (s *Server) observe(c *fiber.Ctx) error {
	started := time.Now()
	x := newExchange(c)
	c.Locals(exchangeLocal, x)

	g := s.gateway
	ctx := telemetry.Extract(context.Background(), c.Get("traceparent"), c.Get("tracestate"))
	ctx, span := g.telemetry.Tracer.Start(ctx, c.Method(), trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	if id := span.SpanContext().TraceID(); id.IsValid() {
		x.traceID = id.String()
	}
	ctx, cancel := context.WithTimeout(ctx, g.state.Load().config.File.Server.RequestTimeout.D())
	defer cancel()
	c.SetUserContext(ctx)

	if err := c.Next(); err != nil {
		if err := s.handleError(c, err); err != nil {
			return err
		}
	}
	c.Set("X-Request-Id", x.requestID)

	status, took := c.Response().StatusCode(), time.Since(started)
	if x.route != "" {
		span.SetName(c.Method() + " " + x.route)
	}
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("http.request.method", c.Method()),
			attribute.String("http.route", x.route),
			attribute.Int("http.response.status_code", status),
			attribute.String("agentgw.key.id", x.keyID),
		)
		if status >= 500 {
			span.SetStatus(codes.Error, "")
		}
	}
	s.note(ctx, c.Method(), status, took, x)
	return nil
}

// note measures an answered request and writes its access line.
func (s *Server) note(ctx context.Context, method string, status int, took time.Duration, x *exchange) {
	s.gateway.telemetry.ServerRequest(ctx, method, x.route, status, took)
	s.gateway.log.LogAttrs(ctx, slog.LevelInfo, "request",
		slog.String("method", method), slog.String("route", x.route), slog.Int("status", status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.String("request_id", x.requestID), slog.String("trace_id", x.traceID), slog.String("key_id", x.keyID),
		slog.String("sources", describeParts(x.parts)),
	)
}

// describeParts is "klen=hit talkifai=error".
func describeParts(parts []part) string {
	words := make([]string, 0, len(parts))
	for _, p := range parts {
		word := string(p.cache)
		if word == "" {
			word = SourceError
		}
		words = append(words, p.backend.Name+"="+word)
	}
	return strings.Join(words, " ")
}

// recover turns a panic into a 500. The panic's value may quote anything and is
// not written anywhere.
func (s *Server) recover(c *fiber.Ctx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.gateway.log.Error("panic in a request", "panic_type", fmt.Sprintf("%T", p), "request_id", exchangeOf(c).requestID, "stack", functionsOnly(string(debug.Stack())))
			err = newProblem(CodeInternal, "")
		}
	}()
	return c.Next()
}

// admit refuses what is above max_inflight at once, rather than late.
func (s *Server) admit(c *fiber.Ctx) error {
	defer s.inFlight.Add(-1)
	if s.inFlight.Add(1) > int64(s.gateway.state.Load().config.File.Server.MaxInflight) {
		p := newProblem(CodeOverloaded, "server.max_inflight requests are running")
		p.RetryAfter = time.Second
		return p
	}
	if len(c.Context().RequestURI()) > maxURIBytes {
		return newProblem(CodeURITooLong, "the request's target is over %d bytes", maxURIBytes)
	}
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
		AllowMethods:  "GET,HEAD,POST,PATCH,DELETE",
		AllowHeaders:  "Authorization,X-API-Key,Content-Type,Cache-Control,Prefer,X-Request-Id,Idempotency-Key,If-Match,If-None-Match,traceparent",
		ExposeHeaders: "X-Request-Id,ETag,Location,Retry-After,X-Agentgw-Complete,RateLimit,RateLimit-Policy,Cache-Status,Age,Server-Timing,Preference-Applied",
		MaxAge:        600,
		Next: func(*fiber.Ctx) bool {
			return len(s.gateway.state.Load().config.File.Server.CORS.Origins) == 0
		},
	})
}

// serve is a route's own part: who asks, may they, and the handler.
func (s *Server) serve(r route) fiber.Handler {
	return func(c *fiber.Ctx) error {
		x := exchangeOf(c)
		x.route = r.name
		var caller *Caller
		if !r.open {
			var err error
			if caller, err = s.authenticate(c); err != nil {
				return err
			}
			x.keyID = caller.KeyID
			if err := limitRate(c, caller); err != nil {
				return err
			}
			if !caller.has(r.scope) {
				return newProblem(CodeScopeMissing, "the key lacks the scope %s", r.scope)
			}
			if c.Accepts(fiber.MIMEApplicationJSON, "application/problem+json") == "" {
				return newProblem(CodeNotAcceptable, "answers are application/json")
			}
		}
		req, err := readRequest(c, r, caller)
		if err != nil {
			return err
		}
		answer, err := r.handle(s.gateway, req)
		if err != nil {
			return err
		}
		x.parts = answer.parts
		return respond(c, answer)
	}
}

// authenticate finds the caller. All that can be wrong with a key is one
// answer; only the metric tells which it was.
func (s *Server) authenticate(c *fiber.Ctx) (*Caller, error) {
	key, ambiguous := presentedKey(headerLines(c, fiber.HeaderAuthorization), headerLines(c, "X-API-Key"))
	if ambiguous {
		return nil, newProblem(CodeInvalidParameter, "the Authorization and X-API-Key headers hold different keys; send one")
	}
	caller, reason := s.gateway.state.Load().keys.find(key, time.Now())
	if caller == nil {
		s.gateway.telemetry.AuthFailure(reason)
		return nil, newProblem(CodeUnauthenticated, "send a valid key as Authorization: Bearer … or X-API-Key: …")
	}
	return caller, nil
}

// limitRate counts the request against the key's limit, and says in every
// answer what is left (draft-ietf-httpapi-ratelimit-headers).
func limitRate(c *fiber.Ctx, caller *Caller) error {
	if caller.limit == nil {
		return nil
	}
	now := time.Now()
	wait := caller.limit.take(now)
	rate := caller.limit.config
	remaining, reset := caller.limit.remaining(now)
	c.Set("RateLimit-Policy", fmt.Sprintf(`"key";q=%d;w=%d`, rate.Requests, max(1, int(rate.Per.D().Seconds()))))
	c.Set("RateLimit", fmt.Sprintf(`"key";r=%d;t=%d`, remaining, reset))
	if wait > 0 {
		p := newProblem(CodeRateLimited, "the key may ask %d times in %s", rate.Requests, rate.Per)
		p.RetryAfter = wait
		return p
	}
	return nil
}

// handleRefused answers what HTTP itself refused: it never came through
// observe, and is noted here.
func (s *Server) handleRefused(c *fiber.Ctx, err error) error {
	x := newExchange(c)
	c.Locals(exchangeLocal, x)
	if err := s.handleError(c, err); err != nil {
		return err
	}
	lingerOn(c.Context().Conn()) // the peer may still be sending what is refused
	s.note(context.Background(), c.Method(), c.Response().StatusCode(), 0, x)
	return nil
}

// handleError writes any error as a problem. An OPTIONS that no route has is
// answered by what the routes of that path do have.
func (s *Server) handleError(c *fiber.Ctx, err error) error {
	p := s.problem(c, err)
	x := exchangeOf(c)
	c.Set("X-Request-Id", x.requestID)
	if p.Code == CodeMethodNotAllowed {
		p.Allow = allowed(c.Path())
		if c.Method() == fiber.MethodOptions {
			c.Set(fiber.HeaderAllow, p.Allow)
			return c.SendStatus(fiber.StatusNoContent)
		}
	}
	if p.Code == CodeInternal {
		s.gateway.log.Error("internal error", "request_id", x.requestID, "error_type", fmt.Sprintf("%T", err))
	}
	answer := *p // a problem may be shared by callers who wait for the same
	answer.RequestID, answer.TraceID = x.requestID, x.traceID
	return respondProblem(c, &answer)
}

// problem is what an error of a handler, of Fiber or of HTTP itself is to a
// caller.
func (s *Server) problem(c *fiber.Ctx, err error) *Problem {
	fiberError, ok := errors.AsType[*fiber.Error](err)
	if !ok {
		return problemOf(err)
	}
	switch fiberError.Code {
	case fiber.StatusNotFound:
		return newProblem(CodeNotFound, "there is no such route; agents are at /v1/agents")
	case fiber.StatusMethodNotAllowed:
		return newProblem(CodeMethodNotAllowed, "the route has no %s", c.Method())
	case fiber.StatusRequestTimeout:
		return newProblem(CodeRequestTimeout, "the request did not arrive within %s", readTimeout)
	case fiber.StatusRequestEntityTooLarge:
		return newProblem(CodeBodyTooLarge, "the body is over server.body_limit (%d bytes)", s.gateway.state.Load().config.File.Server.BodyLimit)
	case fiber.StatusRequestHeaderFieldsTooLarge:
		return newProblem(CodeHeadersTooLarge, "the headers are over %d bytes", maxHeaderBytes)
	case fiber.StatusBadRequest, fiber.StatusBadGateway: // HTTP that cannot be read
		return newProblem(CodeInvalidParameter, "the request is not valid HTTP/1.1")
	}
	return newProblem(CodeInternal, "")
}

// allowed are the methods that a path has.
func allowed(path string) string {
	methods := []string{}
	for _, r := range routes {
		if fiber.RoutePatternMatch(path, r.path) {
			methods = append(methods, r.method)
			if r.method == fiber.MethodGet {
				methods = append(methods, fiber.MethodHead)
			}
		}
	}
	return strings.Join(append(methods, fiber.MethodOptions), ", ")
}
