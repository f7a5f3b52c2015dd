package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/cors"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/listener"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// Values of the reason label of agentgw_refused_total.
const (
	RefusedInFlight = "max_inflight"
	RefusedShare    = "fair_share"
)

// recoverPanic turns a panic into a 500. It logs the panic's type and stack only: the
// value may quote a request.
func (s *Server) recoverPanic(c *fiber.Ctx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.ErrorContext(c.UserContext(), "panic in a request", "panic_type", fmt.Sprintf("%T", p), "request_id", requestStateOf(c).requestID, "stack", telemetry.Stack())
			err = problem.New(problem.CodeInternal, "")
		}
	}()
	return c.Next()
}

// admit refuses requests above server.max_inflight and requests that arrive while the
// server stops.
func (s *Server) admit(c *fiber.Ctx) error {
	defer s.InFlight.Add(-1)
	// An eighth more than acquireSlot admits, so that a key is known, and counts as there, even
	// while another one holds all slots.
	if limit := int64(requestStateOf(c).settings.MaxInflight); s.InFlight.Add(1) > limit+limit/8+1 {
		s.Telemetry.CountRefusal(RefusedInFlight)
		return problem.Overloaded("the gateway has reached server.max_inflight concurrent requests")
	}
	if s.closing.Load() {
		p := problem.New(problem.CodeDraining, "this instance is shutting down; send the request again on a new connection")
		p.RetryAfter = time.Second
		return p
	}
	if len(c.Context().RequestURI()) > maxURIBytes {
		return problem.New(problem.CodeURITooLong, "the request target is longer than %d bytes", maxURIBytes)
	}
	return c.Next()
}

const exposedHeaders = "X-Request-Id,ETag,Location,Content-Location,Retry-After,X-Agentgw-Complete,RateLimit,RateLimit-Policy,Cache-Status,Age,Server-Timing,Preference-Applied,Idempotency-Replayed"

// cors allows pages of the origins in server.cors.origins to call the gateway.
func (s *Server) cors() fiber.Handler {
	return cors.New(cors.Config{
		AllowOriginsFunc: s.isAllowedOrigin,
		AllowMethods:     "GET,HEAD,POST,PUT,PATCH,DELETE",
		AllowHeaders:     "Authorization,X-API-Key,Content-Type,Cache-Control,Prefer,X-Request-Id,Idempotency-Key,If-Match,If-None-Match,traceparent",
		ExposeHeaders:    exposedHeaders,
		MaxAge:           600,
		Next:             func(*fiber.Ctx) bool { return len(s.Current().CORS.Origins) == 0 },
	})
}

func (s *Server) isAllowedOrigin(origin string) bool {
	return slices.ContainsFunc(s.Current().CORS.Origins, func(allowed string) bool { return allowed == "*" || strings.EqualFold(allowed, origin) })
}

// allowOrigin lets a page read the response to a request that was refused before cors.
func (s *Server) allowOrigin(c *fiber.Ctx, r *requestState) {
	if len(r.settings.CORS.Origins) == 0 || c.GetRespHeader(fiber.HeaderAccessControlAllowOrigin) != "" {
		return
	}
	c.Vary(fiber.HeaderOrigin)
	if origin := r.headers.first(headerOrigin); origin != "" && s.isAllowedOrigin(origin) {
		c.Set(fiber.HeaderAccessControlAllowOrigin, origin)
		c.Set(fiber.HeaderAccessControlExposeHeaders, exposedHeaders)
	}
}

// allowUnknownOrigin is allowOrigin for a request whose header could not be read. The response
// says nothing about a caller.
func (s *Server) allowUnknownOrigin(c *fiber.Ctx, r *requestState) {
	origins := r.settings.CORS.Origins
	if len(origins) == 0 {
		return
	}
	allowed := "*"
	if len(origins) == 1 {
		allowed = origins[0]
	}
	c.Vary(fiber.HeaderOrigin)
	c.Set(fiber.HeaderAccessControlAllowOrigin, allowed)
	c.Set(fiber.HeaderAccessControlExposeHeaders, exposedHeaders)
}

// authenticate finds the caller of the request's key. The response is the same whatever is
// wrong with the key; only the metric shows the reason.
func (s *Server) authenticate(r *requestState) (*auth.Caller, error) {
	key, err := presentedKey(r.headers)
	if err != nil {
		return nil, err
	}
	caller, refused := r.settings.Keys.Find([]byte(key), r.began)
	if refused != "" {
		s.Telemetry.CountAuthFailure(refused)
		r.refused = refused
		return nil, errUnauthenticated
	}
	r.keyID = caller.KeyID
	return caller, nil
}

var errUnauthenticated = problem.New(problem.CodeUnauthenticated, "send a valid key as Authorization: Bearer … or X-API-Key: …")

var errDifferentKeys = problem.InvalidHeader("Authorization", "several different keys in the headers Authorization and X-API-Key; send one")

