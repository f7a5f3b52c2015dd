package gateway

import (
	"bytes"
	"testing"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

func TestCache_ListIsSharedByKeysOfOneCredential(t *testing.T) {
	b := newBench(t, "")
	for i := range 3 {
		r := b.get("/v1/agents").wants(t, 200, "")
		want := map[bool]string{true: "agentgw; fwd=miss", false: "agentgw; hit"}[i == 0]
		if got := r.Header.Get("Cache-Status"); got != want {
			t.Errorf("read %d: Cache-Status %q, want %q", i, got, want)
		}
	}
	if n := b.requests("klen"); n != 1 {
		t.Errorf("klen received %d requests", n)
	}
	b.get("/v1/agents/klen:123").wants(t, 200, "") // from the same list
	if n := b.requests("klen"); n != 1 {
		t.Errorf("klen received %d requests", n)
	}
	b.get("/v1/agents?backend=klen", "Cache-Control: no-cache").wants(t, 200, "")
	if n := b.requests("klen"); n != 2 {
		t.Errorf("klen received %d requests", n)
	}
	b.ask(keyRead, "GET", "/v1/agents?backend=klen", "") // another key, the same credential
	if n := b.requests("klen"); n != 2 {
		t.Errorf("klen received %d requests", n)
	}
	b.ask(keyKlen, "GET", "/v1/agents", "") // another credential
	if n := b.requests("klen"); n != 3 {
		t.Errorf("klen received %d requests", n)
	}
}

func TestCache_StaleIfError(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBench(t, "cache: {ttl: 1ms, stale_while_revalidate: 0s}\ntimeout: 3s\nbreaker: {consecutive: 1000, min_requests: 1000}")
	b.get("/v1/agents").wants(t, 200, "")
	krosai := b.vendors["krosai"].Control()
	for _, fault := range []sandbox.Fault{{Status: 500}, {Status: 503}, {Reset: true}, {Hang: true}, {Status: 200, Body: "<html>"}} {
		krosai.Heal()
		krosai.Fail(fault)
		waittest.Until(t, "the entry to age", func() bool {
			return b.get("/v1/agents").source("krosai")["status"] == "stale"
		})
		r := b.get("/v1/agents").wants(t, 200, "")
		if s := r.source("krosai"); s["count"] != 4.0 || s["error"] == nil || len(r.ids()) != 18 || r.body["complete"] != false {
			t.Errorf("%+v: %v", fault, s)
		}
	}
	if got := b.get("/v1/agents?backend=krosai").wants(t, 200, "").Header.Get("Cache-Status"); got != "agentgw; fwd=stale" {
		t.Errorf("Cache-Status %q", got)
	}
	krosai.Heal()
	krosai.Fail(sandbox.Fault{Status: 401})
	if s := b.waitForSource("krosai", "error"); s["error"].(map[string]any)["code"] != "upstream_auth_failed" {
		t.Errorf("after a 401: %v", s)
	}
	krosai.Heal()
	krosai.Fail(sandbox.Fault{Status: 500})
	if s := b.get("/v1/agents").source("krosai"); s["status"] != "error" {
		t.Errorf("an entry is served after a 401: %v", s)
	}
}

// waitForSource waits until the backend's part of a list has that status, and returns the part.
func (b *bench) waitForSource(backend, status string) (source map[string]any) {
	b.t.Helper()
	waittest.Until(b.t, backend+" to be "+status, func() bool {
		source = b.get("/v1/agents").source(backend)
		return source["status"] == status
	})
	return source
}

func TestCache_WriteInvalidatesForAllKeysOfTheCredential(t *testing.T) {
	b := newBench(t, "")
	b.get("/v1/agents").wants(t, 200, "")
	b.get(krosaiAgent).wants(t, 200, "")
	klen := b.requests("klen")
	b.ask(keyAcme, "PATCH", krosaiAgent, `{"name": "Renamed"}`).wants(t, 200, "")
	for _, key := range []string{keyAcme, keyRead} {
		r := b.ask(key, "GET", "/v1/agents?backend=krosai", "")
		if r.at("data.0.name") != "Renamed" {
			t.Errorf("%s sees %v in the list", key, r.at("data.0.name"))
		}
		if r := b.ask(key, "GET", krosaiAgent, ""); r.body["name"] != "Renamed" {
			t.Errorf("%s sees %v", key, r.body["name"])
		}
	}
	b.get("/v1/agents")
	if n := b.requests("klen"); n != klen {
		t.Errorf("a write at krosai caused a request to klen")
	}
}

// Reads of a stale list are served at once while a single request refreshes it.
func TestCache_StaleWhileRevalidate(t *testing.T) {
	b := newBench(t, "cache: {ttl: 1ms, stale_while_revalidate: 1h}")
	b.get("/v1/agents?backend=krosai").wants(t, 200, "")
	krosai := b.vendors["krosai"].Control()
	krosai.Forget()
	release := make(chan struct{})
	krosai.Fail(sandbox.Fault{Change: func(body []byte) []byte {
		<-release
		return bytes.ReplaceAll(body, []byte("Product Expert"), []byte("Renamed there"))
	}})
	for range 20 {
		if r := b.get("/v1/agents?backend=krosai").wants(t, 200, ""); r.Header.Get("Cache-Status") != "agentgw; hit" || r.at("data.0.name") != "Product Expert" {
			t.Errorf("%s: %v", r.Header.Get("Cache-Status"), r.at("data.0.name"))
		}
	}
	waittest.Until(t, "the refresh to begin", func() bool { return b.requests("krosai") > 0 })
	if n := b.requests("krosai"); n != 1 {
		t.Errorf("krosai received %d requests", n)
	}
	close(release)
	waittest.Until(t, "the refresh to end", func() bool { return b.get("/v1/agents?backend=krosai").at("data.0.name") == "Renamed there" })
}

// A partial list is served, and the last complete one is kept for stale-if-error.
func TestCache_PartialListKeepsTheCompleteOne(t *testing.T) {
	b := newBench(t, "breaker: {consecutive: 1000, min_requests: 1000}")
	for i := range 150 {
		b.vendors["talkifai"].Seed(b.env["ACME_TALKIFAI"], talkifaiAgent(i))
	}
	path := "/v1/agents?backend=talkifai&limit=1000"
	complete := b.get(path).wants(t, 200, "")
	talkifai := b.vendors["talkifai"].Control()
	talkifai.Fail(sandbox.Fault{Times: 1, Change: func(body []byte) []byte { return bytes.Replace(body, []byte(`"page":1`), []byte(`"page":7`), 1) }})
	partial := b.get(path, "Cache-Control: no-cache").wants(t, 200, "")
	if s := partial.source("talkifai"); s["status"] != "partial" || s["error"].(map[string]any)["code"] != "upstream_bad_response" || len(partial.ids()) != 100 {
		t.Errorf("%d agents, %v", len(partial.ids()), s)
	}
	// The next read is served the partial list, not the complete older one.
	if r := b.get(path).wants(t, 200, ""); r.Header.Get("Cache-Status") != "agentgw; hit" || r.source("talkifai")["status"] != "partial" || len(r.ids()) != 100 {
		t.Errorf("%s, %d agents", r.Header.Get("Cache-Status"), len(r.ids()))
	}
	talkifai.Fail(sandbox.Fault{Status: 500})
	if r := b.get(path, "Cache-Control: no-cache").wants(t, 200, ""); r.source("talkifai")["status"] != "stale" || len(r.ids()) != len(complete.ids()) {
		t.Errorf("%d agents, %v", len(r.ids()), r.source("talkifai"))
	}
	talkifai.Heal()
	b.get(path, "Cache-Control: no-cache").wants(t, 200, "")
	if r := b.get(path).wants(t, 200, ""); r.body["complete"] != true || r.Header.Get("Cache-Status") != "agentgw; hit" {
		t.Errorf("the partial list is served after a newer complete one: %v", r.source("talkifai"))
	}
}

// A reload drops all encoded responses, so that none of a removed key remains.
func TestReload_DropsCachedResponses(t *testing.T) {
	b := newBench(t, "")
	b.get("/v1/agents").wants(t, 200, "")
	b.get("/v1/agents").wants(t, 200, "") // from the snapshot cache; now its response is cached, too
	if b.gateway.responses.Size() == 0 {
		t.Error("no response was cached")
	}
	b.reload()
	if n := b.gateway.responses.Size(); n != 0 {
		t.Errorf("%d bytes of responses", n)
	}
}

// If the quota is used up, a request with no-cache gets the cached list as stale.
func TestCache_NoCacheBeyondQuotaIsStale(t *testing.T) {
	b := newBench(t, "quota: {requests: 2, per: 1h}")
	b.get("/v1/agents?backend=krosai").wants(t, 200, "")
	if r := b.get("/v1/agents?backend=krosai", "Cache-Control: max-age=0, No-Cache").wants(t, 200, ""); r.Header.Get("Cache-Status") != "agentgw; fwd=request" || r.source("krosai")["status"] != "ok" {
		t.Errorf("%s %v", r.Header.Get("Cache-Status"), r.source("krosai"))
	}
	r := b.get("/v1/agents?backend=krosai", "Cache-Control: no-cache").wants(t, 200, "")
	s := r.source("krosai")
	if s["status"] != "stale" || s["count"] != 4.0 || s["error"].(map[string]any)["code"] != "upstream_rate_limited" || s["error"].(map[string]any)["retry_after_s"].(float64) < 3000 || r.Header.Get("Cache-Status") != "agentgw; fwd=stale" {
		t.Errorf("%s %v", r.Header.Get("Cache-Status"), s)
	}
	if n := b.requests("krosai"); n != 2 {
		t.Errorf("krosai received %d requests", n)
	}
	if r := b.get("/v1/agents?backend=krosai").wants(t, 200, ""); r.source("krosai")["status"] != "ok" { // without no-cache it is still fresh
		t.Errorf("%v", r.source("krosai"))
	}
}

// A write keeps the cached entries of other agents and of other credentials.
func TestCache_WriteKeepsOtherEntries(t *testing.T) {
	b := newBench(t, "")
	other := "/v1/agents/krosai:b2c3d4e5-f6a7-8901-bcde-fa2345678901"
	b.get(krosaiAgent).wants(t, 200, "")
	b.get(other).wants(t, 200, "")
	b.ask(keyKlen, "GET", "/v1/agents", "").wants(t, 200, "")
	b.ask(keyAcme, "PATCH", krosaiAgent, `{"name": "Renamed"}`).wants(t, 200, "")
	krosai, klen := b.requests("krosai"), b.requests("klen")
	if r := b.ask(keyRead, "GET", krosaiAgent, "").wants(t, 200, ""); r.body["name"] != "Renamed" || r.Header.Get("Cache-Status") != "agentgw; hit" {
		t.Errorf("the agent read back after the write is not cached: %s", r.Header.Get("Cache-Status"))
	}
	b.get(other).wants(t, 200, "")
	b.ask(keyKlen, "GET", "/v1/agents", "").wants(t, 200, "")
	if b.requests("krosai") != krosai || b.requests("klen") != klen {
		t.Error("the write caused requests for what it did not change")
	}
}
