package gateway

import (
	"testing"

	"github.com/agentgw/agentgw/sandbox"
)

func TestListIsServedFromTheCache(t *testing.T) {
	b := newBench(t, "")
	for i := range 3 {
		r := b.get("/v1/agents").wants(t, 200, "")
		want := map[bool]string{true: "agentgw; fwd=miss", false: "agentgw; hit"}[i == 0]
		if got := r.Header.Get("Cache-Status"); got != want {
			t.Errorf("read %d: Cache-Status %q, want %q", i, got, want)
		}
	}
	if n := b.requests("klen"); n != 1 {
		t.Errorf("klen was asked %d times", n)
	}
	b.get("/v1/agents/klen:123").wants(t, 200, "") // from the same list
	if n := b.requests("klen"); n != 1 {
		t.Errorf("klen was asked %d times", n)
	}
	b.get("/v1/agents?backend=klen", "Cache-Control: no-cache").wants(t, 200, "")
	if n := b.requests("klen"); n != 2 {
		t.Errorf("klen was asked %d times", n)
	}
	b.ask(keyRead, "GET", "/v1/agents?backend=klen", "") // another key, the same credential
	if n := b.requests("klen"); n != 2 {
		t.Errorf("klen was asked %d times", n)
	}
	b.ask(keyKlen, "GET", "/v1/agents", "") // another credential
	if n := b.requests("klen"); n != 3 {
		t.Errorf("klen was asked %d times", n)
	}
}

func TestStaleStandsInForABackendThatCannotBeAsked(t *testing.T) {
	b := newBench(t, "cache: {ttl: 1ms, stale_while_revalidate: 0s}\ntimeout: 300ms\nbreaker: {consecutive: 1000, min_requests: 1000}")
	b.get("/v1/agents").wants(t, 200, "")
	krosai := b.vendors["krosai"].Control()
	for _, fault := range []sandbox.Fault{{Status: 500}, {Status: 503}, {Reset: true}, {Hang: true}, {Status: 200, Body: "<html>"}} {
		krosai.Heal()
		krosai.Fail(fault)
		waitFor(t, "the entry to age", func() bool {
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
		t.Errorf("what a 401 voided is still served: %v", s)
	}
}

func (b *bench) waitForSource(backend, status string) (source map[string]any) {
	b.t.Helper()
	waitFor(b.t, backend+" to be "+status, func() bool {
		source = b.get("/v1/agents").source(backend)
		return source["status"] == status
	})
	return source
}

func TestWriteDropsWhatItChanged(t *testing.T) {
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
		t.Errorf("a write at krosai had klen asked again")
	}
}
