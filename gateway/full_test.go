package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agentgw/agentgw/sandbox"
)

// gets counts the details that a vendor was asked for.
func (b *bench) gets(vendor string) int {
	n := 0
	for _, r := range b.vendors[vendor].Control().Requests() {
		if r.Method == http.MethodGet && !strings.HasSuffix(r.Path, "/agents") {
			n++
		}
	}
	return n
}

func TestFullView(t *testing.T) {
	b := newBench(t, "")
	r := b.get("/v1/agents?view=full").wants(t, 200, "")
	if r.body["complete"] != true || len(r.ids()) != 18 {
		t.Fatalf("%s", r.text)
	}
	for i, a := range r.body["data"].([]any) {
		a := a.(map[string]any)
		if a["view"] != "full" || a["unavailable"] != nil || a["not_loaded"] != nil {
			t.Errorf("row %d: %v %v %v", i, a["view"], a["unavailable"], a["not_loaded"])
		}
		single := b.get("/v1/agents/"+a["id"].(string)).wants(t, 200, "")
		for name, value := range a {
			if fmt.Sprint(single.body[name]) != fmt.Sprint(value) {
				t.Errorf("%s: %s is %v in the list, %v alone", a["id"], name, value, single.body[name])
			}
		}
		if s := r.source(a["backend"].(string)); fmt.Sprint(s["unavailable"], s["not_loaded"]) != fmt.Sprint(single.body["unavailable"], single.body["not_loaded"]) {
			t.Errorf("%s: the source says %v %v, the agent %v %v", a["id"], s["unavailable"], s["not_loaded"], single.body["unavailable"], single.body["not_loaded"])
		}
	}
	// One call for each agent that needs it, and none for what is known.
	want := map[string]int{"klen": 0, "agenthuman": 4, "krosai": 4, "talkifai": 5} // krosai's are of the single gets
	for vendor, n := range want {
		if got := b.gets(vendor); got != n {
			t.Errorf("%s was asked for %d details, want %d", vendor, got, n)
		}
	}
	raw := b.get("/v1/agents?view=full&include=raw&backend=agenthuman").wants(t, 200, "")
	if raw.at("data.0.raw.list.agent_id") == nil || raw.at("data.0.raw.detail.id") == nil || b.gets("agenthuman") != 4 {
		t.Errorf("%v", raw.at("data.0.raw"))
	}
}

// TestFullViewLoadsThePage: and nothing else.
func TestFullViewLoadsThePage(t *testing.T) {
	b := newBench(t, "")
	r := b.get("/v1/agents?view=full&backend=talkifai&limit=2").wants(t, 200, "")
	if len(r.ids()) != 2 || b.gets("talkifai") != 2 {
		t.Errorf("%d agents, %d details", len(r.ids()), b.gets("talkifai"))
	}
	b.get("/v1/agents?view=full&backend=talkifai&limit=3").wants(t, 200, "")
	if b.gets("talkifai") != 3 {
		t.Errorf("%d details after a page that has one more", b.gets("talkifai"))
	}
	// A filter that only details can answer has all of them read, once.
	filtered := b.get("/v1/agents?view=full&backend=talkifai&language=ur&limit=1").wants(t, 200, "")
	if got := filtered.ids(); len(got) != 1 || got[0] != "talkifai:agent_mno345" || b.gets("talkifai") != 5 || filtered.body["complete"] != true {
		t.Errorf("%v, %d details", got, b.gets("talkifai"))
	}
	if s := filtered.source("talkifai"); s["count"] != 1.0 || s["unfiltered"] != nil {
		t.Errorf("%v", s)
	}
}

// TestFullViewSaysWhatItCouldNotLoad: each such row, and its source.
func TestFullViewSaysWhatItCouldNotLoad(t *testing.T) {
	b := newBench(t, "breaker: {consecutive: 1000, min_requests: 1000}")
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Path: "/v1/agents/agent_ghi789", Status: 500})
	r := b.get("/v1/agents?view=full&backend=talkifai").wants(t, 200, "")
	for _, a := range r.body["data"].([]any) {
		a := a.(map[string]any)
		failed := a["id"] == "talkifai:agent_ghi789"
		if view := map[bool]string{true: "basic", false: "full"}[failed]; a["view"] != view || (a["not_loaded"] != nil) != failed || (a["unavailable"] != nil) != failed {
			t.Errorf("%s: %v, not loaded %v", a["id"], a["view"], a["not_loaded"])
		}
	}
	s := r.source("talkifai")
	if s["status"] != "partial" || s["count"] != 5.0 || s["error"].(map[string]any)["code"] != "upstream_error" || r.body["complete"] != false || len(s["not_loaded"].([]any)) != 0 {
		t.Errorf("%v", s)
	}
	if b.gets("talkifai") != 5 {
		t.Errorf("%d details", b.gets("talkifai"))
	}
	// What a filter needs and could not load is not filtered.
	r = b.get("/v1/agents?view=full&backend=talkifai&language=en").wants(t, 200, "")
	if s := r.source("talkifai"); s["status"] != "partial" || fmt.Sprint(s["unfiltered"]) != "[language]" || s["count"] != 3.0 {
		t.Errorf("%v", s)
	}
	b.get("/v1/agents?view=full&backend=talkifai&require=talkifai").wants(t, 502, "upstream_error")
}

