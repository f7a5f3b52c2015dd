package api

import (
	"strings"

	"github.com/valyala/fasthttp"
)

// requestHeader is an index into headerNames.
type requestHeader int

// The request headers that can change a response. Handlers cannot read others, so the response
// cache's key, which is made from this list, cannot miss one.
const (
	headerAuthorization requestHeader = iota
	headerAPIKey
	headerRequestID
	headerTraceparent
	headerTracestate
	headerOrigin
	headerAcceptEncoding
	headerIfNoneMatch
	// Handlers read the following ones: they are part of the response cache's key.
	headerAccept
	headerPrefer
	headerCacheControl
	headerIfMatch
	headerIdempotencyKey

	headerCount
	firstHandlerHeader = headerAccept
)

// headerNames has the names in fasthttp's canonical form.
var headerNames = [headerCount]string{
	headerAuthorization:  "Authorization",
	headerAPIKey:         "X-Api-Key",
	headerRequestID:      "X-Request-Id",
	headerTraceparent:    "Traceparent",
	headerTracestate:     "Tracestate",
	headerOrigin:         "Origin",
	headerAcceptEncoding: "Accept-Encoding",
	headerIfNoneMatch:    "If-None-Match",
	headerAccept:         "Accept",
	headerPrefer:         "Prefer",
	headerCacheControl:   "Cache-Control",
	headerIfMatch:        "If-Match",
	headerIdempotencyKey: "Idempotency-Key",
}

var headerIndex = func() map[string]requestHeader {
	index := make(map[string]requestHeader, headerCount)
	for i, name := range headerNames {
		index[name] = requestHeader(i)
	}
	return index
}()

// requestHeaders has the values of each header, one for each line. They are copies: fasthttp
// reuses its buffers for the next request of the connection.
type requestHeaders [headerCount][]string

// parseHeaders reads the headers that can change a response. Trailers are not among them
// (RFC 9110, section 6.5.1): the body is read later.
func parseHeaders(header *fasthttp.RequestHeader) *requestHeaders {
	h := &requestHeaders{}
	for name, value := range header.All() {
		if i, ok := headerIndex[string(name)]; ok {
			h[i] = append(h[i], string(value))
		}
	}
	return h
}

// first returns the header's first value, or the empty string.
func (h *requestHeaders) first(header requestHeader) string {
	if len(h[header]) == 0 {
		return ""
	}
	return h[header][0]
}

// cacheKey returns the headers that handlers read as one string.
func (h *requestHeaders) cacheKey() string {
	var key strings.Builder
	for i := firstHandlerHeader; i < headerCount; i++ {
		for _, value := range h[i] {
			key.WriteString(headerNames[i])
			key.WriteByte(':')
			key.WriteString(value)
			key.WriteByte('\n') // no value holds one
		}
	}
	return key.String()
}
