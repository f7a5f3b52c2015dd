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
)

// answer is what is sent: all that is the same each time that it is sent.
type answer struct {
	status  int
	headers []field // that few answers have
	read    bool    // of the caller's own data
	vary    []byte
	media   []byte
	etag    string
	cache   []byte    // Cache-Status; empty where no backend was asked
	timing  []byte    // Server-Timing; the same
	oldest  time.Time // when the oldest part of it was read; zero: it has no Age
	body    *payload.Payload
}

// form is what a request's header says of the form of its answer.
type form struct {
	coding    payload.Coding
	noneMatch []string // lines of If-None-Match, where they are heeded
}

func formFor(header *fasthttp.RequestHeader, has present) form {
	in := form{coding: payload.Identity}
	if has.any(hasAcceptEncoding) {
		in.coding = preferredCoding(header.PeekAll(fiber.HeaderAcceptEncoding))
	}
	if has.any(hasIfNoneMatch) && (header.IsGet() || header.IsHead()) {
		in.noneMatch = headerLines(header, fiber.HeaderIfNoneMatch)
	}
	return in
}

// Names and values of header fields, as they are sent.
var (
	ageHeader        = []byte(fiber.HeaderAge)
	allowHeader      = []byte(fiber.HeaderAllow)
	connectionHeader = []byte(fiber.HeaderConnection)
	contentEncoding  = []byte(fiber.HeaderContentEncoding)
	contentLength    = []byte(fiber.HeaderContentLength)
	contentType      = []byte(fiber.HeaderContentType)
	dateHeader       = []byte(fiber.HeaderDate)
	requestIDHeader  = []byte("X-Request-Id")
	varyHeader       = []byte(fiber.HeaderVary)
	connectionClose  = []byte("close")
	mediaJSON        = []byte(fiber.MIMEApplicationJSON)
	mediaProblem     = []byte("application/problem+json")
	varyCoding       = []byte(fiber.HeaderAcceptEncoding)
	varyOrigin       = []byte(fiber.HeaderOrigin)
	varyRead         = []byte("Authorization, X-API-Key, Accept-Encoding")
	noStore          = newField(fiber.HeaderCacheControl, "no-store")
	bearer           = newField(fiber.HeaderWWWAuthenticate, `Bearer realm="agentgw"`)
	replayedCreate   = newField("Idempotency-Replayed", "true")
)

// as is the answer's status in that form.
func (a *answer) as(in form) (status int) {
	if a.etag != "" && len(in.noneMatch) > 0 && noneMatch(in.noneMatch, a.etag) {
		return fiber.StatusNotModified
	}
	return a.status
}

// empty reports whether an answer with that status has no content (RFC 9110, 15.3.5 and
// 15.4.5): nothing is said of its type and length.
func empty(status int) bool {
	return status == fiber.StatusNotModified || status == fiber.StatusNoContent
}

// render gives the fields of the answer's head, but for its age, as it is with that status
// and in that form; and its body. All is shared, and not changed.
func (a *answer) render(status int, in form, give func(name, value []byte)) (body []byte) {
	for _, f := range a.headers {
		give(f.name, f.value)
	}
	if a.read {
		give(privateNoCache.name, privateNoCache.value)
	}
	if a.etag != "" {
		give(nameETag, []byte(a.etag))
	}
	if len(a.cache) > 0 {
		give(nameCacheStatus, a.cache)
		give(nameServerTiming, a.timing)
	}
	if len(a.vary) > 0 {
		give(varyHeader, a.vary)
	}
	if empty(status) {
		return nil
	}
	give(contentType, a.media)
	body, coding := a.body.In(in.coding)
	if coding != payload.Identity {
		give(contentEncoding, []byte(coding))
	}
	return body
}

// age is in seconds, appended.
func age(text []byte, oldest, now time.Time) []byte {
	return strconv.AppendInt(text, int64(max(0, now.Sub(oldest)).Seconds()), 10)
}

