package gateway

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

// TestPagination_RandomFailuresAndChanges pages through all four backends while agents
// are created, deleted and changed, and backends, or single pages of theirs, fail and recover.
// An agent that exists throughout is returned exactly once, by next_cursor and then
// resume_cursor. catalog.TestPaginate_ChangesAndFailuresBetweenPages does the same without
// HTTP, thousands of times.
func TestPagination_RandomFailuresAndChanges(t *testing.T) {
	b := newBench(t, "cache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}\nbreaker: {consecutive: 100000, min_requests: 100000}\ntimeout: 2s")
	for i := range 130 { // more than one page of talkifai, which has 100
		b.vendors["talkifai"].Seed(b.env["ACME_TALKIFAI"], talkifaiAgent(i))
	}
	resumed, partial := 0, 0
	for seed := range uint64(15) {
		paginator{resumed: &resumed, partial: &partial, bench: b, rand: rand.New(rand.NewPCG(seed, 7)), order: []string{"", "&order_by=name", "&order_by=-created_at"}[seed%3]}.run()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if resumed < 5 || partial < 5 {
		t.Errorf("%d lists were resumed and %d sources partial: too few to test resuming", resumed, partial)
	}
}

func talkifaiAgent(i int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"id": "agent_%d", "name": "N%d", "agentArchitecture": "text", "model": "m", "systemPrompt": "p", "language": "en", "mode": "public", "active": true, "temperature": 0.5, "createdAt": "2024-01-01T00:00:%02dZ", "updatedAt": "2024-01-01T00:00:00Z"}`, i*37%1000, i%9, i%60))
}

type paginator struct {
	*bench
	rand  *rand.Rand
	order string
	// resumed and partial count pages with a resume_cursor and partial sources.
	resumed, partial *int
}

func (p paginator) run() {
	t := p.t
	stayed := map[string]bool{}
	for _, id := range p.get("/v1/agents?limit=1000").wants(t, 200, "").ids() {
		stayed[id] = true
	}
	seen := map[string]int{}
	cursor, failed := "", false
	for pages := 0; ; pages++ {
		if pages > 200 {
			t.Fatal("pagination does not end")
		}
		p.heal()
		if pages < 60 && p.rand.IntN(3) > 0 {
			p.fail()
		}
		r := p.get(fmt.Sprintf("/v1/agents?limit=%d%s%s", 1+p.rand.IntN(60), p.order, cursor))
		if r.StatusCode >= 429 { // every source failed: retry the same cursor
			continue
		}
		r.wants(t, 200, "")
		for _, id := range r.ids() {
			seen[id]++
		}
		whole := true
		for _, s := range r.body["sources"].([]any) {
			status := s.(map[string]any)["status"]
			if whole = whole && status == "ok"; status == "partial" {
				*p.partial++
			}
		}
		if failed = failed || !whole; r.body["complete"] != whole {
			t.Errorf("complete %v: %v", r.body["complete"], r.body["sources"])
		}
		next, more := r.body["next_cursor"].(string)
		resume, pending := r.body["resume_cursor"].(string)
		if more && pending || pending && !failed {
			t.Errorf("next %v, resume %v, failed %v", more, pending, failed)
		}
		if pending {
			next = resume
			*p.resumed++
			if r.body["complete"] != false {
				t.Error("a complete list has a resume_cursor")
			}
		}
		if !more && !pending {
			break
		}
		cursor = "&cursor=" + next
		p.heal()
		p.change(stayed)
	}
	for id := range stayed {
		if seen[id] != 1 {
			t.Errorf("%s existed throughout and was returned %d times", id, seen[id])
		}
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("%s was returned %d times", id, n)
		}
	}
}

func (p paginator) heal() {
	for _, v := range p.vendors {
		v.Control().Heal()
	}
}

// fail makes the next response of one or two providers fail.
func (p paginator) fail() {
	for range 1 + p.rand.IntN(2) {
		vendor := []string{"klen", "agenthuman", "krosai", "talkifai", "talkifai"}[p.rand.IntN(5)]
		skip := 0
		if vendor == "talkifai" {
			skip = p.rand.IntN(2) // fail on its second page
		}
		p.vendors[vendor].Control().Fail([]sandbox.Fault{{Status: 500, Skip: skip}, {Cut: true, Skip: skip}, {Status: 429, Header: map[string]string{"Retry-After": "0.001"}, Skip: skip}}[p.rand.IntN(3)])
	}
}

// change writes to the providers through the gateway, and removes deleted agents from stayed.
func (p paginator) change(stayed map[string]bool) {
	t := p.t
	p.heal()
	for range p.rand.IntN(3) {
		switch p.rand.IntN(3) {
		case 0:
			p.ask(keyAcme, "POST", "/v1/agents", fmt.Sprintf(`{"backend": "krosai", "name": "New %d"}`, p.rand.IntN(9)))
		case 1:
			ids := p.get("/v1/agents?backend=krosai&limit=1000").ids()
			if len(ids) == 0 {
				continue
			}
			id := ids[p.rand.IntN(len(ids))]
			p.ask(keyAcme, "DELETE", "/v1/agents/"+id, "")
			delete(stayed, id)
		default:
			p.ask(keyAcme, "PATCH", "/v1/agents/agenthuman:131", fmt.Sprintf(`{"greeting": "Hello %d"}`, p.rand.IntN(1000))).wants(t, 200, "")
		}
	}
}

func TestPagination_ReturnsEachAgentOnceForEveryLimit(t *testing.T) {
	b := newBench(t, "")
	whole := b.get("/v1/agents").ids()
	for limit := 1; limit <= len(whole)+1; limit++ {
		var paged []string
		cursor := ""
		for pages := 0; ; pages++ {
			if pages > len(whole) {
				t.Fatalf("limit %d: pagination does not end", limit)
			}
			r := b.get(fmt.Sprintf("/v1/agents?limit=%d%s", limit, cursor)).wants(t, 200, "")
			paged = append(paged, r.ids()...)
			if r.source("klen")["count"] != 5.0 {
				t.Errorf("count %v is not of all pages", r.source("klen")["count"])
			}
			next, more := r.body["next_cursor"].(string)
			if !more {
				break
			}
			cursor = "&cursor=" + next
		}
		if !reflect.DeepEqual(paged, whole) {
			t.Errorf("limit %d: %v", limit, paged)
		}
	}
}

// TestPagination_AgentsCreatedAndDeletedBetweenPages: agents that exist throughout are returned exactly once.
func TestPagination_AgentsCreatedAndDeletedBetweenPages(t *testing.T) {
	b := newBench(t, "")
	first := b.get("/v1/agents?backend=krosai&limit=2").wants(t, 200, "")
	deleted := first.ids()[1]
	b.ask(keyAcme, "DELETE", "/v1/agents/"+deleted, "").wants(t, 204, "")
	b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "krosai", "name": "Before the cursor"}`).wants(t, 201, "")
	second := b.get("/v1/agents?backend=krosai&limit=2&cursor="+first.body["next_cursor"].(string)).wants(t, 200, "")
	if got := second.ids(); !reflect.DeepEqual(got, []string{"krosai:c3d4e5f6-a7b8-4012-8def-ab3456789012", "krosai:d4e5f6a7-b8c9-4123-9efa-bc4567890123"}) {
		t.Errorf("%v", got)
	}
}

