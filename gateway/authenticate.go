package gateway

import (
	"bytes"
	"time"

	"github.com/valyala/fasthttp"
)

// authenticate finds the caller's key. All that can be wrong with a key is one
// answer; only the metric tells which it was.
func (s *Server) authenticate(c *fasthttp.RequestCtx, x *exchange) (*keyEntry, error) {
	key, ambiguous := presentedKey(&c.Request.Header, x.has)
	if ambiguous {
		return nil, newProblem(CodeInvalidParameter, "the Authorization and X-API-Key headers hold different keys; send one")
	}
	holder, refused := x.state.keys.find(key, x.began)
	if refused != "" {
		s.gateway.telemetry.AuthFailure(refused)
		return nil, newProblem(CodeUnauthenticated, "send a valid key as Authorization: Bearer … or X-API-Key: …")
	}
	return holder, nil
}

// presentedKey is the key in a request's headers, each of which may come more
// than once; ambiguous where there are different ones. It is the header's own bytes.
func presentedKey(header *fasthttp.RequestHeader, has present) (found []byte, ambiguous bool) {
	add := func(key []byte) {
		ambiguous = ambiguous || len(found) > 0 && len(key) > 0 && !bytes.Equal(found, key)
		if len(key) > 0 {
			found = key
		}
	}
	if has.any(hasAPIKey) {
		for _, key := range header.PeekAll("X-Api-Key") {
			add(key)
		}
	}
	for _, line := range header.PeekAll("Authorization") {
		if scheme, bearer, _ := bytes.Cut(line, []byte{' '}); bytes.EqualFold(scheme, []byte("Bearer")) {
			add(bytes.TrimSpace(bearer))
		}
	}
	return found, ambiguous
}

// Names of the rate limit's headers, as they are sent.
var rateLimit, rateLimitPolicy = []byte("Ratelimit"), []byte("Ratelimit-Policy")

// limitRate counts the request against the key's limit; every answer says what is left
// (draft-ietf-httpapi-ratelimit-headers).
func limitRate(x *exchange, caller *Caller) error {
	if x.limit = caller.limit; x.limit == nil {
		return nil
	}
	wait := x.limit.take(time.Now()) // not when the request began: the limiter's time must not go back
	if wait > 0 {
		rate := caller.limit.config
		p := newProblem(CodeRateLimited, "the key may ask %d times in %s", rate.Requests, rate.Per)
		p.RetryAfter = wait
		return p
	}
	return nil
}