// answer is the response as it is sent.
func (r *response) answer() answer {
	a := answer{status: r.status, headers: r.headers, read: r.read, media: mediaJSON, etag: r.etag, oldest: r.oldest, body: r.body}
	if r.read {
		a.vary = varyRead
	} else if r.body != nil && len(r.body.Plain()) > payload.MinSize { // on a 304 too
		a.vary = varyCoding
	}
	if len(r.parts) > 0 {
		a.cache, a.timing = cacheStatus(r.parts), serverTiming(r.parts)
	}
	if r.media != "" {
		a.media = []byte(r.media)
	}
	return a
}

// answer is an error as it is sent (RFC 9457).
func (p *Problem) answer() answer {
	a := answer{status: p.Status, media: mediaProblem}
	header := func(name, value string) { a.headers = append(a.headers, newField(name, value)) }
	switch p.Status {
	case fiber.StatusUnauthorized:
		a.headers = append(a.headers, bearer)
	case fiber.StatusMethodNotAllowed:
		header(fiber.HeaderAllow, p.Allow)
	}
	if p.Replayed {
		a.headers = append(a.headers, replayedCreate)
	}
	if p.RetryAfter > 0 || needsRetryAfter(p.Status) {
		header(fiber.HeaderRetryAfter, strconv.Itoa(retryAfterSeconds(p.RetryAfter)))
	}
	a.headers = append(a.headers, noStore)
	body, err := json.Marshal(p, jsontext.AllowInvalidUTF8(true))
	if err != nil { // it holds nothing that cannot be said in JSON; who asked is not left without an answer
		a.status, body = fiber.StatusInternalServerError, nil
	}
	a.body = payload.New(body)
	if len(body) > payload.MinSize {
		a.vary = varyCoding
	}
	return a
}

// appendHead appends the answer's status line and fields, but for those that differ each
// time it is given, and for the empty line; behind it comes the body.
func (a *answer) appendHead(head []byte, in form, cors bool) (_, body []byte, status int) {
	status = a.as(in)
	head = append(strconv.AppendInt(append(head, "HTTP/1.1 "...), int64(status), 10), ' ')
	head = append(append(head, fasthttp.StatusMessage(status)...), "\r\n"...)
	if cors && len(a.vary) == 0 {
		head = appendField(head, varyHeader, varyOrigin)
	}
	body = a.render(status, in, func(name, value []byte) {
		if cors && string(name) == fiber.HeaderVary { // CORS says so to those who name no origin, too
			value = slices.Concat(varyOrigin, []byte(", "), value)
		}
		head = appendField(head, name, value)
	})
	if !empty(status) {
		var text [20]byte
		head = appendField(head, contentLength, strconv.AppendInt(text[:0], int64(len(body)), 10))
	}
	return head, body, status
}

func appendField(head, name, value []byte) []byte {
	head = append(append(head, name...), ": "...)
	return append(append(head, value...), "\r\n"...)
}

// write has fasthttp send the answer of a request, if it has one and not only what Fiber
// made of it, with the fields that every answer has.
func (x *exchange) write(c *fasthttp.RequestCtx) {
	header, now := &c.Response.Header, time.Now()
	var text [64]byte
	if x.answered {
		status := x.answer.as(x.form)
		body := x.answer.render(status, x.form, func(name, value []byte) {
			if string(name) == fiber.HeaderVary {
				if before := header.PeekBytes(name); len(before) > 0 { // CORS has said something already
					value = slices.Concat(before, []byte(", "), value)
				}
			}
			header.SetCanonical(name, value)
		})
		c.SetStatusCode(status)
		if body != nil {
			c.Response.SetBodyRaw(body)
		}
		if !x.answer.oldest.IsZero() {
			header.SetCanonical(ageHeader, age(text[:0], x.answer.oldest, now))
		}
	}
	if x.limit != nil {
		header.SetCanonical(rateLimitPolicy, x.limit.policy)
		header.SetCanonical(rateLimit, x.limit.left(text[:0], now))
	}
	header.SetCanonical(requestIDHeader, []byte(x.requestID))
}
