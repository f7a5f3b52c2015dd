package api

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/agentgw/agentgw/gateway/listener"
	"github.com/agentgw/agentgw/gateway/problem"
)

const (
	// prefetch is how many bytes of a body fasthttp reads before the handler runs; 0 would
	// stand for its default. The rest is read when the caller is known.
	prefetch = 1
	// maxDiscard is how much of a body that is not needed is read so that the connection can
	// be used again.
	maxDiscard = 16 << 10
	// discardTimeout bounds how long that may take.
	discardTimeout = time.Second
	bodyChunk      = 32 << 10
)

var errBodyTimeout = problem.New(problem.CodeRequestTimeout, "the body did not arrive within server.request_timeout")

// readBody reads the body of a request of a caller. It takes the memory from Bodies as the
// body arrives; finish gives it back.
func (s *Server) readBody(c *fiber.Ctx, r *requestState) ([]byte, error) {
	stream := c.Context().RequestBodyStream()
	if stream == nil {
		return nil, nil
	}
	r.bodyBroken = true // until it is whole
	var body bytes.Buffer
	for {
		n, err := io.CopyN(&body, stream, bodyChunk)
		r.bodyBytes += n
		if !s.Bodies.Take(r.keyID, n) {
			r.bodyBytes -= n
			return nil, problem.Overloaded("too many request bodies are arriving (server.max_body_bytes)")
		}
		switch {
		case int64(body.Len()) > s.bodyLimit:
			return nil, s.errBodyTooLarge()
		case errors.Is(err, io.EOF) && s.isWhole(c, r):
			r.bodyBroken, r.bodyRead = false, true
			return body.Bytes(), nil
		case isTimeout(err):
			return nil, errBodyTimeout
		case err != nil:
			return nil, problem.New(problem.CodeInvalidParameter, "the body ended early, or its chunks are not valid HTTP/1.1")
		}
	}
}

// isWhole reports whether the body that ended is whole: fasthttp ends it when the peer leaves, too.
// A request that did not arrive completely must not be carried out (RFC 9112, section 8).
func (s *Server) isWhole(c *fiber.Ctx, r *requestState) bool {
	if length := c.Request().Header.ContentLength(); length >= 0 {
		return r.bodyBytes == int64(length)
	}
	return !listener.HasEnded(c.Context().Conn())
}

// releaseBody gives back the memory of the request's body, and discards what was not read of
// it. If that is too much or does not arrive, the connection closes after the response.
func (s *Server) releaseBody(c *fiber.Ctx, r *requestState) {
	if r.bodyBytes > 0 {
		s.Bodies.Release(r.keyID, r.bodyBytes)
		r.bodyBytes = 0
	}
	stream := c.Context().RequestBodyStream()
	if stream == nil || r.bodyRead {
		return
	}
	if !r.bodyBroken && c.Request().Header.ContentLength() <= maxDiscard {
		conn := c.Context().Conn()
		if conn.SetReadDeadline(time.Now().Add(discardTimeout)) == nil {
			if _, err := io.CopyN(io.Discard, stream, maxDiscard+1); errors.Is(err, io.EOF) {
				return
			}
		}
	}
	c.Context().SetConnectionClose()
	listener.LingerOn(c.Context().Conn()) // the peer may still be sending what is refused
}

func (s *Server) errBodyTooLarge() error {
	return problem.New(problem.CodeBodyTooLarge, "the body is larger than server.body_limit (%d bytes)", s.bodyLimit)
}

func isTimeout(err error) bool {
	failure, ok := errors.AsType[net.Error](err)
	return ok && failure.Timeout()
}

// refusesBody reports whether a body is refused before it is read.
func (s *Server) refusesBody(header *fasthttp.RequestHeader) bool {
	return int64(header.ContentLength()) > s.bodyLimit || s.isUnknownKey(parseHeaders(header))
}

// hideBody makes fasthttp run the handler without reading the body, and without asking for it
// (Expect: 100-continue), and close the connection then. RawHeaders still shows that there is
// one.
func hideBody(header *fasthttp.RequestHeader) {
	header.Del(fiber.HeaderExpect)
	header.SetContentLength(0)
	header.SetConnectionClose()
}

// refuseHiddenBody answers a request whose body was hidden.
func (s *Server) refuseHiddenBody(c *fiber.Ctx) error {
	if c.Request().Header.ContentLength() != 0 {
		return c.Next() // it was not hidden
	}
	length, hasBody := announcedBody(c.Request().Header.RawHeaders())
	if !hasBody {
		return c.Next()
	}
	listener.LingerOn(c.Context().Conn()) // the peer may be sending it
	if length > s.bodyLimit {
		return s.errBodyTooLarge()
	}
	if _, err := s.authenticate(requestStateOf(c)); err != nil {
		return err
	}
	return errUnauthenticated // the key has become valid since
}

// announcedBody returns the Content-Length of a request's header, or 0 with a Transfer-Encoding.
func announcedBody(raw []byte) (length int64, hasBody bool) {
	for line := range bytes.Lines(raw) {
		name, value, _ := bytes.Cut(line, []byte{':'})
		switch {
		case bytes.EqualFold(name, []byte(fiber.HeaderTransferEncoding)):
			return 0, true
		case bytes.EqualFold(name, []byte(fiber.HeaderContentLength)):
			length, _ = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64) // fasthttp has checked it
			return length, length > 0
		}
	}
	return 0, false
}

// isUnknownKey reports whether a request has no key that a caller has. A body is refused then,
// whatever the route: those that need no key have no bodies.
func (s *Server) isUnknownKey(headers *requestHeaders) bool {
	key, err := presentedKey(headers)
	if err != nil || key == "" {
		return true
	}
	_, refused := s.Current().Keys.Find([]byte(key), time.Now())
	return refused != ""
}
