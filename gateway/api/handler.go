package api

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/negotiate"
	"github.com/agentgw/agentgw/gateway/problem"
)

// handle returns the Fiber handler of a route: it authenticates and limits the caller,
// answers from the response cache if it can, and calls the route's own handler if not.
func (s *Server) handle(route *route) fiber.Handler {
	return func(c *fiber.Ctx) error {
		r := requestStateOf(c)
		r.route = route.name
		var caller *auth.Caller
		if !route.open {
			var err error
			if caller, err = s.authenticate(r); err != nil {
				return err
			}
			r.write = newWrite(route, strings.Clone(c.Params("id")))
			if err := limitRate(r, caller); err != nil {
				return err
			}
			if err := s.acquireSlot(r, caller); err != nil {
				return err
			}
			defer s.Slots.Release(caller.Slots)
			if !caller.HasScope(route.scope) {
				return problem.New(problem.CodeScopeMissing, "the key lacks the scope %s", route.scope)
			}
			if !negotiate.AcceptsJSON(r.headers[headerAccept]) {
				return problem.New(problem.CodeNotAcceptable, "responses are application/json")
			}
		}
		return s.respond(c, r, route, caller)
	}
}

// respond sends the cached response if it is valid, else the one of the route's handler.
func (s *Server) respond(c *fiber.Ctx, r *requestState, route *route, caller *auth.Caller) error {
	id := strings.Clone(c.Params("id"))
	key, cacheable := responseKeyOf(c, r, route, caller, id, s.Aliases.Current().Generation)
	generation := s.Responses.Generation()
	if cacheable {
		if cached, ok := s.Responses.Get(key, s.IsFresh, r.began); ok {
			s.recordHit(c.UserContext(), cached, r)
			cached.response.write(c, r)
			return nil
		}
	}
	req, err := s.readRequest(c, r, route, id, caller)
	if err != nil {
		return err
	}
	r.write.asked(req)
	resp, err := route.handle(s, req)
	if err != nil {
		return err
	}
	r.write.done(resp)
	r.sources, r.cache, r.about = agents.RequestLogSources(resp.parts), agents.AggregateCacheStatus(resp.parts), resp.about
	if cacheable && resp.cacheable {
		s.Responses.Put(key, newCachedResponse(resp, r), generation)
	}
	resp.write(c, r)
	return nil
}
