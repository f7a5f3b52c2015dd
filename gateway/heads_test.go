package gateway

import (
	"bufio"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// plain is the head of a request with nothing special.
func plain(t *testing.T) *fasthttp.RequestHeader {
	t.Helper()
	var h fasthttp.RequestHeader
	if err := h.Read(bufio.NewReader(strings.NewReader("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"))); err != nil {
		t.Fatal(err)
	}
	return &h
}

// TestSizeOfHeads: that of a head is what came of it, to the byte, and one that more may
// follow has none.
func TestSizeOfHeads(t *testing.T) {
	for head, known := range map[string]bool{
		"GET /a HTTP/1.1\r\nHost: h\r\n\r\n":                                                    true,
		"GET /a HTTP/1.0\r\nHost: h\r\n\r\n":                                                    true,
		"GET http://h/a?b=%20#c HTTP/1.1\r\nhost:h\r\nX-A:  b \r\nX-A:\r\n\r\n":                 true,
		"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n":       true,
		"\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n":                                                false,
		"GET  /a HTTP/1.1\r\nHost: h\r\n\r\n":                                                   false,
		"GET /a HTTP/1.1\nHost: h\n\n":                                                          false,
		"POST /a HTTP/1.1\r\nHost: h\r\n\r\n":                                                   false,
		"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n":                                                   false,
		"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n":                               false,
		"GET /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n":                      false,
		"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": false,
	} {
		var read fasthttp.RequestHeader
		if err := read.Read(bufio.NewReader(strings.NewReader(head))); err != nil {
			if known {
				t.Errorf("%q: %v", head, err)
			}
			continue
		}
		if got := headSize(&read); (got == len(head)) != known || !known && got != 0 && got >= len(head) {
			t.Errorf("%q has %d bytes: %d", head, len(head), got)
		}
	}
	var unread fasthttp.RequestHeader // of which the bytes are not there
	unread.Set("Authorization", "Bearer a")
	if s := headSize(&unread); s == len("GET / HTTP/1.1\r\nAuthorization: Bearer a\r\n\r\n") {
		t.Errorf("a head that was not read has %d bytes", s)
	}
}

// TestGlimpses: heads are told apart by all that is in them, but for what is another one each
// time; and a line that may be taken for two is not left out.
func TestGlimpses(t *testing.T) {
	const first, rest = "GET /a HTTP/1.1\r\n", "Host: h\r\nAuthorization: Bearer a\r\n\r\n"
	plain, ok := glimpseOf([]byte(first + rest))
	if !ok {
		t.Fatal("a plain head is nothing")
	}
	for lines, want := range map[string]ids{
		"X-Request-Id: one\r\n":                                     {request: []byte("one")},
		"x-request-id:two \t\r\n":                                   {request: []byte("two")},
		"X-Request-Id:\r\nX-Request-Id: b\r\n":                      {request: []byte{}},
		"traceparent: 00-a-b-01\r\ntracestate: c=d\r\n":             {traceparent: []byte("00-a-b-01"), tracestate: []byte("c=d")},
		"X-Forwarded-For: 192.0.2.1\r\nX-Amzn-Trace-Id: Root=1\r\n": {},
	} {
		for _, head := range []string{first + lines + rest, first + rest[:len(rest)-2] + lines + "\r\n"} {
			got, ok := glimpseOf([]byte(head))
			if !ok || got.hash != plain.hash || !reflect.DeepEqual(got.ids, want) {
				t.Errorf("%q: %t, or another hash, or %q", head, ok, got.ids)
			}
		}
	}
	seen := map[headHash]string{plain.hash: "plain"}
	for _, head := range []string{
		"GET /a HTTP/1.0\r\n" + rest,
		"GET /ab HTTP/1.1\r\n" + rest,
		"GET /a?b HTTP/1.1\r\n" + rest,
		first + "Host: h\r\nAuthorization: Bearer b\r\n\r\n",
		first + "Host: h\r\nX-Api-Key: a\r\n\r\n",
		first + "X-Other: 1\r\n" + rest,
		first + "Content-Length: 1\r\n" + rest,
		first + "Connection: close\r\n" + rest,
		first + "X-Request-Id : one\r\n" + rest,
		first + " X-Request-Id: one\r\n" + rest,
		first + "X-Request-Id: one\n" + rest,
		first + "X-Request-Id: one\nContent-Length: 1\r\n" + rest,
		first + "X-Request-Id: one\rContent-Length: 1\r\n" + rest,
		first + "X-Request-Id: one\x00\r\n" + rest,
		first + "X-Request-Id: one\r\n two\r\n" + rest,
		first + "X-Request-Id\r\n" + rest,
		first + rest + first + rest,
		first + "X-Request-Id: one\r\n\r\n" + first + rest,
	} {
		g, ok := glimpseOf([]byte(head))
		if other, twice := seen[g.hash]; !ok || twice {
			t.Errorf("%q is as %q, or nothing", head, other)
		}
		seen[g.hash] = head
	}
	for _, head := range []string{
		"", "\r\n\r\n", "POST /a HTTP/1.1\r\n" + rest, "HEAD /a HTTP/1.1\r\n" + rest, "\r\n" + first + rest, first + "Host: h\r\n", first + "Host: h\n\n",
		first + "X: " + strings.Repeat("x", maxHashed) + "\r\n" + rest,
		first + "X-Request-Id: " + strings.Repeat("x", maxHead) + "\r\n" + rest,
	} {
		if _, ok := glimpseOf([]byte(head)); ok {
			t.Errorf("%.40q is a head", head)
		}
	}
}

// TestWhatChangesIsNotHeeded: of the fields that are left out of a head's hash, none has a say
// in an answer, but those that are read.
func TestWhatChangesIsNotHeeded(t *testing.T) {
	for length, names := range eachTime {
		for _, name := range names {
			read := name == "X-Request-Id" || name == "Traceparent" || name == "Tracestate"
			if slices.Contains(heeded, name) != read || len(name) != length || http.CanonicalHeaderKey(name) != name {
				t.Errorf("%s is heeded", name)
			}
		}
	}
}

// TestIDsOfKnownHeads: a request whose head is known but for its ids has its own.
func TestIDsOfKnownHeads(t *testing.T) {
	b := newBench(t, "")
	for range 3 {
		b.get("/v1/agents/klen:123")
	}
	for i := range 3 {
		b.spans.Reset()
		handled, id := b.handled.Load(), fmt.Sprint("request-", i)
		trace := fmt.Sprintf("0af7651916cd43dd8448eb211c8031%02d", i)
		r := b.get("/v1/agents/klen:123", "X-Request-Id: "+id, "traceparent: 00-"+trace+"-b7ad6b7169203331-01", "tracestate: a=b", "X-Forwarded-For: 192.0.2."+id).wants(t, 200, "")
		if r.Header.Get("X-Request-Id") != id || b.handled.Load() != handled {
			t.Errorf("%q, or it came to a handler", r.Header.Get("X-Request-Id"))
		}
		waitFor(t, "the span", func() bool { return len(b.spans.GetSpans()) == 1 })
		s := b.spans.GetSpans()[0]
		if s.Parent.SpanID().String() != "b7ad6b7169203331" || s.SpanContext.TraceID().String() != trace || s.SpanContext.TraceState().String() != "a=b" || !s.Parent.IsRemote() {
			t.Errorf("span %v below %v", s.SpanContext, s.Parent)
		}
		waitFor(t, "the line", func() bool {
			return strings.Contains(b.log.String(), `"request_id":"`+id+`"`) && strings.Contains(b.log.String(), `"trace_id":"`+trace+`"`)
		})
	}
	handled := b.handled.Load()
	if r := b.get("/v1/agents/klen:123", "X-Request-Id: not one").wants(t, 200, ""); r.Header.Get("X-Request-Id") == "not one" || b.handled.Load() != handled {
		t.Errorf("%q, or it came to a handler", r.Header.Get("X-Request-Id"))
	}
}

// TestHeadsThatAreKept: what may come again is kept, what was refused is not, and a reload
// begins anew.
func TestHeadsThatAreKept(t *testing.T) {
	b := newBench(t, "")
	heads := func() int {
		h := b.gateway.state.Load().heads
		h.mu.RLock()
		defer h.mu.RUnlock()
		return len(h.of)
	}
	f := func(more int, ask func() reply) {
		t.Helper()
		before := heads()
		for range 3 {
			ask()
		}
		if got := heads() - before; got != more {
			t.Errorf("%d heads more are kept, want %d", got, more)
		}
	}
	f(1, func() reply { return b.get("/v1/agents").wants(t, 200, "") })
	f(1, func() reply { return b.ask(keyRead, "GET", "/v1/agents", "").wants(t, 200, "") })
	f(1, func() reply { return b.get("/v1/agents", "Cache-Control: no-cache").wants(t, 200, "") })
	f(1, func() reply { return b.get("/v1/agents", "Prefer: handling=strict").wants(t, 200, "") })
	f(1, func() reply { return b.get("/v1/agents/klen:123", "If-None-Match: *").wants(t, 304, "") })
	f(1, func() reply { return b.get("/v1/agents/klen:nobody").wants(t, 404, "agent_not_found") })
	f(0, func() reply { return b.ask("", "GET", "/openapi.json", "").wants(t, 200, "") })
	f(0, func() reply { return b.get("/v1/agents", "X-Request-Id: a").wants(t, 200, "") })
	f(0, func() reply { return b.get("/v1/agents", "Origin: https://a.example").wants(t, 200, "") })
	f(0, func() reply {
		return b.get("/v1/agents", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").wants(t, 200, "")
	})
	f(0, func() reply { return b.ask("", "GET", "/v1/agents", "").wants(t, 401, "unauthenticated") })
	f(0, func() reply { return b.get("/v1/agents?sort=name").wants(t, 400, "invalid_parameter") })
	f(0, func() reply { return b.get("/v1/agents", "Accept: text/html").wants(t, 406, "not_acceptable") })
	f(0, func() reply { return b.get("/nowhere").wants(t, 404, "not_found") })
	f(0, func() reply { return b.ask(keyAcme, "HEAD", "/v1/agents", "").wants(t, 200, "") })
	b.reload()
	if heads() != 0 {
		t.Error("a reload keeps heads")
	}
}

// TestKnownHeadsAreServedAsOthers: a head that came before is answered as it was the first
// time, and seen by operators as it was.
func TestKnownHeadsAreServedAsOthers(t *testing.T) {
	b := newBench(t, "")
	const asked = 5
	f := func(path string, handlers int64, status int, code string, headers ...string) {
		t.Helper()
		b.get(path, headers...) // nothing is in the cache before
		b.get(path, headers...)
		b.gateway.state.Load().heads.of = map[headHash]*understood{}
		b.spans.Reset()
		var seen []string
		handled := b.handled.Load()
		for range asked {
			r := b.get(path, headers...).wants(t, status, code)
			header := r.Header.Clone()
			for _, own := range []string{"X-Request-Id", "Date", "Age", "Server-Timing"} { // of each answer
				header.Del(own)
			}
			seen = append(seen, fmt.Sprint(r.StatusCode, header, len(r.text)))
		}
		if same := slices.Compact(slices.Clone(seen)); len(same) != 1 {
			t.Errorf("%s\n%s", path, strings.Join(same, "\nis then\n"))
		}
		if got := b.handled.Load() - handled; got != handlers {
			t.Errorf("%s: %d of %d came to a handler, want %d", path, got, asked, handlers)
		}
		var spans []string
		for _, s := range b.spans.GetSpans() {
			if s.Name == "GET /v1/agents" || s.Name == "GET /v1/agents/{id}" {
				spans = append(spans, fmt.Sprint(s.Name, s.Status, s.Attributes))
			}
		}
		if len(spans) != asked || len(slices.Compact(spans)) != 1 {
			t.Errorf("%s: the spans are %s", path, spans)
		}
	}
	const first, each = 1, asked // is read
	f("/v1/agents", first, 200, "")
	f("/v1/agents?limit=1&order_by=name", first, 200, "", "Accept-Encoding: gzip")
	f("/v1/agents", first, 200, "", "Accept-Encoding: zstd")
	f("/v1/agents", first, 304, "", "If-None-Match: *")
	f("/v1/agents", first, 200, "", "Cache-Control: no-cache")
	f("/v1/agents", first, 200, "", "Prefer: handling=lenient")
	f("/v1/agents/klen:123", first, 200, "")
	f("/v1/agents/klen:123", first, 304, "", "If-None-Match: *")
	f("/v1/agents/klen:nobody", first, 404, "agent_not_found")
	f("/v1/agents/klen:123", each, 200, "", "Connection: close")
	b.reload("max_inflight: 2048", `max_inflight: 2048, cors: {origins: ["https://a.example"]}`)
	f("/v1/agents", first, 200, "")
}

// TestHeadsOfAKeyThatEnds: a head is not known before its key is valid, or after.
func TestHeadsOfAKeyThatEnds(t *testing.T) {
	now := time.Now()
	h, head := newHeads(), headHash{1}
	h.keep(head, &understood{holder: &keyEntry{notBefore: now, expiresAt: now.Add(time.Hour)}}, plain(t), 0)
	for after, want := range map[time.Duration]bool{-1: false, 0: true, time.Hour - 1: true, time.Hour: false} {
		if got := h.find(head, now.Add(after)) != nil; got != want {
			t.Errorf("after %s it is known: %t", after, got)
		}
	}
}

// TestHeadsAreBounded: however many different ones come.
func TestHeadsAreBounded(t *testing.T) {
	h, head := newHeads(), plain(t)
	holders := make([]*keyEntry, 3*maxHeads/maxOfKey)
	for i := range holders {
		holders[i] = &keyEntry{}
	}
	for i := range 3 * maxHeads {
		for range 2 {
			h.keep(headHash{1, byte(i), byte(i >> 8)}, &understood{holder: holders[i%len(holders)]}, head, 0)
		}
	}
	kept := 0
	for _, of := range h.byKey {
		kept += len(of)
	}
	if len(h.of) > maxHeads || len(h.of) == 0 || kept != len(h.of) {
		t.Errorf("%d are kept, %d of keys", len(h.of), kept)
	}
}

// TestHeadsOfOneKeyAreBounded: one key, or none, does not have the others' forgotten.
func TestHeadsOfOneKeyAreBounded(t *testing.T) {
	h, head := newHeads(), plain(t)
	mine, greedy := &keyEntry{}, &keyEntry{}
	h.keep(headHash{1}, &understood{holder: mine}, head, 0)
	for i := range 2 * maxHeads {
		h.keep(headHash{2, byte(i), byte(i >> 8)}, &understood{holder: greedy}, head, 0)
		h.keep(headHash{3, byte(i), byte(i >> 8)}, &understood{}, head, 0)
	}
	if h.find(headHash{1}, time.Now()) == nil || len(h.of) > 1+maxOfKey {
		t.Errorf("%d are kept, or not the one of another key", len(h.of))
	}
}
