package gateway

import (
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/normalize"
)

// response is what a handler answers.
type response struct {
	status  int
	headers []field
	media   string // empty: JSON
	body    *payload.Payload
	etag    string
	oldest  time.Time // when the oldest part of it was read; zero: it has no Age
	read    bool      // a read of the caller's own data
	again   bool      // it is the same as long as what it was served from
	parts   []part    // the backends that were asked
	about   about
}

// about is the agent that an answer is about; empty for none, or several.
type about struct{ id, name string }

func aboutAgent(a *normalize.Agent) about {
	if a.Name == nil {
		return about{id: a.ID}
	}
	return about{a.ID, *a.Name}
}

// field is a header field (RFC 9110, 5); its name is in canonical form.
type field struct{ name, value []byte }

func newField(name, value string) field { return field{[]byte(name), []byte(value)} }

func (r *response) header(name, value string) { r.headers = append(r.headers, newField(name, value)) }

// applied says that the caller's preference for leniency was heeded (RFC 7240, 3).
func (r *response) applied(lenient bool) *response {
	if lenient {
		r.header("Preference-Applied", "handling=lenient")
	}
	return r
}

// What every read's answer has; here, so that it is not made for each.
var (
	privateNoCache   = newField(fiber.HeaderCacheControl, "private, no-cache")
	nameETag         = []byte("Etag")
	nameCacheStatus  = []byte("Cache-Status")
	nameServerTiming = []byte("Server-Timing")
)

// answer is what is sent: all that is the same each time that it is sent.
type answer struct {
	status  int
	headers []field
	vary    []byte
	media   string
	etag    string
	oldest  time.Time
	body    *payload.Payload
}

// answer is the response as it is sent.
func (r *response) answer() answer {
	const most = 4 // headers are added
	a := answer{status: r.status, headers: append(make([]field, 0, len(r.headers)+most), r.headers...), media: r.media, etag: r.etag, oldest: r.oldest, body: r.body}
	header := func(name, value []byte) { a.headers = append(a.headers, field{name, value}) }
	if r.read {
		a.headers = append(a.headers, privateNoCache)
		a.vary = varyRead
	} else if r.body != nil && len(r.body.Plain()) > payload.MinSize { // on a 304 too
		a.vary = varyCoding
	}
	if r.etag != "" {
		header(nameETag, []byte(r.etag))
	}
	if len(r.parts) > 0 {
		header(nameCacheStatus, cacheStatus(r.parts))
		header(nameServerTiming, serverTiming(r.parts))
	}
	if a.media == "" {
		a.media = fiber.MIMEApplicationJSON
	}
	return a
}

// send writes an answer. Its age is that at a time: asking for it costs.
func (a answer) send(c *fasthttp.RequestCtx, has present, now time.Time) {
	header := &c.Response.Header
	c.SetStatusCode(a.status)
	for _, f := range a.headers {
		header.SetCanonical(f.name, f.value)
	}
	if len(a.vary) > 0 {
		vary(header, a.vary)
	}
	if !a.oldest.IsZero() {
		var text [20]byte
		header.SetCanonical(ageHeader, a.age(text[:0], now))
	}
	if a.etag != "" && has.any(hasIfNoneMatch) && (c.IsGet() || c.IsHead()) && noneMatch(headerLines(&c.Request.Header, fiber.HeaderIfNoneMatch), a.etag) {
		c.SetStatusCode(fiber.StatusNotModified)
		return
	}
	if a.status == fiber.StatusNoContent {
		return
	}
	header.SetContentType(a.media)
	sendBody(c, a.body, has)
}

// age is in seconds, appended.
func (a answer) age(text []byte, now time.Time) []byte {
	return strconv.AppendInt(text, int64(max(0, now.Sub(a.oldest)).Seconds()), 10)
}

// Names and values of header fields, as they are sent.
var (
	ageHeader       = []byte(fiber.HeaderAge)
	varyHeader      = []byte(fiber.HeaderVary)
	requestIDHeader = []byte("X-Request-Id")
	varyRead        = []byte("Authorization, X-API-Key, Accept-Encoding")
	varyCoding      = []byte(fiber.HeaderAcceptEncoding)
	varyOrigin      = []byte(fiber.HeaderOrigin)
)

// vary says what the answer depends on, beside what CORS may have said already.
func vary(header *fasthttp.ResponseHeader, names []byte) {
	if before := header.Peek(fiber.HeaderVary); len(before) > 0 {
		names = slices.Concat(before, []byte(", "), names)
	}
	header.SetCanonical(varyHeader, names)
}

// sendBody writes a body, in the coding that the caller likes best.
func sendBody(c *fasthttp.RequestCtx, body *payload.Payload, has present) {
	bytes, coding := body.Plain(), payload.Identity
	if len(bytes) > payload.MinSize && has.any(hasAcceptEncoding) {
		bytes, coding = body.In(preferredCoding(c.Request.Header.PeekAll(fiber.HeaderAcceptEncoding)))
	}
	if coding != payload.Identity {
		c.Response.Header.Set(fiber.HeaderContentEncoding, string(coding))
	}
	c.Response.SetBodyRaw(bytes) // shared, and not changed
}

// respondProblem writes an error (RFC 9457). What a read or write before it
// set for its answer is left behind.
func respondProblem(c *fasthttp.RequestCtx, has present, p *Problem) {
	header := &c.Response.Header
	c.SetStatusCode(p.Status)
	switch p.Status {
	case fiber.StatusUnauthorized:
		header.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="agentgw"`)
	case fiber.StatusMethodNotAllowed:
		header.Set(fiber.HeaderAllow, p.Allow)
	}
	if p.Replayed {
		header.Set("Idempotency-Replayed", "true")
	}
	if p.RetryAfter > 0 || needsRetryAfter(p.Status) {
		header.Set(fiber.HeaderRetryAfter, strconv.Itoa(retryAfterSeconds(p.RetryAfter)))
	}
	header.Set(fiber.HeaderCacheControl, "no-store")
	body, err := json.Marshal(p, jsontext.AllowInvalidUTF8(true))
	if err != nil { // it holds nothing that cannot be said in JSON; who asked is not left without an answer
		c.SetStatusCode(fiber.StatusInternalServerError)
		return
	}
	header.SetContentType("application/problem+json")
	answer := payload.New(body)
	if len(answer.Plain()) > payload.MinSize {
		vary(header, varyCoding)
	}
	sendBody(c, answer, has)
}

// cacheStatus is RFC 9211's header: how the answer came about, of several
// backends the one that was furthest from a hit.
func cacheStatus(parts []part) []byte {
	if said, ok := cacheStatuses[worst(parts)]; ok {
		return said
	}
	return cacheStatuses[CacheMiss]
}

var cacheStatuses = map[CacheStatus][]byte{
	CacheHit:       []byte("agentgw; hit"),
	CacheStale:     []byte("agentgw; fwd=stale"),
	CacheBypass:    []byte("agentgw; fwd=request"),
	CacheCoalesced: []byte("agentgw; fwd=miss; collapsed"),
	CacheMiss:      []byte("agentgw; fwd=miss"),
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
func serverTiming(parts []part) []byte {
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
	return entries
}

// withMember is a body with one member more.
func withMember(body *payload.Payload, name string, value []byte) *payload.Payload {
	return payload.New(normalize.AppendMember(body.Plain(), name, value))
}
