package gateway

import (
	"runtime"
	"slices"
	"testing"
	"time"
)

const marked = `marked;dur=0.0;desc="hit"`

// mark has every answer that is remembered now show it, and its replays, which are made anew.
func (b *bench) mark() {
	r := b.gateway.remembered
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range r.lru.Values() {
		if len(known.answer.timing) > 0 {
			known.answer.timing = []byte(marked)
		}
	}
	heads := b.gateway.state.Load().heads
	heads.mu.RLock()
	defer heads.mu.RUnlock()
	for _, u := range heads.of {
		u.replay.Store(nil)
	}
}

// again asks until the answer is remembered, and marks it.
func (b *bench) again(paths ...string) {
	b.t.Helper()
	for range 2 { // what the first one has kept the second one is served from
		for _, path := range paths {
			b.get(path).wants(b.t, 200, "")
		}
	}
	b.mark()
	for _, path := range paths {
		b.isMarked(b.get(path), true)
		handled := b.handled.Load()
		b.isMarked(b.get(path), true)
		if b.handled.Load() != handled {
			b.t.Errorf("%s is not replayed", path)
		}
	}
}

func (b *bench) isMarked(r reply, want bool) reply {
	b.t.Helper()
	if got := r.Header.Get("Server-Timing") == marked; got != want {
		b.t.Errorf("%s %s: answered as before is %v, want %v", r.Request.Method, r.Request.URL, got, want)
	}
	return r
}

// TestAnsweredAgain: what was answered before is the same answer, in every form of it, and
// only to the same wish.
func TestAnsweredAgain(t *testing.T) {
	b := newBench(t, "")
	for _, path := range []string{"/v1/agents", "/v1/agents?backend=krosai,klen&limit=3&order_by=-name", "/v1/agents?view=full&backend=klen", krosaiAgent, "/v1/agents/talkifai:agent_abc123", "/v1/agents/klen:123"} {
		b.again(path)
		first := b.get(path)
		for _, changes := range []string{"Server-Timing", "Date", "X-Request-Id", "Age"} {
			first.Header.Del(changes)
		}
		etag := first.Header.Get("ETag")
		b.isMarked(b.ask(keyAcme, "HEAD", path, ""), true)
		if r := b.isMarked(b.get(path, "If-None-Match: "+etag), true); r.StatusCode != 304 || r.text != "" {
			t.Errorf("%s: %d with its own tag", path, r.StatusCode)
		}
		if r := b.isMarked(b.get(path, "Accept-Encoding: gzip"), true); len(first.text) > 2<<10 && r.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s is not compressed", path)
		}
		// The same as it is made of what is kept.
		b.gateway.remembered.clear()
		made := b.isMarked(b.get(path), false)
		for name, values := range first.Header {
			if !slices.Equal(values, made.Header[name]) {
				t.Errorf("%s: %s is %q, was %q", path, name, values, made.Header[name])
			}
		}
		if made.text != first.text || made.Header.Get("Age") == "" {
			t.Errorf("%s: %s\nwas %s", path, first.text, made.text)
		}
	}
	b.again("/v1/agents", "/v1/agents?limit=5", krosaiAgent)
	b.isMarked(b.ask(keyRead, "GET", "/v1/agents", ""), false) // with the same credentials
	b.isMarked(b.get("/v1/agents?limit=6"), false)
	b.isMarked(b.get(krosaiAgent+"?include=raw"), false)
	b.isMarked(b.get("/v1/agents/talkifai:agent_abc123"), false)
	b.isMarked(b.get("/v1/agents", "Prefer: handling=strict"), false)
	b.get("/v1/agents?limit=5", "Prefer: handling=nonsense").wants(t, 200, "")
	b.ask("", "GET", "/v1/agents", "").wants(t, 401, "unauthenticated")
	b.get("/v1/agents", "Accept: text/html").wants(t, 406, "not_acceptable")
	b.isMarked(b.get("/v1/agents"), true)
	if reads := b.gateway.remembered.lru.Len(); reads > 12 {
		t.Errorf("%d are remembered", reads)
	}
}

// TestNotAnsweredAgain: nothing is given again when any of what it is made of is gone,
// another one, or not fresh.
func TestNotAnsweredAgain(t *testing.T) {
	b := newBench(t, "")
	all, klen := "/v1/agents", "/v1/agents?backend=klen"
	b.again(all, klen, krosaiAgent)

	b.ask(keyAcme, "PATCH", krosaiAgent, `{"name": "Renamed"}`).wants(t, 200, "")
	if r := b.isMarked(b.get(krosaiAgent), false); r.body["name"] != "Renamed" {
		t.Errorf("after a write: %s", r.text)
	}
	b.isMarked(b.get(all), false)
	b.isMarked(b.get(klen), true)

	b.again(all, klen, krosaiAgent)
	b.isMarked(b.get(all, "Cache-Control: no-cache"), false)
	b.isMarked(b.get(all), false)
	b.isMarked(b.get(klen), false) // read afresh with it

	b.again(all, klen, krosaiAgent)
	b.gateway.Purge("klen", "")
	b.isMarked(b.get(all), false)
	b.isMarked(b.get(klen), false)
	b.isMarked(b.get(krosaiAgent), false) // nothing is held on to

	b.again(all, klen, krosaiAgent)
	b.reload()
	for _, path := range []string{all, klen, krosaiAgent} {
		b.isMarked(b.get(path), false)
	}
}

// TestAnsweredWhileFresh: not a moment longer.
func TestAnsweredWhileFresh(t *testing.T) {
	b := newBench(t, "cache: {ttl: 1h, stale_while_revalidate: 0s, stale_if_error: 0s}")
	b.again("/v1/agents", krosaiAgent)
	g := b.gateway
	holder, _ := g.state.Load().keys.find([]byte(b.keys[keyAcme]), time.Now())
	w := wish{caller: holder.caller, route: "/v1/agents"}
	for _, after := range []time.Duration{0, 50 * time.Minute} {
		if _, _, ok := g.remembered.again(w, time.Now().Add(after)); !ok {
			t.Errorf("after %s it is not answered again", after)
		}
	}
	kept := g.remembered.lru.Len()
	if _, _, ok := g.remembered.again(w, time.Now().Add(70*time.Minute)); ok || g.remembered.lru.Len() != kept-1 {
		t.Errorf("after 70 minutes it is answered again, or remembered (%d of %d)", g.remembered.lru.Len(), kept)
	}
}

// TestRememberedHoldsNothing: what the cache and the pages let go of is gone.
func TestRememberedHoldsNothing(t *testing.T) {
	b := newBench(t, "")
	b.again("/v1/agents")
	g := b.gateway
	known := g.remembered.lru.Values()[0]
	if known.pinned != nil || known.body.Value() == nil || known.of[0].Value() == nil {
		t.Fatal("not as a large list is remembered")
	}
	g.Purge("", "")
	waitFor(t, "what was purged to be collected", func() bool {
		runtime.GC()
		return known.body.Value() == nil && known.of[0].Value() == nil
	})
	b.isMarked(b.get("/v1/agents"), false)
}
