package api

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/negotiate"
	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/gateway/problem"
)

// response is what a handler returns. It is not changed once it was written, because the
// response cache may keep it.
type response struct {
	status    int
	headers   []field
	media     string // empty: JSON
	body      *payload.EncodedBody
	etag      string
	oldest    time.Time       // when its oldest data was fetched; zero for no Age header
	read      bool            // a read of data that only the caller may see
	cacheable bool            // valid as long as its dependencies do not change
	parts     []agents.Source // what each backend contributed
	cache     string          // Cache-Status; empty for none
	timing    string          // Server-Timing, if there is a Cache-Status
	about     agents.Ref
	subject   string   // of a write: the alias or the migration
	replayed  bool     // an earlier request did it
	changed   []string // of a write: JSON pointers of the fields
}

// field is a header field.
type field struct{ name, value string }

func (r *response) header(name, value string) { r.headers = append(r.headers, field{name, value}) }

// responseOf returns the response to a read or a write of agents. One without a body is a 204.
func responseOf(result *agents.Result) *response {
	r := &response{
		status: fiber.StatusOK, body: result.Body, etag: result.ETag, oldest: result.ReadAt, read: result.IsRead,
		cacheable: result.Cacheable, parts: result.Sources, about: result.Agent, changed: result.Changed,
	}
	if result.Body == nil {
		r.status = fiber.StatusNoContent
	}
	if len(result.Sources) > 0 {
		r.cache, r.timing = cacheStatus(result.Sources), serverTiming(result.Sources)
	}
	if result.Created {
		r.status = fiber.StatusCreated
		r.header(fiber.HeaderLocation, "/v1/agents/"+result.Agent.ID)
	}
	if result.Incomplete {
		r.header("X-Agentgw-Complete", "false")
	}
	if result.ResolvedID != "" {
		r.header("Content-Location", "/v1/agents/"+result.ResolvedID)
	}
	if result.Lenient {
		r.header("Preference-Applied", "handling=lenient") // RFC 7240, section 3
	}
	if r.replayed = result.Replayed; r.replayed {
		r.header("Idempotency-Replayed", "true")
	}
	return r
}

// write sends the response in the content coding that the caller prefers, or a 304 if
// If-None-Match has its entity tag.
func (r *response) write(c *fiber.Ctx, to *requestState) {
	for _, f := range r.headers {
		c.Set(f.name, f.value)
	}
	if r.read {
		c.Set(fiber.HeaderCacheControl, "private, no-cache")
		c.Vary("Authorization", "X-API-Key", "Accept-Encoding")
	} else if r.body != nil && len(r.body.Plain()) > payload.MinSize {
		c.Vary("Accept-Encoding")
	}
	if r.cache != "" {
		c.Set("Cache-Status", r.cache)
		c.Set("Server-Timing", r.timing)
	}
	if !r.oldest.IsZero() {
		c.Set(fiber.HeaderAge, strconv.FormatInt(int64(max(0, time.Since(r.oldest)).Seconds()), 10))
	}
	if r.etag != "" {
		c.Set(fiber.HeaderETag, r.etag)
		if isSafe(c.Method()) && matchesAny(to.headers[headerIfNoneMatch], r.etag) {
			c.Status(fiber.StatusNotModified)
			return
		}
	}
	c.Status(r.status)
	if r.status == fiber.StatusNoContent {
		return
	}
	media := r.media
	if media == "" {
		media = fiber.MIMEApplicationJSON
	}
	c.Set(fiber.HeaderContentType, media)
	body, coding := r.body.In(negotiate.PreferredCoding(to.headers[headerAcceptEncoding]))
	if coding != payload.Identity {
		c.Set(fiber.HeaderContentEncoding, string(coding))
	}
	c.Response().SetBodyRaw(body)
}

func isSafe(method string) bool { return method == fiber.MethodGet || method == fiber.MethodHead }

// problemResponse returns the response of a problem (RFC 9457).
func problemResponse(p *problem.Problem) *response {
	r := &response{status: p.Status, media: "application/problem+json"}
	switch p.Status {
	case fiber.StatusUnauthorized:
		r.header(fiber.HeaderWWWAuthenticate, `Bearer realm="agentgw"`)
	case fiber.StatusMethodNotAllowed:
		r.header(fiber.HeaderAllow, p.Allow)
	}
	if p.Replayed {
		r.header("Idempotency-Replayed", "true")
	}
	if p.RetryAfter > 0 || problem.NeedsRetryAfter(p.Status) {
		r.header(fiber.HeaderRetryAfter, strconv.Itoa(problem.RetryAfterSeconds(p.RetryAfter)))
	}
	if p.ETag != "" {
		r.header(fiber.HeaderETag, p.ETag)
	}
	r.header(fiber.HeaderCacheControl, "no-store")
	body, err := json.Marshal(p, jsontext.AllowInvalidUTF8(true))
	if err != nil { // unreachable: a Problem has only types that JSON has
		r.status, body = fiber.StatusInternalServerError, nil
	}
	r.body = payload.New(body)
	return r
}

// cacheStatus returns the Cache-Status header (RFC 9211) of the backend that was furthest from a
// cache hit.
func cacheStatus(parts []agents.Source) string {
	if text, ok := cacheStatuses[agents.AggregateCacheStatus(parts)]; ok {
		return text
	}
	return cacheStatuses[backend.CacheMiss]
}

var cacheStatuses = map[backend.CacheStatus]string{
	backend.CacheHit:       "agentgw; hit",
	backend.CacheStale:     "agentgw; fwd=stale",
	backend.CacheBypass:    "agentgw; fwd=request",
	backend.CacheCoalesced: "agentgw; fwd=miss; collapsed",
	backend.CacheMiss:      "agentgw; fwd=miss",
}

// serverTiming returns the Server-Timing header: one entry for each backend, in milliseconds.
func serverTiming(parts []agents.Source) string {
	entries := make([]string, len(parts))
	for i, p := range parts {
		status := string(p.Cache)
		if status == "" {
			status = problem.SourceError
		}
		entries[i] = fmt.Sprintf("%s;dur=%.1f;desc=%q", p.Backend.Name, float64(p.Duration)/float64(time.Millisecond), status)
	}
	return strings.Join(entries, ", ")
}
