package upstream

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/agentgw/agentgw/adapters"
)

const (
	// maxResponseHeaderBytes bounds what a backend's headers can cost us.
	maxResponseHeaderBytes = 64 << 10
	// maxAhead bounds the memory that is taken for a body on its announced length
	// alone.
	maxAhead = 1 << 20
	// maxInterim is how many 1xx answers may come before the answer (RFC 9110, section 15.2).
	maxInterim = 5
)

var (
	errTooLarge       = errors.New("body over max_response_bytes")
	errHeadersTooLong = errors.New("headers over 64 KiB")
	errInterim        = errors.New("too many 1xx answers")
	errSwitched       = errors.New("101 Switching Protocols")
	errUnsent         = errors.New("answered before all of the request was sent")
	errNotQuiet       = errors.New("hung up, or said something unasked, before the request")
	errTarget         = errors.New("the path or the query is not escaped")
	errHeader         = errors.New("a header has bytes that HTTP does not allow")
)

var (
	// heads are the buffers in which heads of requests are put together.
	heads = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}
	// bodies are those of answers that are lent.
	bodies = sync.Pool{New: func() any { return new([]byte) }}
)

// appendHead appends the head of a request: its first line and its headers. The path stays
// escaped as it is. Nothing but what was validated gets in, so that no value can add a line.
func (c *Client) appendHead(h []byte, req *adapters.Request) ([]byte, error) {
	h = append(h, req.Method...)
	h = append(h, ' ')
	h = append(h, c.target...)
	h = append(h, req.Path...)
	if len(req.Query) > 0 {
		h = append(h, '?')
		h = append(h, req.Query.Encode()...)
	}
	if bytes.ContainsFunc(h[len(req.Method)+1:], notInTarget) {
		return nil, errTarget
	}
	h = append(h, " HTTP/1.1\r\n"...)
	h = append(h, c.always...)
	for _, f := range req.Header {
		if !httpguts.ValidHeaderFieldName(f.Name) || !httpguts.ValidHeaderFieldValue(f.Value) {
			return nil, errHeader
		}
		h = appendHeader(h, f.Name, f.Value)
	}
	if req.Body != nil {
		h = append(h, "Content-Type: application/json\r\n"...)
	}
	// A length goes with every method that may have a body (RFC 9110, section 8.6).
	if req.Body != nil || req.Method != http.MethodGet && req.Method != http.MethodDelete {
		h = append(h, "Content-Length: "...)
		h = strconv.AppendInt(h, int64(len(req.Body)), 10)
		h = append(h, "\r\n"...)
	}
	return append(h, "\r\n"...), nil
}

// notInTarget: spaces and control characters would end the target, and others are escaped
// (RFC 9112, section 3.2).
func notInTarget(r rune) bool { return r <= ' ' || r >= 0x7f }

func appendHeader(h []byte, name, value string) []byte {
	h = append(h, name...)
	h = append(h, ": "...)
	h = append(h, value...)
	return append(h, "\r\n"...)
}

// headers are those that every request to the backend has.
func (o Options) headers(proxyAuthorization string) []byte {
	h := appendHeader(nil, "Host", withoutZone(o.BaseURL.Host))
	h = appendHeader(h, "User-Agent", o.UserAgent)
	h = appendHeader(h, "Accept", "application/json")
	h = appendHeader(h, "Accept-Encoding", "gzip")
	if proxyAuthorization != "" {
		h = appendHeader(h, "Proxy-Authorization", proxyAuthorization)
	}
	return h
}

// withoutZone is a host without an IPv6 zone, which is only of use here (RFC 6874, section 1).
func withoutZone(host string) string {
	address, port, ok := strings.Cut(host, "]")
	address, _, _ = strings.Cut(address, "%")
	if !ok {
		return host
	}
	return address + "]" + port
}

// conn is a connection, for one request at a time.
type conn struct {
	net.Conn                 // TLS, if the backend's is
	tcp      net.Conn        // below all
	raw      syscall.RawConn // its; nil if there is none
	look     look            // at what is there of raw, and the request behind it
	in       *bufio.Reader
	room     int64     // bytes that may yet be read of headers
	last     bool      // nothing can come after this answer
	since    time.Time // when it began to wait
}

// newConn makes one of c, which tcp is below.
func newConn(c, tcp net.Conn) *conn {
	made := &conn{Conn: c, tcp: tcp}
	if under, ok := tcp.(syscall.Conn); ok {
		made.raw, _ = under.SyscallConn() // fails if it is closed: the first write will say so
	}
	made.in = bufio.NewReader(made)
	return made
}

// hangUp closes the connection without a farewell: TLS' would be waited for, up to 5 s, where
// the backend does not read.
func (c *conn) hangUp() { _ = c.tcp.Close() } // there is nobody to tell

// Read keeps what the headers take within bounds.
func (c *conn) Read(p []byte) (int, error) {
	if c.room <= 0 {
		return 0, errHeadersTooLong
	}
	n, err := c.Conn.Read(p)
	c.room -= int64(n)
	return n, err
}

// longAgo is a deadline that ends what reads and writes now.
var longAgo = time.Unix(1, 0)

// bind has the connection's reads and writes end with ctx. release ends that, and reports
// whether the connection was left alone.
func (c *conn) bind(ctx context.Context) (release func() bool) {
	if ctx.Value(adapters.Uninterrupted{}) != nil || ctx.Done() == nil { // the deadline that is set is enough
		return undisturbed
	}
	return context.AfterFunc(ctx, func() { _ = c.SetDeadline(longAgo) }) // fails if it is closed, which is as good
}

func undisturbed() bool { return true }

