package gateway

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/valyala/fasthttp"

	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// replay is how a head was answered from memory, as it was sent, for as long as its recipe
// holds. Only the fields that differ each time are not in it: the request's id, the date,
// the answer's age, and what is left of the key's limit. It is not changed after it was made.
type replay struct {
	recipe weak.Pointer[recipe] // remembered has it
	clears uint64               // of remembered, when it was made
	status int
	head   []byte // status line and fields; neither those that differ, nor the empty line
	coding payload.Coding
	served *telemetry.Durations // what it is measured with
}

// differing are the fields that are not the same each time.
var differing = []string{string(ageHeader), string(rateLimit), string(requestIDHeader)}

// newReplay is the answer that was made ready of a recipe; nil if its connection does more
// than send it.
func newReplay(c *fasthttp.RequestCtx, of *recipe, body *payload.Payload, clears uint64, served *telemetry.Durations) *replay {
	if !c.Request.Header.IsHTTP11() || c.Request.Header.ConnectionClose() || c.Request.MayContinue() || c.Response.Header.ConnectionClose() {
		return nil
	}
	header := &c.Response.Header
	r := &replay{recipe: weak.Make(of), clears: clears, status: c.Response.StatusCode(), coding: payload.Identity, served: served}
	r.head = append(strconv.AppendInt([]byte("HTTP/1.1 "), int64(r.status), 10), ' ')
	r.head = append(append(r.head, fasthttp.StatusMessage(r.status)...), "\r\n"...)
	for name, value := range header.All() {
		if !slices.Contains(differing, string(name)) && !(r.status == fasthttp.StatusNotModified && string(name) == fasthttp.HeaderContentType) { // fasthttp's own, which it does not send
			r.head = appendField(r.head, name, value)
		}
	}
	if coding := header.ContentEncoding(); len(coding) > 0 {
		r.coding = payload.Coding(coding)
	}
	if r.status != fasthttp.StatusNotModified {
		bytes, _ := body.In(r.coding)
		r.head = appendField(r.head, []byte(fasthttp.HeaderContentLength), strconv.AppendInt(nil, int64(len(bytes)), 10))
	}
	return r
}

func appendField(head, name, value []byte) []byte {
	head = append(append(head, name...), ": "...)
	return append(append(head, value...), "\r\n"...)
}

// body is what is sent behind the head, and the recipe, if the answer is right still.
func (r *replay) body(remembered *remembered, now time.Time) (*recipe, []byte, bool) {
	of := r.recipe.Value()
	if of == nil || r.clears != remembered.clears.Load() || !of.holds(now) {
		return nil, nil, false
	}
	body := of.body.Value()
	if body == nil {
		return nil, nil, false
	}
	if r.status == fasthttp.StatusNotModified {
		return of, nil, true
	}
	bytes, _ := body.In(r.coding)
	return of, bytes, true
}

// replayed answers a request as its head was answered before, and reports whether it did. A
// request that cannot be answered so, at once, goes the way of all: what it is refused for
// is said there. Whoever watches sees no difference.
func (s *Server) replayed(f *front, came arrival) (bool, error) {
	u, g := came.known, s.gateway
	r := u.replay.Load()
	if r == nil || s.leaving.Load() { // a last answer ends its connection
		return false, nil
	}
	of, body, ok := r.body(g.remembered, came.at)
	if !ok {
		return false, nil
	}
	running := g.running.Add(1)
	defer g.running.Add(-1)
	caller, most := u.holder.caller, came.state.config.File.Server.MaxInflight
	if running > int64(most) {
		return false, nil
	}
	place := s.byKey.take(caller.KeyID, most, len(came.state.keys.byHash) > 1)
	if place == nil {
		return false, nil
	}
	defer s.byKey.leave(place)
	now := time.Now() // not when the request came: the limiter's time must not go back
	if caller.limit != nil && caller.limit.take(now) > 0 {
		return false, nil
	}

	x := &exchange{
		began: came.at, state: came.state, requestID: newRequestID(came.at), base: context.Background(),
		method: http.MethodGet, secure: f.secure, route: u.route.name, keyID: caller.KeyID, status: r.status, served: r.served,
	}
	s.start(x)
	g.tell(of, x)
	room := answers.Get().(*[]byte)
	defer answers.Put(room)
	head := append((*room)[:0], r.head...)
	head = appendField(head, dateHeader, s.date.at(now))
	if caller.limit != nil {
		var text [64]byte
		head = appendField(head, rateLimit, caller.limit.left(text[:0], now))
	}
	if !of.answer.oldest.IsZero() {
		var text [20]byte
		head = appendField(head, ageHeader, of.answer.age(text[:0], came.at))
	}
	head = append(appendField(head, requestIDHeader, []byte(x.requestID)), "\r\n"...)
	x.ended = now
	s.end(x)
	if err := f.send(head, body, now); err != nil {
		return false, err
	}
	return true, f.SetReadDeadline(now.Add(idleTimeout))
}

// answers are the buffers in which answers are put together.
var answers = sync.Pool{New: func() any { b := make([]byte, 0, writeBuffer); return &b }}

// send writes an answer's head, to which its body is added where there is room, and its body.
func (f *front) send(head, body []byte, now time.Time) error {
	if err := f.SetWriteDeadline(now.Add(writeTimeout)); err != nil {
		return err
	}
	f.hold()
	defer f.release()
	if len(head)+len(body) <= cap(head) {
		_, err := f.Conn.Write(append(head, body...))
		return err
	}
	if pair, ok := f.Conn.(interface {
		writeBoth(first, second []byte) error
	}); ok {
		return pair.writeBoth(head, body)
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

var dateHeader = []byte(fasthttp.HeaderDate)
