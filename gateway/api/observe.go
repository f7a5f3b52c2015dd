package api

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"regexp"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/oklog/ulid/v2"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/listener"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// requestState is what the middlewares and the handler of a request share. Only the goroutine
// of the request uses it.
type requestState struct {
	settings  *Settings // current when the request began
	began     time.Time
	requestID string
	headers   *requestHeaders
	trace     trace.SpanContext
	entry     *journal.Entry

	route   string // in OpenAPI's syntax; empty for none
	keyID   string
	refused string       // why the key was refused; empty if it was not
	client  string       // address of the connection's other end
	write   *write       // nil unless the request is a write
	code    problem.Code // of the problem in the response; empty for none
	sources []journal.Source
	limit   *auth.RateLimit // of the key; nil for none
	cache   backend.CacheStatus
	about   agents.Ref

	bodyBytes  int64 // taken from Server.Bodies
	bodyRead   bool  // all of it
	bodyBroken bool  // it could not be read, and its rest will not be
}

const requestStateLocal = "agentgw.request"

func requestStateOf(c *fiber.Ctx) *requestState { return c.Locals(requestStateLocal).(*requestState) }

var validRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// newRequestState makes the state of a request. It uses the caller's request id if it is valid.
func (s *Server) newRequestState(c *fiber.Ctx) *requestState {
	r := &requestState{settings: s.Current(), began: time.Now(), headers: parseHeaders(&c.Request().Header)}
	if address, ok := c.Context().RemoteAddr().(*net.TCPAddr); ok {
		r.client = address.IP.String()
	}
	if r.requestID = r.headers.first(headerRequestID); !validRequestID.MatchString(r.requestID) {
		r.requestID = newRequestID(r.began)
	}
	c.Locals(requestStateLocal, r)
	return r
}

// newRequestID returns a ULID, so that request ids sort by time.
func newRequestID(now time.Time) string {
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(now)) // fails after the year 10889
	binary.BigEndian.PutUint16(id[6:], uint16(rand.Uint32()))
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	return id.String()
}

// observe gives a request its id, span and deadline, responds to errors with a problem, and
// reports the request at its end.
func (s *Server) observe(c *fiber.Ctx) error {
	r := s.newRequestState(c)
	ctx, span := s.Telemetry.StartRequest(context.Background(), r.headers.first(headerTraceparent), r.headers.first(headerTracestate))
	r.trace = span.SpanContext()
	ctx, r.entry = s.Telemetry.Journal.Start(ctx, r.requestID, r.began)
	ctx, cancel := context.WithDeadline(ctx, deadlineOf(c, r))
	defer cancel()
	c.SetUserContext(ctx)

	if err := c.Next(); err != nil {
		s.writeProblem(c, r, err)
	}
	s.releaseBody(c, r)
	if s.leaving.Load() {
		c.Context().SetConnectionClose()
	}
	s.finish(c, r, span)
	return nil
}

// deadlineOf returns when the request must have ended, the arrival of its body included. The
// body must have arrived by then: its deadline was set when the headers had been read.
func deadlineOf(c *fiber.Ctx, r *requestState) time.Time {
	deadline := r.began.Add(r.settings.RequestTimeout.D())
	if c.Context().RequestBodyStream() == nil {
		return deadline
	}
	if of := listener.ReadDeadlineOf(c.Context().Conn()); !of.IsZero() && of.Before(deadline) {
		return of
	}
	return deadline
}

// finish sets the headers that every response has, and reports the request to its span,
// the metrics, the recent requests and the log.
func (s *Server) finish(c *fiber.Ctx, r *requestState, span trace.Span) {
	now := time.Now()
	header := &c.Response().Header
	header.Set("X-Request-Id", r.requestID)
	if r.limit != nil {
		header.Set("RateLimit-Policy", r.limit.Policy)
		header.Set("RateLimit", r.limit.Header(now))
	}
	status := c.Response().StatusCode()
	s.Telemetry.EndRequest(c.UserContext(), span, r.entry, telemetry.RequestEvent{
		Method: c.Method(), Scheme: scheme(c), Route: r.route, Status: status, Code: string(r.code),
		RequestID: r.requestID, KeyID: r.keyID, AgentID: r.about.ID, AgentName: r.about.Name,
		Client: r.client, AuthFailure: r.refused, Backend: r.backend(),
		Cache: string(r.cache), Sources: r.sources, IsClientError: isClientError(status, r.code),
		Began: r.began, Ended: now,
	})
	s.audit(c.UserContext(), r, status)
}

// scheme returns the scheme of the connection. Fiber's would trust a header of the request.
func scheme(c *fiber.Ctx) string {
	if c.Context().IsTLS() {
		return "https"
	}
	return "http"
}

// isClientError reports whether the request itself was invalid: a 4xx, or an operation that the
// backend does not support. A backend's exceeded rate limit is not the caller's error.
func isClientError(status int, code problem.Code) bool {
	return status >= 400 && status < 500 && code != problem.CodeUpstreamRateLimited || status == fiber.StatusNotImplemented
}

// sourcesOfProblem returns the sources of a problem: those of a list, or the one backend that
// it concerns.
func sourcesOfProblem(p *problem.Problem) []journal.Source {
	if len(p.Sources) == 0 && p.Backend != nil {
		status := problem.SourceError
		if isClientError(p.Status, p.Code) {
			status = problem.SourceOK
		}
		return []journal.Source{{Backend: *p.Backend, Status: status, Code: string(p.Code)}}
	}
	sources := make([]journal.Source, len(p.Sources))
	for i, s := range p.Sources {
		sources[i] = journal.Source{Backend: s.Backend, Status: s.Status}
		if s.Error != nil {
			sources[i].Code = string(s.Error.Code)
		}
	}
	return sources
}
