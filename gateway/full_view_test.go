package gateway

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

// gets counts the requests for details that a provider received.
func (b *bench) gets(vendor string) int {
	n := 0
	for _, r := range b.vendors[vendor].Control().Requests() {
		if r.Method == http.MethodGet && !strings.HasSuffix(r.Path, "/agents") {
			n++
		}
	}
	return n
}

func TestFullView_ShowsEveryAgentAsGetDoes(t *testing.T) {
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
			t.Errorf("%s: the source reports %v %v, the agent %v %v", a["id"], s["unavailable"], s["not_loaded"], single.body["unavailable"], single.body["not_loaded"])
		}
	}
	// One call for each agent that needs it, and none for cached ones.
	want := map[string]int{"klen": 0, "agenthuman": 4, "krosai": 4, "talkifai": 5} // krosai's are those of the gets above
	for vendor, n := range want {
		if got := b.gets(vendor); got != n {
			t.Errorf("%s received %d requests for details, want %d", vendor, got, n)
		}
	}
	raw := b.get("/v1/agents?view=full&include=raw&backend=agenthuman").wants(t, 200, "")
	if raw.at("data.0.raw.list.agent_id") == nil || raw.at("data.0.raw.detail.id") == nil || b.gets("agenthuman") != 4 {
		t.Errorf("%v", raw.at("data.0.raw"))
	}
}

func TestFullView_LoadsOnlyThePage(t *testing.T) {
	b := newBench(t, "")
	r := b.get("/v1/agents?view=full&backend=talkifai&limit=2").wants(t, 200, "")
	if len(r.ids()) != 2 || b.gets("talkifai") != 2 {
		t.Errorf("%d agents, %d details", len(r.ids()), b.gets("talkifai"))
	}
	b.get("/v1/agents?view=full&backend=talkifai&limit=3").wants(t, 200, "")
	if b.gets("talkifai") != 3 {
		t.Errorf("%d details after a page that has one more", b.gets("talkifai"))
	}
	// A filter that needs details loads all of them, once.
	filtered := b.get("/v1/agents?view=full&backend=talkifai&language=ur&limit=1").wants(t, 200, "")
	if got := filtered.ids(); len(got) != 1 || got[0] != "talkifai:agent_mno345" || b.gets("talkifai") != 5 || filtered.body["complete"] != true {
		t.Errorf("%v, %d details", got, b.gets("talkifai"))
	}
	if s := filtered.source("talkifai"); s["count"] != 1.0 || s["unfiltered"] != nil {
		t.Errorf("%v", s)
	}
}

// TestFullView_RowThatCannotBeLoaded: the row stays in basic view, and its
// source is partial.
func TestFullView_RowThatCannotBeLoaded(t *testing.T) {
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
	if b.gets("talkifai") != 6 { // the failed one was retried
		t.Errorf("%d details", b.gets("talkifai"))
	}
	// An agent whose filtered field could not be loaded is reported as unfiltered.
	r = b.get("/v1/agents?view=full&backend=talkifai&language=en").wants(t, 200, "")
	if s := r.source("talkifai"); s["status"] != "partial" || fmt.Sprint(s["unfiltered"]) != "[language]" || s["count"] != 3.0 {
		t.Errorf("%v", s)
	}
	b.get("/v1/agents?view=full&backend=talkifai&require=talkifai").wants(t, 502, "upstream_error")
}

// TestFullView_ObeysTheQuota: the quota leaves three requests for details.
func TestFullView_ObeysTheQuota(t *testing.T) {
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
	// Rows whose field sets differ from the source's state their own.
	if got := r.text; strings.Count(got, `"view":"basic","unavailable"`) != 2 {
		t.Errorf("%s", got)
	}
	// The loaded details are cached; the others stay basic.
	again := b.get("/v1/agents?view=full&backend=talkifai").wants(t, 200, "")
	if again.source("talkifai")["status"] != "partial" || strings.Count(again.text, `"view":"full"`) != 3 {
		t.Errorf("%s", again.text)
	}
}

