package gateway

import (
	"fmt"

	"github.com/valyala/fasthttp"
)

// door is what a request passes before its route is found: what would take the process or
// the connection down is kept out.
func (s *Server) door(routed fasthttp.RequestHandler) func(*fasthttp.RequestCtx, *exchange) error {
	return func(c *fasthttp.RequestCtx, x *exchange) (err error) {
		defer s.recovered(x, &err)
		if err := framed(c); err != nil {
			return err
		}
		running := s.gateway.running.Add(1)
		defer s.gateway.running.Add(-1)
		if err := s.admit(x, running); err != nil {
			return err
		}
		if len(c.Request.Header.RequestURI()) > maxURIBytes {
			return newProblem(CodeURITooLong, "the request's target is over %d bytes", maxURIBytes)
		}
		routed(c)
		return x.failed
	}
}

// recovered turns a panic into a 500. The panic's value may quote anything and is
// not written anywhere.
func (s *Server) recovered(x *exchange, err *error) {
	if p := recover(); p != nil {
		s.gateway.log.ErrorContext(x.context(), "panic in a request", "panic_type", fmt.Sprintf("%T", p), "request_id", x.requestID, "stack", stack())
		*err = newProblem(CodeInternal, "")
	}
}
