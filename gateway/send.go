package gateway

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// answers are the buffers in which answers are put together.
var answers = sync.Pool{New: func() any { b := make([]byte, 0, writeBuffer); return &b }}

// send writes an answer's head, to which its body is added where there is room, and its body.
func (f *front) send(head, body []byte, now time.Time) error {
	if err := f.SetWriteDeadline(now.Add(writeTimeout)); err != nil {
		return err
	}
	if len(head)+len(body) <= cap(head) {
		_, err := f.Conn.Write(append(head, body...))
		return err
	}
	if guarded, ok := f.Conn.(*guardedConn); ok {
		return guarded.writeBoth(head, body)
	}
	if _, err := f.Conn.Write(head); err != nil {
		return err
	}
	_, err := f.Conn.Write(body)
	return err
}

// date is the field that says when an answer was made (RFC 9110, 6.6.1), made once a second.
// It is safe for concurrent use.
type date struct{ last atomic.Pointer[dated] }

type dated struct {
	second int64 // since 1970
	text   []byte
}

func (d *date) at(now time.Time) []byte {
	if last := d.last.Load(); last != nil && last.second == now.Unix() {
		return last.text
	}
	next := &dated{now.Unix(), fasthttp.AppendHTTPDate(nil, now)}
	d.last.Store(next)
	return next.text
}

// appendOwn appends the fields of an answer that differ each time, and the empty line.
func (s *Server) appendOwn(head []byte, x *exchange, last bool) []byte {
	var text [64]byte
	head = appendField(head, dateHeader, s.date.at(x.ended))
	if !x.answer.oldest.IsZero() {
		head = appendField(head, ageHeader, age(text[:0], x.answer.oldest, x.ended))
	}
	if x.limit != nil {
		head = appendField(head, rateLimitPolicy, x.limit.policy)
		head = appendField(head, rateLimit, x.limit.left(text[:0], x.ended))
	}
	if last {
		head = appendField(head, connectionHeader, connectionClose)
	}
	return append(appendField(head, requestIDHeader, []byte(x.requestID)), "\r\n"...)
}