// presentedKey returns the key in the request's headers, or the empty string. Each
// header may occur several times; two different keys are an error.
func presentedKey(h *requestHeaders) (found string, err error) {
	keys := slices.Clone(h[headerAPIKey])
	for _, line := range h[headerAuthorization] {
		if scheme, bearer, _ := strings.Cut(line, " "); strings.EqualFold(scheme, "Bearer") {
			keys = append(keys, strings.TrimSpace(bearer))
		}
	}
	for _, key := range keys {
		if key == "" {
			continue
		}
		if found != "" && found != key {
			return "", errDifferentKeys
		}
		found = key
	}
	return found, nil
}

// limitRate counts the request against the key's rate limit.
func limitRate(r *requestState, caller *auth.Caller) error {
	if r.limit = caller.Limit; r.limit == nil {
		return nil
	}
	// Not the time when the request began: the limiter's clock must not go back.
	if wait := r.limit.Take(time.Now()); wait > 0 {
		limit := caller.Limit.Config
		p := problem.New(problem.CodeRateLimited, "rate limit exceeded: this key may send %d requests per %s", limit.Requests, limit.Per)
		p.RetryAfter = wait
		return p
	}
	return nil
}

// acquireSlot takes one of the server.max_inflight slots for the caller's key; the
// caller must release it. It refuses a key that already uses its fair share.
func (s *Server) acquireSlot(r *requestState, caller *auth.Caller) error {
	if !s.Slots.Acquire(caller.Slots, r.settings.MaxInflight) {
		s.Telemetry.CountRefusal(RefusedShare)
		return problem.Overloaded("this key has reached its share of server.max_inflight")
	}
	return nil
}

// handleServerError is Fiber's error handler. It answers requests that fasthttp refused
// before any middleware saw them: malformed, too large or too slow ones.
func (s *Server) handleServerError(c *fiber.Ctx, err error) error {
	r := s.newRequestState(c)
	if r.headers.first(headerOrigin) == "" {
		s.allowUnknownOrigin(c, r)
	}
	if c.Context().ConnRequestNum() <= 1 { // when a later request began is not known
		r.began = c.Context().ConnTime()
	}
	_, r.entry = s.Telemetry.Journal.Start(c.UserContext(), r.requestID, r.began)
	s.writeProblem(c, r, err)
	listener.LingerOn(c.Context().Conn()) // the peer may still be sending what is refused
	s.finish(c, r, trace.SpanFromContext(c.UserContext()))
	return nil
}

// writeProblem answers a request with an error. OPTIONS, which no route has, is answered with
// the methods that the path has.
func (s *Server) writeProblem(c *fiber.Ctx, r *requestState, err error) {
	s.allowOrigin(c, r)
	p := s.problem(c, err)
	if p.Code == problem.CodeMethodNotAllowed && c.Method() == fiber.MethodOptions {
		c.Set(fiber.HeaderAllow, p.Allow)
		c.Status(fiber.StatusNoContent)
		return
	}
	if p.Code == problem.CodeInternal {
		s.Log.ErrorContext(c.UserContext(), "internal error", "request_id", r.requestID, "error_type", fmt.Sprintf("%T", err))
	}
	r.code = p.Code
	if r.sources == nil {
		r.sources = sourcesOfProblem(p)
	}
	own := *p // requests that share an upstream call share its problem
	own.RequestID = r.requestID
	if r.trace.HasTraceID() {
		own.TraceID = r.trace.TraceID().String()
	}
	problemResponse(&own).write(c, r)
}

// problem returns the problem that describes an error of a handler, of Fiber or of fasthttp.
func (s *Server) problem(c *fiber.Ctx, err error) *problem.Problem {
	fiberError, ok := errors.AsType[*fiber.Error](err)
	if !ok {
		return problem.Of(err)
	}
	switch fiberError.Code {
	case fiber.StatusNotFound:
		return problem.New(problem.CodeNotFound, "no such route; agents are at /v1/agents, and /docs describes the API")
	case fiber.StatusMethodNotAllowed:
		p := problem.New(problem.CodeMethodNotAllowed, "this route does not support %s", c.Method())
		p.Allow = allowedMethods(c.Path())
		p.Detail += ", but " + p.Allow
		if c.Method() == fiber.MethodPut && strings.Contains(p.Allow, fiber.MethodPatch) {
			p.Detail += "; use PATCH to change some fields"
		}
		return p
	case fiber.StatusRequestTimeout:
		return problem.New(problem.CodeRequestTimeout, "the request did not arrive in time; its headers must arrive within %s, and its body within server.request_timeout", HeaderTimeout)
	case fiber.StatusRequestEntityTooLarge:
		return problem.New(problem.CodeBodyTooLarge, "the body is larger than server.body_limit (%d bytes)", s.bodyLimit)
	case fiber.StatusRequestHeaderFieldsTooLarge:
		return problem.New(problem.CodeHeadersTooLarge, "the headers are larger than %d bytes", maxHeaderBytes)
	case fiber.StatusBadRequest, fiber.StatusBadGateway: // fasthttp could not parse it
		return problem.New(problem.CodeInvalidParameter, "the request is not valid HTTP/1.1")
	}
	return problem.New(problem.CodeInternal, "")
}

// allowedMethods returns the methods that a path has, as the Allow header lists them.
func allowedMethods(path string) string {
	methods := []string{}
	if path == livePath || path == readyPath {
		methods = append(methods, fiber.MethodGet, fiber.MethodHead)
	}
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
