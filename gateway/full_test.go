package gateway

import (
	"bytes"
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
	if b.gets("talkifai") != 6 { // the one that failed was tried twice
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

// TestDetailsAreReadAFewAtOnce: however many requests want them, of whichever
// tenant; and what is at hand does not wait for them.
func TestDetailsAreReadAFewAtOnce(t *testing.T) {
	b := newBench(t, "max_concurrent: 6\ncache: {ttl: 1h}")
	b.get("/v1/agents?view=full&backend=talkifai&limit=1").wants(t, 200, "")
	for i := range 30 {
		b.vendors["talkifai"].Seed(b.env["ACME_TALKIFAI"], talkifaiAgent(i))
	}
	b.gateway.Purge("", "")
	agents := len(b.get("/v1/agents?backend=talkifai").wants(t, 200, "").ids())
	b.get("/v1/agents/talkifai:agent_abc123").wants(t, 200, "")
	release := make(chan struct{})
	var now, most atomic.Int32
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Change: func(body []byte) []byte {
		for n := now.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer now.Add(-1)
		<-release
		return body
	}})
	var wg sync.WaitGroup
	for _, key := range []string{keyAcme, keyRead, keyAcme} {
		wg.Go(func() {
			if r := b.ask(key, "GET", "/v1/agents?view=full&backend=talkifai", "").wants(t, 200, ""); r.body["complete"] != true || len(r.ids()) != agents {
				t.Errorf("%v", r.source("talkifai"))
			}
		})
	}
	waitFor(t, "as many to be asked for as may be", func() bool { return now.Load() == 3 })
	hand := b.get("/v1/agents?view=full&backend=talkifai&q=agent_abc123").wants(t, 200, "") // while they wait
	if hand.Header.Get("Cache-Status") != "agentgw; hit" || hand.at("data.0.view") != "full" {
		t.Errorf("%s", hand.text)
	}
	close(release)
	wg.Wait()
	if most.Load() != 3 {
		t.Errorf("%d at a time, max_concurrent/2 is 3", most.Load())
	}
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
	// Eight at a time; of a second round some may begin just before the end.
	if n := b.gets("talkifai"); n > 16 {
		t.Errorf("%d details were asked for", n)
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

// TestFullWalksOweWhatDetailsCouldNotAnswer: an agent whose detail fails on one
// page is neither missed nor seen twice.
func TestFullWalksOweWhatDetailsCouldNotAnswer(t *testing.T) {
	b := newBench(t, "cache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}\nbreaker: {consecutive: 1000, min_requests: 1000}")
	for _, query := range []string{"view=full&backend=talkifai&order_by=updated_at&limit=2", "view=full&backend=talkifai&language=en&limit=1"} {
		for failing := range 4 {
			seen := map[string]int{}
			cursor := ""
			for pages := 0; ; pages++ {
				if pages > 20 {
					t.Fatal("the walk does not end")
				}
				b.vendors["talkifai"].Control().Heal()
				if pages == failing {
					b.vendors["talkifai"].Control().Fail(sandbox.Fault{Path: "/v1/agents/agent_abc123", Status: 500})
				}
				r := b.get("/v1/agents?"+query+cursor).wants(t, 200, "")
				for _, id := range r.ids() {
					seen[id]++
				}
				next, more := r.body["next_cursor"].(string)
				if resume, owed := r.body["resume_cursor"].(string); owed {
					next, more = resume, true
				}
				if !more {
					if failing < pages && r.body["complete"] != true {
						t.Errorf("%s: the last page is not complete", query)
					}
					break
				}
				cursor = "&cursor=" + next
			}
			want := 5
			if strings.Contains(query, "language") {
				want = 4
			}
			for id, n := range seen {
				if n != 1 {
					t.Errorf("%s, failing on page %d: %s was seen %d times", query, failing, id, n)
				}
			}
			if len(seen) != want {
				t.Errorf("%s, failing on page %d: %d agents, want %d", query, failing, len(seen), want)
			}
		}
	}
}

// TestFullViewOfMoreThanOneRequestReads: asking again goes on.
func TestFullViewOfMoreThanOneRequestReads(t *testing.T) {
	b := newBench(t, "cache: {ttl: 1h}\ntimeout: 9s")
	for i := range 1000 + 20 {
		b.vendors["talkifai"].Seed(b.env["ACME_TALKIFAI"], []byte(fmt.Sprintf(`{"id": "x%d", "name": "N", "agentArchitecture": "text", "model": "m", "systemPrompt": "p", "language": "sv", "mode": "public", "active": true, "temperature": 0.5, "createdAt": "2024-01-01T00:00:00Z", "updatedAt": "2024-01-01T00:00:00Z"}`, i)))
	}
	var r reply
	for range 5 { // the race detector is slow, and a request has its time
		if r = b.get("/v1/agents?backend=talkifai&view=full&language=sv&limit=1").wants(t, 200, ""); r.body["complete"] == true {
			break
		}
		if s := r.source("talkifai"); s["status"] != "partial" || fmt.Sprint(s["unfiltered"]) != "[language]" {
			t.Errorf("%v", s)
		}
	}
	if s := r.source("talkifai"); s["count"] != 1020.0 || b.gets("talkifai") != 1000+25 {
		t.Errorf("%v after %d details", s, b.gets("talkifai"))
	}
}

// TestRefusedDetailVoidsTheList: a credential that is refused has seen nothing.
func TestRefusedDetailVoidsTheList(t *testing.T) {
	b := newBench(t, "")
	b.get("/v1/agents").wants(t, 200, "")
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Status: 401})
	r := b.get("/v1/agents?view=full").wants(t, 200, "")
	if s := r.source("talkifai"); s["status"] != "error" || s["count"] != 0.0 || s["error"].(map[string]any)["code"] != "upstream_auth_failed" || strings.Contains(r.text, "talkifai:agent") {
		t.Errorf("%v", s)
	}
	if n := b.gets("talkifai"); n > 8 {
		t.Errorf("%d details were asked for with a refused credential", n)
	}
	if r.body["resume_cursor"] == nil {
		t.Error("what failed cannot be resumed")
	}
	b.get("/v1/agents?backend=talkifai&view=full").wants(t, 502, "upstream_auth_failed")
}