// TestFullView_BoundsConcurrentDetails: the bound holds across requests and
// tenants, and a request whose details are cached does not wait.
func TestFullView_BoundsConcurrentDetails(t *testing.T) {
	b := newBench(t, "max_concurrent: 6\ncache: {ttl: 1h}")
	b.get("/v1/agents?view=full&backend=talkifai&limit=1").wants(t, 200, "")
	for i := range 30 {
		b.vendors["talkifai"].Seed(b.env["ACME_TALKIFAI"], talkifaiAgent(i))
	}
	b.gateway.Purge("", "")
	agents := len(b.get("/v1/agents?backend=talkifai").wants(t, 200, "").ids())
	b.get("/v1/agents/talkifai:agent_abc123").wants(t, 200, "")
	var running concurrency
	release := make(chan struct{})
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Change: running.holdUntil(release)})
	var wg sync.WaitGroup
	for _, key := range []string{keyAcme, keyRead, keyAcme} {
		wg.Go(func() {
			if r := b.ask(key, "GET", "/v1/agents?view=full&backend=talkifai", "").wants(t, 200, ""); r.body["complete"] != true || len(r.ids()) != agents {
				t.Errorf("%v", r.source("talkifai"))
			}
		})
	}
	waittest.Until(t, "three details to be requested", func() bool { return running.now.Load() == 3 })
	cached := b.get("/v1/agents?view=full&backend=talkifai&q=agent_abc123").wants(t, 200, "") // while the others wait
	if cached.Header.Get("Cache-Status") != "agentgw; hit" || cached.at("data.0.view") != "full" {
		t.Errorf("%s", cached.text)
	}
	close(release)
	wg.Wait()
	if running.most.Load() != 3 {
		t.Errorf("%d at a time, max_concurrent/2 is 3", running.most.Load())
	}
}

// TestFullView_EndsBeforeTheRequestTimeout: the provider never responds. Rows that
// could not be loaded stay in basic view, and no more calls run at once than allowed, also
// when their requests have ended.
func TestFullView_EndsBeforeTheRequestTimeout(t *testing.T) {
	b := newBench(t, "timeout: 30s\nbreaker: {consecutive: 1000, min_requests: 1000}")
	b.reload("request_timeout: 2m", "request_timeout: 1s")
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
	// Eight at a time; some of a second round may start just before the end.
	if n := b.gets("talkifai"); n > 16 {
		t.Errorf("%d details were requested", n)
	}
}

// TestFullView_BoundsConcurrentRefreshes: a list whose details are stale is
// served from the cache, and its refreshes are queued.
func TestFullView_BoundsConcurrentRefreshes(t *testing.T) {
	b := newBench(t, "max_concurrent: 6\ncache: {ttl: 1ms, stale_while_revalidate: 1h}")
	for i := range 40 {
		b.vendors["talkifai"].Seed(b.env["ACME_TALKIFAI"], talkifaiAgent(i))
	}
	b.get("/v1/agents?backend=talkifai&view=full").wants(t, 200, "")
	talkifai := b.vendors["talkifai"].Control()
	talkifai.Forget()
	var running concurrency
	release := make(chan struct{})
	talkifai.Fail(sandbox.Fault{Change: running.holdUntil(release)})
	if r := b.get("/v1/agents?backend=talkifai&view=full").wants(t, 200, ""); r.body["complete"] != true || r.Header.Get("Cache-Status") != "agentgw; hit" {
		t.Errorf("%s %v", r.Header.Get("Cache-Status"), r.source("talkifai"))
	}
	waittest.Until(t, "refreshes to begin", func() bool { return running.now.Load() >= 4 }) // three details and the list
	close(release)
	waittest.Until(t, "all to be refreshed", func() bool { return b.gets("talkifai") == 45 })
	if running.most.Load() > 4 {
		t.Errorf("%d at a time", running.most.Load())
	}
}