// clean says that the next answer will be the next request's: nothing has come that was not
// read. TLS may have some in a buffer of its own; a read whose time is over sees that, and
// nothing later.
func (c *conn) clean() bool {
	if c.last || c.in.Buffered() > 0 {
		return false
	}
	if secured, ok := c.Conn.(*tls.Conn); ok {
		_ = secured.SetReadDeadline(longAgo) // fails if it is closed: then the read does
		_, err := c.in.Peek(1)
		return errors.Is(err, os.ErrDeadlineExceeded)
	}
	return true
}

// do sends the request and reads the whole answer; limit is in bytes of its body after
// decompression. An error says nothing of how far it came: the trip does. With errNotQuiet
// nothing was sent.
func (c *conn) do(t *trip, head, body []byte, limit int64) (answer adapters.Response, err error) {
	t.stage = sent
	message := append(head, body...) // in one system call, if it is small
	var unsent error
	switch {
	case t.reused && len(message) <= sentAtOnce:
		if unsent = c.ask(message); unsent == errNotQuiet {
			return adapters.Response{}, errNotQuiet
		}
		answer, err = c.receive(t, limit)
	case len(message) <= sentAtOnce:
		_, unsent = c.Write(message)
		answer, err = c.receive(t, limit)
	case t.reused && !quiet(c):
		return adapters.Response{}, errNotQuiet
	default:
		end := c.write(message)
		answer, err = c.receive(t, limit)
		unsent = end()
	}
	if unsent != nil {
		c.last = true
		if err != nil {
			err = errors.Join(unsent, err)
		}
	}
	return answer, err
}

// sentAtOnce is what a connection takes without waiting for the other side, in bytes.
const sentAtOnce = 16 << 10

// write begins to send a large message. A backend may refuse it before it has read all of it:
// it is sent while the answer is waited for. end is to be called then, ends the writing, and
// says what became of it.
func (c *conn) write(message []byte) (end func() error) {
	written := make(chan error, 1)
	go func() {
		_, err := c.Write(message)
		written <- err
	}()
	return func() error {
		select {
		case err := <-written:
			return err
		default:
			_ = c.SetWriteDeadline(longAgo) // fails if it is closed, which is as good
			if <-written != nil {
				return errUnsent // and not that its time was over
			}
			return nil
		}
	}
}

// answerHead is what an answer's head says.
type answerHead struct {
	status int
	fields adapters.Header
	length int64     // of the body as it is sent; -1: it ends by itself
	body   io.Reader // no more than the length is to be read of it
	last   bool      // no other answer can follow
}

// receive reads an answer.
func (c *conn) receive(t *trip, limit int64) (answer adapters.Response, err error) {
	c.room = maxResponseHeaderBytes
	if _, err := c.in.Peek(1); err != nil {
		return adapters.Response{}, err
	}
	t.stage = answered
	head, ok := plain(c.in)
	if !ok {
		if head, err = c.answer(); err != nil {
			return adapters.Response{}, err
		}
	}
	c.last = head.last
	answer.Status, answer.Header = head.status, head.fields
	if head.status == http.StatusSwitchingProtocols { // its body is the bare connection
		return answer, errSwitched
	}
	t.stage = inBody
	c.room = math.MaxInt64
	var room []byte
	if t.lent != nil {
		room = *t.lent
	}
	answer.Body, err = head.readBody(limit, room)
	if size := cap(answer.Body); t.lent != nil && size > 0 && size <= maxAhead { // a larger one is not kept for the next
		*t.lent, answer.BodyLent = answer.Body, true
	}
	return answer, err
}

// answer reads the head of whatever net/http takes for an answer, past those that only announce
// it.
func (c *conn) answer() (answerHead, error) {
	for range maxInterim + 1 {
		resp, err := http.ReadResponse(c.in, nil)
		if err != nil {
			return answerHead{}, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return answerHead{resp.StatusCode, fieldsOf(resp.Header), resp.ContentLength, resp.Body, resp.Close}, nil
		}
	}
	return answerHead{}, errInterim
}

func fieldsOf(header http.Header) (fields adapters.Header) {
	for name, values := range header {
		for _, value := range values {
			fields = append(fields, adapters.Field{Name: name, Value: value})
		}
	}
	return fields
}

// readBody reads the body to its end, decompressed, into the room if there is enough.
func (h answerHead) readBody(limit int64, room []byte) ([]byte, error) {
	body := h.body
	switch {
	case strings.EqualFold(h.fields.Get("Content-Encoding"), "gzip"):
		z := unzippers.Get().(*gzip.Reader)
		defer func() {
			_ = z.Reset(strings.NewReader("")) // it holds on to nothing; there is no header to read
			unzippers.Put(z)
		}()
		switch err := z.Reset(body); {
		case err == io.EOF: // no body at all
			return nil, nil
		case err != nil:
			return nil, err
		}
		body = z
	case h.length == 0:
		return nil, nil
	case h.length > limit:
		return nil, errTooLarge
	case h.length > 0 && h.length <= maxAhead:
		room = slices.Grow(room[:0], int(h.length))[:h.length]
		if _, err := io.ReadFull(body, room); err != nil {
			return nil, err
		}
		return room, nil
	}
	buf := bytes.NewBuffer(room[:0])
	if h.length > maxAhead {
		buf.Grow(maxAhead)
	}
	// One byte over the limit tells "full" from "too large".
	if _, err := buf.ReadFrom(io.LimitReader(body, limit+1)); err != nil {
		return nil, err
	}
	if int64(buf.Len()) > limit {
		return nil, errTooLarge
	}
	return buf.Bytes(), nil
}

var unzippers = sync.Pool{New: func() any { return new(gzip.Reader) }}
