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
		x.failed = s.problem(c, err)
		return nil
	}
	var began time.Time
	if front := frontOf(c.Conn()); front != nil {
		began = front.began
	}
	x := s.newExchange(c)
	s.refuse(x, s.problem(c, err))
	x.write(c)
	lingerOn(c.Conn()) // the peer may still be sending what is refused
	x.status, x.ended = c.Response.StatusCode(), time.Now()
	if !began.IsZero() {
		x.took = x.ended.Sub(began)
	}
	s.enter(x, x.ended.Add(-x.took))
	s.note(x)
	return nil
}

// refuse answers a request with any error, as a problem. An OPTIONS that no route has is
// answered by what the routes of that path do have.
func (s *Server) refuse(x *exchange, err error) {
	p := problemOf(err)
	x.answered, x.replay = true, nil
	if p.Code == CodeMethodNotAllowed && x.method == fiber.MethodOptions {
		x.answer = answer{status: fiber.StatusNoContent, headers: []field{{allowHeader, []byte(p.Allow)}}}
		return
	}
	if p.Code == CodeInternal {
		s.gateway.log.ErrorContext(x.context(), "internal error", "request_id", x.requestID, "error_type", fmt.Sprintf("%T", err))
	}
	x.code = p.Code
	if x.sources == nil {
		x.sources = sourcesOfProblem(p)
	}
	own := *p // a problem may be shared by callers who wait for the same
	own.RequestID = x.requestID
	if x.traced.HasTraceID() {
		own.TraceID = x.traced.TraceID().String()
	}
	x.answer = own.answer()
}

// problem is what an error of Fiber or of HTTP itself is to a caller; others are as they were.
func (s *Server) problem(c *fasthttp.RequestCtx, err error) error {
	fiberError, ok := errors.AsType[*fiber.Error](err)
	if !ok {
		return err
	}
	switch fiberError.Code {
	case fiber.StatusNotFound:
		return newProblem(CodeNotFound, "there is no such route; agents are at /v1/agents, and the API is described at /docs")
	case fiber.StatusMethodNotAllowed:
		p := newProblem(CodeMethodNotAllowed, "the route has no %s", c.Method())
		p.Allow = allowed(string(c.URI().PathOriginal())) // as Fiber has it
		return p
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
