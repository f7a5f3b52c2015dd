package gateway

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// readHead is a request's head as the server reads it.
func readHead(t *testing.T, text string) *fasthttp.RequestHeader {
	t.Helper()
	var h fasthttp.RequestHeader
	if err := h.Read(bufio.NewReader(strings.NewReader(text))); err != nil {
		t.Fatal(err)
	}
	return &h
}

// TestHeadsAreToldApart: by all that is in them, and only what may be answered without a
// route is worth it.
func TestHeadsAreToldApart(t *testing.T) {
	seen := map[headHash]string{}
	for _, head := range []string{
		"GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a HTTP/1.0\r\nHost: h\r\n\r\n",
		"GET /ab HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer b\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: b\r\n\r\n",
	} {
		hash := headOf(readHead(t, head))
		if other, twice := seen[hash]; twice || hash == (headHash{}) {
			t.Errorf("%q is as %q, or nothing", head, other)
		}
		if seen[hash] = head; hash != headOf(readHead(t, head)) {
			t.Errorf("%q is not as itself", head)
		}
	}
	for _, head := range []string{
		"POST /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", maxHead) + "\r\n\r\n",
	} {
		if headOf(readHead(t, head)) != (headHash{}) {
			t.Errorf("%.40q is kept", head)
		}
	}
	var unread fasthttp.RequestHeader // of which the bytes are not there
	unread.Set("Authorization", "Bearer a")
	if headOf(&unread) != (headHash{}) {
		t.Error("a head that was not read is kept")
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
	f(1, func() reply { return b.ask("", "GET", "/openapi.json", "").wants(t, 200, "") })
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
	f := func(path string, status int, code string, headers ...string) {
		t.Helper()
		b.get(path, headers...) // nothing is in the cache before
		b.gateway.state.Load().heads.of = map[headHash]*understood{}
		b.spans.Reset()
		var seen []string
		for range 2 {
			r := b.get(path, headers...).wants(t, status, code)
			header := r.Header.Clone()
			for _, own := range []string{"X-Request-Id", "Date", "Age", "Server-Timing"} { // of each answer
				header.Del(own)
			}
			seen = append(seen, fmt.Sprint(r.StatusCode, header, len(r.text)))
		}
		if seen[0] != seen[1] {
			t.Errorf("%s\n%s\nis then\n%s", path, seen[0], seen[1])
		}
		if len(b.gateway.state.Load().heads.of) != 1 {
			t.Errorf("%s: the head is not known", path)
		}
		var spans []string
		for _, s := range b.spans.GetSpans() {
			if s.Name == "GET /v1/agents" || s.Name == "GET /v1/agents/{id}" {
				spans = append(spans, fmt.Sprint(s.Name, s.Status, s.Attributes))
			}
		}
		if len(spans) != 2 || spans[0] != spans[1] {
			t.Errorf("%s: the spans are %s", path, spans)
		}
	}
	f("/v1/agents", 200, "")
	f("/v1/agents?limit=1&order_by=name", 200, "", "Accept-Encoding: gzip")
	f("/v1/agents", 200, "", "Cache-Control: no-cache")
	f("/v1/agents/klen:123", 200, "")
	f("/v1/agents/klen:123", 304, "", "If-None-Match: *")
	f("/v1/agents/klen:nobody", 404, "agent_not_found")
}

// TestHeadsOfAKeyThatEnds: a head is not known before its key is valid, or after.
func TestHeadsOfAKeyThatEnds(t *testing.T) {
	now := time.Now()
	h, head := newHeads(), headHash{1}
	h.keep(head, &understood{holder: &keyEntry{notBefore: now, expiresAt: now.Add(time.Hour)}})
	for after, want := range map[time.Duration]bool{-1: false, 0: true, time.Hour - 1: true, time.Hour: false} {
		if got := h.find(head, now.Add(after)) != nil; got != want {
			t.Errorf("after %s it is known: %t", after, got)
		}
	}
}

// TestHeadsAreBounded: however many different ones come.
func TestHeadsAreBounded(t *testing.T) {
	h := newHeads()
	for i := range 3 * maxHeads {
		h.keep(headHash{1, byte(i), byte(i >> 8)}, &understood{})
	}
	if len(h.of) > maxHeads || len(h.of) == 0 {
		t.Errorf("%d are kept", len(h.of))
	}
}
