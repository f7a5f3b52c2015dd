package api

import (
	"bytes"

	"github.com/gofiber/fiber/v2"

	"github.com/agentgw/agentgw/gateway/problem"
)

// checkFraming refuses a request whose end a proxy between the caller and the gateway may
// have seen elsewhere than fasthttp does, and closes its connection (RFC 9112, sections
// 2.2, 5.2, 6.1 and 6.3). fasthttp 1.74 accepts Transfer-Encoding beside Content-Length,
// unfolds header lines, and lets them end with a bare LF.
func checkFraming(c *fiber.Ctx) error {
	header := &c.Request().Header
	if version := string(header.Protocol()); version != "HTTP/1.1" && version != "HTTP/1.0" {
		c.Context().SetConnectionClose()
		return problem.New(problem.CodeInvalidParameter, "only HTTP/1.1 and HTTP/1.0 are supported")
	}
	raw := header.RawHeaders()
	length, encoding, malformed := false, false, false
	for line := range bytes.Lines(raw) {
		name, value, _ := bytes.Cut(line, []byte{':'})
		switch {
		case line[0] == ' ' || line[0] == '\t' || !bytes.HasSuffix(line, []byte("\r\n")):
			malformed = true // parsers disagree about where the header ends
		case bytes.EqualFold(name, []byte(fiber.HeaderContentLength)):
			length = true
		case bytes.EqualFold(name, []byte(fiber.HeaderConnection)):
			closeIfAsked(c, value)
		case bytes.EqualFold(name, []byte(fiber.HeaderTransferEncoding)):
			encoding = true
			length = length || !bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked"))
		}
	}
	if length && encoding || malformed {
		c.Context().SetConnectionClose()
		return problem.New(problem.CodeInvalidParameter, "the end of the request's headers or body is ambiguous; send Content-Length or Transfer-Encoding: chunked, not both, and end each header line with CR LF")
	}
	return c.Next()
}

// closeIfAsked closes the connection after the response if a line of Connection has the option
// close (RFC 9110, section 7.6.1). fasthttp finds it only as the whole value, in lower case.
func closeIfAsked(c *fiber.Ctx, line []byte) {
	for option := range bytes.SplitSeq(line, []byte{','}) {
		if bytes.EqualFold(bytes.TrimSpace(option), []byte("close")) {
			c.Context().SetConnectionClose()
		}
	}
}
