package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// replaying asks until a path is replayed for reader, and returns how often it was asked.
func (b *bench) replaying(path string) (asked int) {
	b.t.Helper()
	for asked = 1; asked < 9; asked++ {
		handled := b.handled.Load()
		b.ask(keyRead, "GET", path, "").wants(b.t, 200, "")
		if b.handled.Load() == handled {
			return asked
		}
	}
	b.t.Fatalf("%s is not replayed", path)
	return asked
}

// TestReplaysCount: each is counted for its key, and what is above a limit is refused.
func TestReplaysCount(t *testing.T) {
	b := newBench(t, "")
	b.reload("  - id: reader\n", "  - id: reader\n    rate_limit: {requests: 20, per: 1h}\n")
	asked := b.replaying(krosaiAgent)
	for asked < 20 {
		handled := b.handled.Load()
		r := b.ask(keyRead, "GET", krosaiAgent, "").wants(t, 200, "")
		asked++
		if want := fmt.Sprintf(`"key";r=%d;t=%d`, 20-asked, 180*asked); r.Header.Get("RateLimit") != want || r.Header.Get("RateLimit-Policy") != `"key";q=20;w=3600` || b.handled.Load() != handled {
			t.Errorf("%q, want %q", r.Header.Get("RateLimit"), want)
		}
	}
	for range 3 {
		b.ask(keyRead, "GET", krosaiAgent, "").wants(t, 429, "rate_limited")
	}
	waitFor(t, "the log", func() bool { return b.answered() == 23 })
	for text, times := range map[string]int{
		`"route":"/v1/agents/{id}","status":200`: 20, `"sources":"krosai=hit","code":""`: 19, `"sources":"krosai=miss","code":""`: 1, `"code":"rate_limited"`: 3,
	} {
		if got := strings.Count(b.log.String(), text); got != times {
			t.Errorf("%d lines have %s, want %d", got, text, times)
		}
	}
	for _, line := range []string{
		`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/v1/agents/{id}",url_scheme="http"} 20`,
		`agentgw_cache_requests_total{backend="krosai",result="hit"} 19`,
	} {
		if !strings.Contains(b.metrics(), line+"\n") {
			t.Errorf("there is no %s", line)
		}
	}
	view := b.gateway.journal.View(0, 0, 1)
	if n := len(view.Requests); n != 23 {
		t.Errorf("the journal has %d", n)
	}
}

// TestReplaysAreBounded: no more of them run at once than of others.
func TestReplaysAreBounded(t *testing.T) {
	b := newBench(t, "")
	b.replaying(krosaiAgent)
	b.gateway.running.Add(2048)
	b.ask(keyRead, "GET", krosaiAgent, "").wants(t, 503, "overloaded")
	b.gateway.running.Add(-2048)
	b.ask(keyRead, "GET", krosaiAgent, "").wants(t, 200, "")
	key, taken := b.gateway.byKey.of(keyRead), 0
	for b.gateway.byKey.take(key, 2048, true) {
		taken++
	}
	b.ask(keyRead, "GET", krosaiAgent, "").wants(t, 503, "overloaded")
	for range taken {
		b.gateway.byKey.leave(key)
	}
	handled := b.handled.Load()
	b.ask(keyRead, "GET", krosaiAgent, "").wants(t, 200, "")
	if b.handled.Load() != handled || b.inFlight() != 0 || b.gateway.byKey.running() != 0 {
		t.Errorf("%d in flight, %d places taken", b.inFlight(), b.gateway.byKey.running())
	}
}

// TestReplaysEnd: with the key, its scope and its credential, when their backend is gone,
// and when the server leaves.
func TestReplaysEnd(t *testing.T) {
	b := newBench(t, "")
	begin := func() { b.reload(); b.replaying(krosaiAgent) }
	begin()
	b.reload("  - id: reader\n", "  - id: another\n")
	b.ask(keyRead, "GET", krosaiAgent, "").wants(t, 200, "") // the same key by another name
	begin()
	b.reload("    scopes: [agents:read]\n", "    scopes: [aliases:write]\n")
	b.ask(keyRead, "GET", krosaiAgent, "").wants(t, 403, "scope_missing")
	begin()
	b.reload("  - id: reader\n", fmt.Sprintf("  - id: reader\n    expires_at: %s\n", time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano)))
	waitFor(t, "the key to expire", func() bool {
		return b.ask(keyRead, "GET", krosaiAgent, "").StatusCode == 401
	})
	begin()
	b.server.Drain(0)
	if r := b.ask(keyRead, "GET", krosaiAgent, "").wants(t, 200, ""); !r.Close {
		t.Error("the last answer does not end its connection")
	}
}

// TestRefusalsAreTheSame: what is refused before its route is found is, too, where its head is
// known.
func TestRefusalsAreTheSame(t *testing.T) {
	b := newBench(t, "")
	b.reload("max_inflight: 2048", `max_inflight: 2048, cors: {origins: ["https://a.example"]}`)
	overloaded := func() string {
		t.Helper()
		b.gateway.running.Add(2048)
		defer b.gateway.running.Add(-2048)
		b.spans.Reset()
		r := b.ask(keyRead, "GET", krosaiAgent, "").wants(t, 503, "overloaded")
		for _, own := range []string{"X-Request-Id", "Date"} {
			r.Header.Del(own)
		}
		waitFor(t, "the span", func() bool { return len(b.spans.GetSpans()) == 1 })
		s := b.spans.GetSpans()[0]
		return fmt.Sprint(r.Header, s.Name, s.Attributes)
	}
	before := overloaded()
	b.replaying(krosaiAgent)
	handled := b.handled.Load()
	if after := overloaded(); after != before || b.handled.Load() != handled {
		t.Errorf("%s\nwas\n%s", after, before)
	}
}

// TestReplaysKeepTheirRecipe: what is asked for most is not what is forgotten first.
func TestReplaysKeepTheirRecipe(t *testing.T) {
	b := newBench(t, "")
	b.replaying(krosaiAgent)
	b.get("/v1/agents/klen:123")
	b.get("/v1/agents/klen:123")
	lru := b.gateway.remembered.lru
	oldest := func() string {
		b.gateway.remembered.mu.Lock()
		defer b.gateway.remembered.mu.Unlock()
		w, _, _ := lru.GetOldest()
		return w.id
	}
	if !strings.Contains(krosaiAgent, oldest()) {
		t.Fatal("not the order of a test")
	}
	waitFor(t, "the replayed one to be a later one", func() bool {
		b.ask(keyRead, "GET", krosaiAgent, "").wants(t, 200, "")
		return !strings.Contains(krosaiAgent, oldest())
	})
}