// TestFullViewObeysTheQuota: three requests are left for details.
func TestFullViewObeysTheQuota(t *testing.T) {
	b := newBench(t, "quota: {requests: 4, per: 1h}")
	r := b.get("/v1/agents?view=full&backend=talkifai").wants(t, 200, "")
	views := map[any]int{}
	for _, a := range r.body["data"].([]any) {
		views[a.(map[string]any)["view"]]++
	}
	s := r.source("talkifai")
	if views["full"] != 3 || views["basic"] != 2 || s["status"] != "partial" || s["error"].(map[string]any)["code"] != "upstream_rate_limited" || s["error"].(map[string]any)["retry_after_s"] == nil {
		t.Errorf("%v, %v", views, s)
	}
	if n := b.requests("talkifai"); n != 4 {
		t.Errorf("talkifai was asked %d times, the quota is 4", n)
	}
	// Rows carry their own sets where they differ from what most have.
	if got := r.text; strings.Count(got, `"view":"basic","unavailable"`) != 2 {
		t.Errorf("%s", got)
	}
	// What was read is kept, and what was not stays basic.
	again := b.get("/v1/agents?view=full&backend=talkifai").wants(t, 200, "")
	if again.source("talkifai")["status"] != "partial" || strings.Count(again.text, `"view":"full"`) != 3 {
		t.Errorf("%s", again.text)
	}
}

// TestDetailsAreReadAFewAtOnce: however many requests want them.
func TestDetailsAreReadAFewAtOnce(t *testing.T) {
	b := newBench(t, "max_concurrent: 4\ncache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}")
	talkifai := b.vendors["talkifai"].Control()
	talkifai.Fail(sandbox.Fault{Delay: 20e6})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if r := b.get("/v1/agents?view=full&backend=talkifai").wants(t, 200, ""); r.body["complete"] != true {
				t.Errorf("%v", r.source("talkifai"))
			}
		})
	}
	wg.Wait()
}

// TestFullViewEndsInTime: with a vendor that never answers (the client itself
// waits no longer than one call to it would take), the rows that could
// not be read stay as they are; and what is asked at a time stays bounded, also
// by those who leave.
func TestFullViewEndsInTime(t *testing.T) {
	b := newBench(t, "timeout: 30s\nbreaker: {consecutive: 1000, min_requests: 1000}")
	b.reload("request_timeout: 10s", "request_timeout: 1s")
	for i := range 40 {
		b.vendors["talkifai"].Seed(b.env["ACME_TALKIFAI"], talkifaiAgent(i))
	}
	b.get("/v1/agents?backend=talkifai").wants(t, 200, "")
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Hang: true})
	r := b.get("/v1/agents?backend=talkifai&view=full").wants(t, 200, "")
	s := r.source("talkifai")
	if s["status"] != "partial" || s["error"].(map[string]any)["code"] != "upstream_timeout" || len(r.ids()) != 45 || strings.Contains(r.text, `"view":"full"`) {
		t.Errorf("%v, %d agents", s, len(r.ids()))
	}
	if n := b.gets("talkifai"); n > 8 {
		t.Errorf("%d details were asked for at a time", n)
	}
}

// TestRefreshesOfDetailsWaitForTheirTurn: a list in full view whose details are
// old is answered at once, and does not ask for all of them at a time.
func TestRefreshesOfDetailsWaitForTheirTurn(t *testing.T) {
	b := newBench(t, "max_concurrent: 6\ncache: {ttl: 1ms, stale_while_revalidate: 1h}")
	for i := range 40 {
		b.vendors["talkifai"].Seed(b.env["ACME_TALKIFAI"], talkifaiAgent(i))
	}
	b.get("/v1/agents?backend=talkifai&view=full").wants(t, 200, "")
	talkifai := b.vendors["talkifai"].Control()
	talkifai.Forget()
	release := make(chan struct{})
	var now, most atomic.Int32
	talkifai.Fail(sandbox.Fault{Change: func(body []byte) []byte {
		for n := now.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer now.Add(-1)
		<-release
		return body
	}})
	if r := b.get("/v1/agents?backend=talkifai&view=full").wants(t, 200, ""); r.body["complete"] != true || r.Header.Get("Cache-Status") != "agentgw; hit" {
		t.Errorf("%s %v", r.Header.Get("Cache-Status"), r.source("talkifai"))
	}
	waitFor(t, "refreshes to begin", func() bool { return now.Load() >= 4 }) // three of details, and the list's
	close(release)
	waitFor(t, "all to be refreshed", func() bool { return b.gets("talkifai") == 45 })
	if most.Load() > 4 {
		t.Errorf("%d at a time", most.Load())
	}
}