// TestPagination_BackendFailsBetweenPages: the agents of later backends
// are still returned, and a cursor is refused once the key's backends have changed.
func TestPagination_BackendFailsBetweenPages(t *testing.T) {
	b := newBench(t, "cache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}")
	cursor := b.get("/v1/agents?backend=klen,krosai&limit=2").body["next_cursor"].(string)
	b.vendors["klen"].Control().Fail(sandbox.Fault{Status: 500})
	r := b.get("/v1/agents?backend=klen,krosai&limit=2&cursor="+cursor).wants(t, 200, "")
	if len(r.ids()) != 2 || !strings.HasPrefix(r.ids()[0], "krosai:") || r.body["next_cursor"] == nil || r.body["complete"] != false {
		t.Errorf("%s", r.text)
	}
	cursor = b.ask(keyRead, "GET", "/v1/agents?limit=2", "").body["next_cursor"].(string)
	i := strings.LastIndex(b.file, "      krosai: env")
	j := strings.LastIndex(b.file, "      talkifai: env")
	b.reload(b.file[strings.Index(b.file, "  - id: "+keyRead):], b.file[strings.Index(b.file, "  - id: "+keyRead):i]+b.file[j:])
	b.ask(keyRead, "GET", "/v1/agents?limit=2&cursor="+cursor, "").wants(t, 400, "cursor_mismatch")
}

// TestPagination_EveryOrderAndFilter: with every limit each agent is returned once, in
// order, and the filters apply to every page.
func TestPagination_EveryOrderAndFilter(t *testing.T) {
	b := newBench(t, "")
	for _, query := range []string{"order_by=name", "order_by=-name", "order_by=created_at", "order_by=-updated_at", "order_by=updated_at&view=full", "status=active", "q=e&order_by=-created_at"} {
		whole := b.get("/v1/agents?" + query).ids()
		for _, limit := range []int{1, 2, 5, 17, 18} {
			if paged := b.allPages(query, limit); !reflect.DeepEqual(paged, whole) {
				t.Errorf("%s, limit %d: %v, want %v", query, limit, paged, whole)
			}
		}
	}
}