// TestDeletedAgentIsLeftOut: where the list is older than the deletion.
func TestDeletedAgentIsLeftOut(t *testing.T) {
	b := newBench(t, "")
	b.get("/v1/agents").wants(t, 200, "")
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Path: "/v1/agents/agent_def456", Status: 404})
	r := b.get("/v1/agents?view=full&backend=talkifai&limit=2&require=all").wants(t, 200, "")
	if got := strings.Join(r.ids(), " "); got != "talkifai:agent_abc123 talkifai:agent_ghi789" || r.source("talkifai")["count"] != 4.0 {
		t.Errorf("%s, %v", got, r.source("talkifai"))
	}
}

// TestFilterHoldsForWhatIsShown: also where the detail is newer than the list.
func TestFilterHoldsForWhatIsShown(t *testing.T) {
	b := newBench(t, "")
	b.get("/v1/agents").wants(t, 200, "")
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Path: "/v1/agents/agent_ghi789", Change: func(body []byte) []byte {
		return bytes.Replace(body, []byte(`"active":true`), []byte(`"active":false`), 1)
	}})
	r := b.get("/v1/agents?view=full&backend=talkifai&status=active").wants(t, 200, "")
	if got := strings.Join(r.ids(), " "); strings.Contains(got, "ghi789") || len(r.ids()) != 3 || r.source("talkifai")["count"] != 3.0 {
		t.Errorf("%s", got)
	}
}

