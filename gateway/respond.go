package gateway

import (
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/gofiber/fiber/v2"

	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/normalize"
)

// response is what a handler answers.
type response struct {
	status  int
	headers [][2]string
	media   string // empty: JSON
	body    *payload.Payload
	etag    string
	read    bool             // a read of the caller's own data
	parts   []part           // the backends that were asked
	agent   *normalize.Agent // the one that it is about; nil for none, or several
}

func (r *response) header(name, value string) { r.headers = append(r.headers, [2]string{name, value}) }

// respond writes a handler's answer.
func respond(c *fiber.Ctx, r *response) error {
	c.Status(r.status)
	if r.read {
		c.Set(fiber.HeaderCacheControl, "private, no-cache")
		vary(c, "Authorization, X-API-Key, Accept-Encoding")
	}
	if len(r.parts) > 0 {
		c.Set("Cache-Status", cacheStatus(r.parts))
		c.Set("Server-Timing", serverTiming(r.parts))
	}
	for _, h := range r.headers {
		c.Set(h[0], h[1])
	}
	if !r.read && r.body != nil && len(r.body.Plain()) > payload.MinSize { // on a 304 too
		vary(c, fiber.HeaderAcceptEncoding)
	}
	if r.etag != "" {
		c.Set(fiber.HeaderETag, r.etag)
		if getting(c.Method()) && noneMatch(headerLines(c, fiber.HeaderIfNoneMatch), r.etag) {
			c.Status(fiber.StatusNotModified)
			return nil
		}
	}
	if r.status == fiber.StatusNoContent {
		return nil
	}
	media := r.media
	if media == "" {
		media = fiber.MIMEApplicationJSON
	}
	c.Set(fiber.HeaderContentType, media)
	send(c, r.body)
	return nil
}

// vary says what the answer depends on, beside what CORS may have said already.
func vary(c *fiber.Ctx, names string) {
	if len(c.Response().Header.Peek(fiber.HeaderVary)) > 0 {
		c.Append(fiber.HeaderVary, names)
		return
	}
	c.Set(fiber.HeaderVary, names)
}

func getting(method string) bool { return method == fiber.MethodGet || method == fiber.MethodHead }

// send writes a body, in the coding that the caller likes best.
func send(c *fiber.Ctx, body *payload.Payload) {
	bytes, coding := body.Plain(), payload.Identity
	if len(bytes) > payload.MinSize {
		bytes, coding = body.In(preferredCoding(headerLines(c, fiber.HeaderAcceptEncoding)))
	}
	if coding != payload.Identity {
		c.Set(fiber.HeaderContentEncoding, string(coding))
	}
	c.Response().SetBodyRaw(bytes) // shared, and not changed
}

// respondProblem writes an error (RFC 9457). What a read or write before it
// set for its answer is left behind.
func respondProblem(c *fiber.Ctx, p *Problem) error {
	c.Status(p.Status)
	switch p.Status {
	case fiber.StatusUnauthorized:
		c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="agentgw"`)
	case fiber.StatusMethodNotAllowed:
		c.Set(fiber.HeaderAllow, p.Allow)
	}
	if p.Replayed {
		c.Set("Idempotency-Replayed", "true")
	}
	if p.RetryAfter > 0 || needsRetryAfter(p.Status) {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(retryAfterSeconds(p.RetryAfter)))
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "application/problem+json")
	answer := payload.New(body)
	if len(answer.Plain()) > payload.MinSize {
		c.Vary(fiber.HeaderAcceptEncoding)
	}
	send(c, answer)
	return nil
}

// cacheStatus is RFC 9211's header: how the answer came about, of several
// backends the one that was furthest from a hit.
func cacheStatus(parts []part) string {
	switch worst(parts) {
	case CacheHit:
		return "agentgw; hit"
	case CacheStale:
		return "agentgw; fwd=stale"
	case CacheBypass:
		return "agentgw; fwd=request"
	case CacheCoalesced:
		return "agentgw; fwd=miss; collapsed"
	}
	return "agentgw; fwd=miss"
}

// worst is the status of the part that is furthest from a hit; empty for none.
func worst(parts []part) CacheStatus {
	if len(parts) == 0 {
		return ""
	}
	worst := CacheHit
	for _, p := range parts {
		worst = worse(worst, p.cache)
	}
	return worst
}

// fromHit are the statuses, from a hit to what is furthest from one. An empty
// one is a failure.
var fromHit = []CacheStatus{CacheHit, CacheBypass, CacheCoalesced, CacheMiss, "", CacheStale}

// worse is the one of two statuses that is further from a hit.
func worse(a, b CacheStatus) CacheStatus {
	if slices.Index(fromHit, b) > slices.Index(fromHit, a) {
		return b
	}
	return a
}

// serverTiming has one entry for each backend asked, in milliseconds.
func serverTiming(parts []part) string {
	entries := make([]byte, 0, 48*len(parts))
	for i, p := range parts {
		status := string(p.cache)
		if status == "" {
			status = SourceError
		}
		if i > 0 {
			entries = append(entries, ", "...)
		}
		entries = append(append(entries, p.backend.Name...), ";dur="...)
		entries = strconv.AppendFloat(entries, float64(p.took.Microseconds())/1000, 'f', 1, 64)
		entries = append(append(append(entries, `;desc="`...), status...), '"')
	}
	return string(entries)
}
