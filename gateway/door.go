package gateway

import (
	"fmt"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// door is what every request passes before its route: what would take the process or the
// connection down is kept out. A head that came before needs no route any more.
func (s *Server) door(routed fasthttp.RequestHandler) func(*fasthttp.RequestCtx, *exchange) error {
	return func(c *fasthttp.RequestCtx, x *exchange) (err error) {
		defer s.recovered(x, &err)
		if x.known == nil {
			if err := framed(c); err != nil {
				return err
			}
		}
		running := s.gateway.running.Add(1)
		defer s.gateway.running.Add(-1)
		if err := s.admit(c, x, running); err != nil {
			return err
		}
		if x.known != nil {
			x.route = x.known.route.name
			if len(x.state.config.File.Server.CORS.Origins) > 0 {
				c.Response.Header.SetCanonical(varyHeader, varyOrigin) // as CORS says to who has none
			}
			return s.serve(c, x, x.known)
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

// understand reads who asks for what. What is wrong with the request of somebody whose key
// is accepted is in the result: it counts against the key's limits first.
func (s *Server) understand(f *fiber.Ctx, x *exchange, r *route) (*understood, error) {
	c, id := f.Context(), strings.Clone(f.Params("id"))
	u := &understood{route: r, has: x.has}
	var caller *Caller
	if !r.open {
		var err error
		if u.holder, err = s.authenticate(c, x); err != nil {
			return nil, err
		}
		caller = u.holder.caller
		switch {
		case !caller.has(r.scope):
			u.err = newProblem(CodeScopeMissing, "the key lacks the scope %s", r.scope)
			return u, nil
		case x.has.any(hasAccept) && !acceptsJSON(f):
			u.err = newProblem(CodeNotAcceptable, "answers are application/json")
			return u, nil
		}
	}
	u.wish, u.again = r.wish(c, x.has, id, caller)
	u.request, u.err = readRequest(c, r, id, caller)
	return u, nil
}

// serve answers what a request asks: as it was answered before, if that is still right, or
// by the route's handler.
func (s *Server) serve(c *fasthttp.RequestCtx, x *exchange, u *understood) error {
	if u.holder != nil {
		caller := u.holder.caller
		x.keyID = caller.KeyID
		if err := limitRate(c, caller); err != nil {
			return err
		}
		place, err := s.share(x.state, caller.KeyID)
		if err != nil {
			return err
		}
		defer s.byKey.leave(place)
	}
	if u.err != nil {
		return u.err
	}
	if u.again {
		clears := s.gateway.remembered.clears.Load()
		if known, ready, ok := s.gateway.remembered.again(u.wish, x.began); ok {
			s.gateway.tell(known, x)
			ready.send(c, x.has, x.began)
			if x.head != (headHash{}) {
				x.status = c.Response.StatusCode()
				u.replay.Store(newReplay(c, known, ready.body, clears, s.gateway.telemetry.Served(x.measured())))
			}
			return nil
		}
	}
	routing := s.gateway.routing.Load()
	req := u.request
	req.ctx, req.requestID = x.context(), x.requestID
	made, err := u.route.handle(s.gateway, &req)
	if err != nil {
		return err
	}
	x.sources, x.cache, x.about = sourcesOf(made.parts), worst(made.parts), made.about
	ready := made.answer()
	if u.again && made.again {
		s.gateway.remembered.put(u.wish, made, ready, x, func() bool {
			return s.gateway.state.Load() == x.state && s.gateway.routing.Load() == routing
		})
	}
	ready.send(c, x.has, time.Now())
	return nil
}

// acceptsJSON reports whether the caller takes what there is (RFC 9110, 12.5.1).
func acceptsJSON(f *fiber.Ctx) bool {
	return f.Accepts(fiber.MIMEApplicationJSON, "application/problem+json") != ""
}