// TestFullView_RepeatingTheRequestLoadsTheRest: there are more agents than one
// request may load.
func TestFullView_RepeatingTheRequestLoadsTheRest(t *testing.T) {
	b := newBench(t, "cache: {ttl: 1h}\ntimeout: 60s")
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

func TestFullView_RefusedCredentialVoidsTheSource(t *testing.T) {
	b := newBench(t, "")
	b.get("/v1/agents").wants(t, 200, "")
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Status: 401})
	r := b.get("/v1/agents?view=full").wants(t, 200, "")
	if s := r.source("talkifai"); s["status"] != "error" || s["count"] != 0.0 || s["error"].(map[string]any)["code"] != "upstream_auth_failed" || strings.Contains(r.text, "talkifai:agent") {
		t.Errorf("%v", s)
	}
	if n := b.gets("talkifai"); n > 8 {
		t.Errorf("%d details were requested with a refused credential", n)
	}
	if r.body["resume_cursor"] == nil {
		t.Error("no resume_cursor for the failed source")
	}
	b.get("/v1/agents?backend=talkifai&view=full").wants(t, 502, "upstream_auth_failed")
}

// TestFullView_DeletedAgentIsLeftOut: the cached list is older than the deletion.
func TestFullView_DeletedAgentIsLeftOut(t *testing.T) {
	b := newBench(t, "")
	b.get("/v1/agents").wants(t, 200, "")
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Path: "/v1/agents/agent_def456", Status: 404})
	r := b.get("/v1/agents?view=full&backend=talkifai&limit=2&require=all").wants(t, 200, "")
	if got := strings.Join(r.ids(), " "); got != "talkifai:agent_abc123 talkifai:agent_ghi789" || r.source("talkifai")["count"] != 4.0 {
		t.Errorf("%s, %v", got, r.source("talkifai"))
	}
}

// TestFullView_FiltersByDetails: the detail is newer than the cached list.
func TestFullView_FiltersByDetails(t *testing.T) {
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

// TestFullView_ChangedDetailChangesTheResponse: the cached response is not
// served once one of its details has been read again.
func TestFullView_ChangedDetailChangesTheResponse(t *testing.T) {
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
	// With no-cache the details are read again, too.
	gets := b.gets("talkifai")
	b.get(path, "Cache-Control: no-cache").wants(t, 200, "")
	if got := b.gets("talkifai") - gets; got != 5 {
		t.Errorf("%d details were read again", got)
	}
}

// TestFullView_ExcludedAgentsNeedNoDetails: an agent that one filter excludes
// is not missing because another filter or the order needs its details.
func TestFullView_ExcludedAgentsNeedNoDetails(t *testing.T) {
	b := newBench(t, "")
	for query, want := range map[string]int{"architecture=pipeline&order_by=updated_at": 3, "status=active&language=en": 3, "status=nothing&language=en": 0} {
		gets := b.gets("talkifai")
		if ids := b.allPages("view=full&require=all&backend=talkifai&"+query, 1); len(ids) != want {
			t.Errorf("%s: %v", query, ids)
		}
		r := b.get("/v1/agents?view=full&backend=talkifai&"+query).wants(t, 200, "")
		if s := r.source("talkifai"); r.body["complete"] != true || r.body["resume_cursor"] != nil || s["unfiltered"] != nil || s["count"] != float64(want) {
			t.Errorf("%s: %v, resume %v", query, s, r.body["resume_cursor"])
		}
		if got := b.gets("talkifai") - gets; want == 0 && got != 0 {
			t.Errorf("%s: %d details of excluded agents were read", query, got)
		}
	}
}

// TestGet_DoesNotQueueBehindLists: a get does not wait for the details that
// a list loads.
func TestGet_DoesNotQueueBehindLists(t *testing.T) {
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
	waittest.Until(t, "the list to load three details", func() bool { return held.Load() == 3 })
	for _, id := range ids[len(ids)-3:] { // the list loads these last
		b.get("/v1/agents/"+id).wants(t, 200, "")
	}
	close(release)
	if r := <-done; r.body["complete"] != true {
		t.Errorf("%v", r.source("talkifai"))
	}
}

// concurrency counts the requests that a provider handles at a time.
type concurrency struct{ now, most atomic.Int32 }

// holdUntil returns the change of a fault that answers only once release is closed.
func (c *concurrency) holdUntil(release <-chan struct{}) func([]byte) []byte {
	return func(body []byte) []byte {
		for n := c.now.Add(1); ; {
			if m := c.most.Load(); n <= m || c.most.CompareAndSwap(m, n) {
				break
			}
		}
		defer c.now.Add(-1)
		<-release
		return body
	}
}
