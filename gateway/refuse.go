package gateway

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// handleFailed is Fiber's error handler. What a route returned is left to observe; what HTTP
// itself refused never came through it, and is answered and noted here.
func (s *Server) handleFailed(f *fiber.Ctx, err error) error {
	c := f.Context()
	if x, ok := exchangeOf(c); ok {
		x.failed = err
		return nil
	}
	x := s.newExchange(c)
	s.handleError(c, x, err)
	lingerOn(c.Conn()) // the peer may still be sending what is refused
	x.status, x.ended = c.Response.StatusCode(), time.Now()
	if c.ConnRequestNum() <= 1 { // of later ones, when they began is not known
		x.took = x.ended.Sub(c.ConnTime())
	}
	x.entry = s.gateway.journal.Begin(&x.noted, x.requestID, x.ended.Add(-x.took))
	s.note(x)
	return nil
}

// handleError writes any error as a problem. An OPTIONS that no route has is
// answered by what the routes of that path do have.
func (s *Server) handleError(c *fasthttp.RequestCtx, x *exchange, err error) {
	p := s.problem(c, err)
	c.Response.Header.SetCanonical(requestIDHeader, []byte(x.requestID))
	if p.Code == CodeMethodNotAllowed {
		p.Allow = allowed(string(c.URI().PathOriginal())) // as Fiber has it
		if string(c.Method()) == fiber.MethodOptions {
			c.Response.Header.Set(fiber.HeaderAllow, p.Allow)
			c.SetStatusCode(fiber.StatusNoContent)
			return
		}
	}
	if p.Code == CodeInternal {
		s.gateway.log.ErrorContext(x.context(), "internal error", "request_id", x.requestID, "error_type", fmt.Sprintf("%T", err))
	}
	x.code = p.Code
	if x.sources == nil {
		x.sources = sourcesOfProblem(p)
	}
	answer := *p // a problem may be shared by callers who wait for the same
	answer.RequestID = x.requestID
	if x.traced.HasTraceID() {
		answer.TraceID = x.traced.TraceID().String()
	}
	respondProblem(c, x.has, &answer)
}

// problem is what an error of a handler, of Fiber or of HTTP itself is to a
// caller.
func (s *Server) problem(c *fasthttp.RequestCtx, err error) *Problem {
	fiberError, ok := errors.AsType[*fiber.Error](err)
	if !ok {
		return problemOf(err)
	}
	switch fiberError.Code {
	case fiber.StatusNotFound:
		return newProblem(CodeNotFound, "there is no such route; agents are at /v1/agents, and the API is described at /docs")
	case fiber.StatusMethodNotAllowed:
		return newProblem(CodeMethodNotAllowed, "the route has no %s", c.Method())
	case fiber.StatusRequestTimeout:
		return newProblem(CodeRequestTimeout, "the request did not arrive in time: its headers have %s, its body %s", headerTimeout, bodyTimeout)
	case fiber.StatusRequestEntityTooLarge:
		return newProblem(CodeBodyTooLarge, "the body is over server.body_limit (%d bytes)", s.bodyLimit)
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
