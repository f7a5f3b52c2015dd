package gateway

import (
	"strings"

	"github.com/gofiber/fiber/v2"
)

// understand reads who asks for what. What is wrong with the request of somebody whose key
// is accepted is in the result: it counts against the key's limits first.
func (s *Server) understand(f *fiber.Ctx, x *exchange, r *route) (*understood, error) {
	c, id := f.Context(), strings.Clone(f.Params("id"))
	u := &understood{route: r, form: x.form}
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

// acceptsJSON reports whether the caller takes what there is (RFC 9110, 12.5.1).
func acceptsJSON(f *fiber.Ctx) bool {
	return f.Accepts(fiber.MIMEApplicationJSON, "application/problem+json") != ""
}

// serve answers what a request asks, within its key's limits: as it was answered before, if
// that is still right, or by the route's handler.
func (s *Server) serve(x *exchange, u *understood) error {
	if u.holder != nil {
		caller := u.holder.caller
		x.keyID = caller.KeyID
		if err := limitRate(x, caller); err != nil {
			return err
		}
		if err := s.share(x.state, caller); err != nil {
			return err
		}
		defer s.gateway.byKey.leave(caller.place)
	}
	if u.err != nil {
		return u.err
	}
	if u.again && s.again(x, u) {
		return nil
	}
	routing := s.gateway.routing.Load()
	x.request = u.request
	x.request.ctx, x.request.requestID = x.context(), x.requestID
	if u.kept {
		x.request.led = &u.led
	}
	made, err := u.route.handle(s.gateway, &x.request)
	if err != nil {
		return err
	}
	x.sources, x.cache, x.about = sourcesOf(made.parts), worst(made.parts), made.about
	x.answer, x.answered = made.answer(), true
	if u.again && made.again {
		s.gateway.remembered.put(u.wish, made, x.answer, x, func() bool {
			return s.gateway.state.Load() == x.state && s.gateway.routing.Load() == routing
		})
	}
	return nil
}
