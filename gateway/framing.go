package gateway

import (
	"bytes"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// framed refuses a request of which somebody between the caller and us may have
// seen another end than we do (RFC 9112, 2.2, 5.2, 6.1 and 6.3; fasthttp 1.74 takes
// Transfer-Encoding where Content-Length is named as well, unfolds lines, and ends
// them at a bare LF). Its connection is not read on.
func framed(c *fasthttp.RequestCtx) error {
	header := &c.Request.Header
	if version := string(header.Protocol()); version != "HTTP/1.1" && version != "HTTP/1.0" {
		c.SetConnectionClose()
		return newProblem(CodeInvalidParameter, "the request is not HTTP/1.1")
	}
	length, encoding, broken := false, false, false
	for line := range bytes.Lines(header.RawHeaders()) {
		name, value, _ := bytes.Cut(line, []byte{':'})
		switch {
		case line[0] == ' ' || line[0] == '\t' || !bytes.HasSuffix(line, []byte("\r\n")):
			broken = true // some read two headers where others read one
		case bytes.EqualFold(name, []byte(fiber.HeaderContentLength)):
			length = true
		case bytes.EqualFold(name, []byte(fiber.HeaderTransferEncoding)):
			encoding = true
			length = length || !bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked"))
		}
	}
	if encoding && trailed(header) {
		c.SetConnectionClose()
		return newProblem(CodeInvalidParameter, "a field that says who asks, or what for, is in the trailer; send it in the header")
	}
	if length && encoding || broken {
		c.SetConnectionClose()
		return newProblem(CodeInvalidParameter, "it is not clear where the request's headers or body end; send Content-Length or Transfer-Encoding: chunked, not both, and each header on one line that ends with CR LF")
	}
	return nil
}

// heeded are the fields of a request's header that an answer depends on.
var heeded = []string{
	"X-Api-Key", fiber.HeaderAuthorization, "X-Request-Id", "Traceparent", "Tracestate", fiber.HeaderOrigin,
	fiber.HeaderAccept, fiber.HeaderAcceptEncoding, "Prefer", fiber.HeaderCacheControl,
	fiber.HeaderIfNoneMatch, fiber.HeaderIfMatch, "Idempotency-Key",
}

// trailed reports whether one of them came in the trailer of a chunked body: they must not
// (RFC 9110, 6.5.1), and fasthttp takes them for the header's.
func trailed(header *fasthttp.RequestHeader) bool {
	for _, name := range heeded {
		got := len(header.PeekAll(name))
		for line := range bytes.Lines(header.RawHeaders()) {
			if field, _, _ := bytes.Cut(line, []byte{':'}); bytes.EqualFold(bytes.TrimSpace(field), []byte(name)) {
				got--
			}
		}
		if got > 0 {
			return true
		}
	}
	return false
}
