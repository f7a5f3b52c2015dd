package gateway

import (
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
)

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
	remaining, reset := caller.limit.remaining(now)
	c.Set("RateLimit-Policy", caller.limit.policy)
	c.Set("RateLimit", `"key";r=`+strconv.Itoa(remaining)+";t="+strconv.Itoa(reset))
	if wait > 0 {
		rate := caller.limit.config
		p := newProblem(CodeRateLimited, "the key may ask %d times in %s", rate.Requests, rate.Per)
		p.RetryAfter = wait
		return p
	}
	return nil
}