// TestFullViewShowsTheDetailsOfNow: a page is made anew when one of them is.
func TestFullViewShowsTheDetailsOfNow(t *testing.T) {
	b := newBench(t, "")
	path := "/v1/agents?view=full&backend=talkifai"
	first := b.get(path).wants(t, 200, "")
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Path: "/v1/agents/agent_abc123", Times: 1, Change: func(body []byte) []byte {
		return bytes.Replace(body, []byte(`"temperature":0.7`), []byte(`"temperature":0.1`), 1)
	}})
	b.get("/v1/agents/talkifai:agent_abc123", "Cache-Control: no-cache").wants(t, 200, "")
	again := b.get(path).wants(t, 200, "")
	if first.at("data.0.model.temperature") != 0.7 || again.at("data.0.model.temperature") != 0.1 || first.Header.Get("ETag") == again.Header.Get("ETag") {
		t.Errorf("%v, then %v", first.at("data.0.model"), again.at("data.0.model"))
	}
	// Asked afresh, the details are, too.
	gets := b.gets("talkifai")
	b.get(path, "Cache-Control: no-cache").wants(t, 200, "")
	if got := b.gets("talkifai") - gets; got != 5 {
		t.Errorf("%d details were asked for afresh", got)
	}
}

// TestFullViewOwesNothingThatWasExcluded: two filters, of which one needs no
// detail, are a whole answer, and so is an order.
func TestFullViewOwesNothingThatWasExcluded(t *testing.T) {
	b := newBench(t, "")
	for query, want := range map[string]int{"architecture=pipeline&order_by=updated_at": 3, "status=active&language=en": 3, "status=nothing&language=en": 0} {
		gets := b.gets("talkifai")
		if ids := b.walk("view=full&require=all&backend=talkifai&"+query, 1); len(ids) != want {
			t.Errorf("%s: %v", query, ids)
		}
		r := b.get("/v1/agents?view=full&backend=talkifai&"+query).wants(t, 200, "")
		if s := r.source("talkifai"); r.body["complete"] != true || r.body["resume_cursor"] != nil || s["unfiltered"] != nil || s["count"] != float64(want) {
			t.Errorf("%s: %v, resume %v", query, s, r.body["resume_cursor"])
		}
		if got := b.gets("talkifai") - gets; want == 0 && got != 0 {
			t.Errorf("%s: %d details were read of agents that are excluded", query, got)
		}
	}
}

// TestDeletedAgentInAnOrderedWalk: is left out, and nothing is owed for it.
func TestDeletedAgentInAnOrderedWalk(t *testing.T) {
	b := newBench(t, "")
	b.get("/v1/agents").wants(t, 200, "")
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Path: "/v1/agents/agent_def456", Status: 404})
	if ids := b.walk("view=full&backend=talkifai&order_by=-updated_at&require=all", 2); len(ids) != 4 {
		t.Errorf("%v", ids)
	}
}

// TestSingleAgentsDoNotQueueBehindLists: who asks for one by name does not wait
// for those that a list reads.
func TestSingleAgentsDoNotQueueBehindLists(t *testing.T) {
	b := newBench(t, "max_concurrent: 6\ncache: {ttl: 1h}")
	for i := range 30 {
		b.vendors["talkifai"].Seed(b.env["ACME_TALKIFAI"], talkifaiAgent(i))
	}
	ids := b.get("/v1/agents?backend=talkifai").wants(t, 200, "").ids()
	release := make(chan struct{})
	var held atomic.Int32
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Times: 3, Change: func(body []byte) []byte { held.Add(1); <-release; return body }})
	done := make(chan reply)
	go func() { done <- b.get("/v1/agents?view=full&backend=talkifai") }()
	waitFor(t, "the list to read as many as it may", func() bool { return held.Load() == 3 })
	for _, id := range ids[len(ids)-3:] { // the list comes to them last
		b.get("/v1/agents/"+id).wants(t, 200, "")
	}
	close(release)
	if r := <-done; r.body["complete"] != true {
		t.Errorf("%v", r.source("talkifai"))
	}
}