// TestPagination_StaleSourceStaysStale: later pages report it, too, with the
// time to retry.
func TestPagination_StaleSourceStaysStale(t *testing.T) {
	b := newBench(t, "quota: {requests: 1, per: 1h}\ncache: {ttl: 1ms, stale_while_revalidate: 0s}")
	b.get("/v1/agents?backend=krosai").wants(t, 200, "")
	path := "/v1/agents?backend=krosai&limit=2"
	var r reply
	waittest.Until(t, "the list to age", func() bool {
		r = b.get(path)
		return r.source("krosai")["status"] == "stale"
	})
	r = b.get(path+"&cursor="+r.body["next_cursor"].(string)).wants(t, 200, "")
	if s := r.source("krosai"); s["status"] != "stale" || s["error"].(map[string]any)["retry_after_s"] == nil || r.body["next_cursor"] != nil || r.body["resume_cursor"] != nil {
		t.Errorf("%s", r.text)
	}
}

// TestFullView_PaginationResumesFailedDetails: an agent whose detail fails on
// one page is returned exactly once over all pages.
func TestFullView_PaginationResumesFailedDetails(t *testing.T) {
	b := newBench(t, "cache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}\nbreaker: {consecutive: 1000, min_requests: 1000}")
	for _, query := range []string{"view=full&backend=talkifai&order_by=updated_at&limit=2", "view=full&backend=talkifai&language=en&limit=1"} {
		for failing := range 4 {
			seen := map[string]int{}
			cursor := ""
			for pages := 0; ; pages++ {
				if pages > 20 {
					t.Fatal("pagination does not end")
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
				if resume, pending := r.body["resume_cursor"].(string); pending {
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
					t.Errorf("%s, failing on page %d: %s was returned %d times", query, failing, id, n)
				}
			}
			if len(seen) != want {
				t.Errorf("%s, failing on page %d: %d agents, want %d", query, failing, len(seen), want)
			}
		}
	}
}

// TestFullView_DeletedAgentInOrderedPagination: it is left out, and the list is
// complete.
func TestFullView_DeletedAgentInOrderedPagination(t *testing.T) {
	b := newBench(t, "")
	b.get("/v1/agents").wants(t, 200, "")
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Path: "/v1/agents/agent_def456", Status: 404})
	if ids := b.allPages("view=full&backend=talkifai&order_by=-updated_at&require=all", 2); len(ids) != 4 {
		t.Errorf("%v", ids)
	}
}

func TestCursor_IsURLSafeAndTamperProof(t *testing.T) {
	b := newBench(t, "")
	cursor := b.get("/v1/agents?limit=1").body["next_cursor"].(string)
	if strings.ContainsAny(cursor, "+/= ") {
		t.Errorf("%q is not URL-safe", cursor)
	}
	for i := range len(cursor) {
		if i%7 != 0 {
			continue
		}
		other := byte('A')
		if cursor[i] == other {
			other = 'B'
		}
		b.get("/v1/agents?cursor="+cursor[:i]+string(other)+cursor[i+1:]).wants(t, 400, "cursor_invalid")
	}
	b.get("/v1/agents?cursor=c1.").wants(t, 400, "cursor_invalid")
	b.get("/v1/agents?cursor=x").wants(t, 400, "cursor_invalid")
	b.get("/v1/agents?cursor="+cursor+"%0A").wants(t, 400, "cursor_invalid")
	b.get("/v1/agents?backend=klen&cursor="+cursor).wants(t, 400, "cursor_mismatch")
	b.ask(keyRead, "GET", "/v1/agents?cursor="+cursor, "").wants(t, 400, "cursor_mismatch")
	b.get("/v1/agents?limit=3&cursor="+cursor).wants(t, 200, "")
}

func TestCursor_RefusedForAnotherQuery(t *testing.T) {
	b := newBench(t, "")
	cursor := b.get("/v1/agents?limit=1&status=active,archived&order_by=name&q=e").body["next_cursor"].(string)
	f := func(query string, ok bool) {
		t.Helper()
		if r := b.get("/v1/agents?" + query + "&cursor=" + cursor); ok {
			r.wants(t, 200, "")
		} else {
			r.wants(t, 400, "cursor_mismatch")
		}
	}
	f("status=active,archived&order_by=name&q=e", true)
	f("status=archived,active&order_by=name&q=e&limit=7&include=raw", true)
	f("status=active,archived&order_by=-name&q=e", false)
	f("status=active,archived&q=e", false)
	f("status=active&order_by=name&q=e", false)
	f("status=active,archived&order_by=name&q=f", false)
	f("status=active,archived&order_by=name", false)
	f("status=active,archived&order_by=name&q=e&view=full", false)
	f("direction=active,archived&order_by=name&q=e", false)
}

// allPages follows next_cursor to the last page and returns the ids of all agents.
func (b *bench) allPages(query string, limit int) (ids []string) {
	b.t.Helper()
	cursor := ""
	for range 100 {
		r := b.get(fmt.Sprintf("/v1/agents?%s&limit=%d%s", query, limit, cursor)).wants(b.t, 200, "")
		ids = append(ids, r.ids()...)
		next, more := r.body["next_cursor"].(string)
		if !more {
			return ids
		}
		cursor = "&cursor=" + next
	}
	b.t.Fatal("pagination does not end")
	return nil
}
