package gateway

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/agentgw/agentgw/sandbox"
)

// TestWalksOverVendors walks over all four vendors while agents come, go and
// change there, and vendors, or single pages of theirs, fail and come back. An
// agent that is there all the time is seen exactly once, by next_cursor and then
// resume_cursor. (catalog.TestPaginate_ChangesAndFailuresBetweenPages does the same without HTTP, thousands of
// times.)
func TestWalksOverVendors(t *testing.T) {
	b := newBench(t, "cache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}\nbreaker: {consecutive: 100000, min_requests: 100000}\ntimeout: 2s")
	for i := range 130 { // a page of talkifai's has 100
		b.vendors["talkifai"].Seed(b.env["ACME_TALKIFAI"], talkifaiAgent(i))
	}
	resumed, partial := 0, 0
	for seed := range uint64(15) {
		walker{resumed: &resumed, partial: &partial, bench: b, rand: rand.New(rand.NewPCG(seed, 7)), order: []string{"", "&order_by=name", "&order_by=-created_at"}[seed%3]}.walk()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if resumed < 5 || partial < 5 {
		t.Errorf("%d walks were resumed, and %d sources were partial: the test tests too little", resumed, partial)
	}
}

func talkifaiAgent(i int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"id": "agent_%d", "name": "N%d", "agentArchitecture": "text", "model": "m", "systemPrompt": "p", "language": "en", "mode": "public", "active": true, "temperature": 0.5, "createdAt": "2024-01-01T00:00:%02dZ", "updatedAt": "2024-01-01T00:00:00Z"}`, i*37%1000, i%9, i%60))
}

type walker struct {
	*bench
	rand  *rand.Rand
	order string
	// How often it came to that.
	resumed, partial *int
}

func (w walker) walk() {
	t := w.t
	stayed := map[string]bool{}
	for _, id := range w.get("/v1/agents?limit=1000").wants(t, 200, "").ids() {
		stayed[id] = true
	}
	seen := map[string]int{}
	cursor, failed := "", false
	for pages := 0; ; pages++ {
		if pages > 200 {
			t.Fatal("the walk does not end")
		}
		w.heal()
		if pages < 60 && w.rand.IntN(3) > 0 {
			w.fail()
		}
		r := w.get(fmt.Sprintf("/v1/agents?limit=%d%s%s", 1+w.rand.IntN(60), w.order, cursor))
		if r.StatusCode >= 429 { // all that was asked for failed: the same cursor again
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
				*w.partial++
			}
		}
		if failed = failed || !whole; r.body["complete"] != whole {
			t.Errorf("complete %v: %v", r.body["complete"], r.body["sources"])
		}
		next, more := r.body["next_cursor"].(string)
		resume, owed := r.body["resume_cursor"].(string)
		if more && owed || owed && !failed {
			t.Errorf("next %v, resume %v, failed %v", more, owed, failed)
		}
		if owed {
			next = resume
			*w.resumed++
			if r.body["complete"] != false {
				t.Error("something is owed, and the list is complete")
			}
		}
		if !more && !owed {
			break
		}
		cursor = "&cursor=" + next
		w.heal()
		w.turn(stayed)
	}
	for id := range stayed {
		if seen[id] != 1 {
			t.Errorf("%s was there all the time and seen %d times", id, seen[id])
		}
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("%s was seen %d times", id, n)
		}
	}
}

func (w walker) heal() {
	for _, v := range w.vendors {
		v.Control().Heal()
	}
}

// fail spoils the next page of a vendor or two.
func (w walker) fail() {
	for range 1 + w.rand.IntN(2) {
		vendor := []string{"klen", "agenthuman", "krosai", "talkifai", "talkifai"}[w.rand.IntN(5)]
		skip := 0
		if vendor == "talkifai" {
			skip = w.rand.IntN(2) // its second page: the list is interrupted
		}
		w.vendors[vendor].Control().Fail([]sandbox.Fault{{Status: 500, Skip: skip}, {Cut: true, Skip: skip}, {Status: 429, Header: map[string]string{"Retry-After": "0.001"}, Skip: skip}}[w.rand.IntN(3)])
	}
}

// turn changes something at the vendors, through the gateway.
func (w walker) turn(stayed map[string]bool) {
	t := w.t
	w.heal()
	for range w.rand.IntN(3) {
		switch w.rand.IntN(3) {
		case 0:
			w.ask(keyAcme, "POST", "/v1/agents", fmt.Sprintf(`{"backend": "krosai", "name": "New %d"}`, w.rand.IntN(9)))
		case 1:
			ids := w.get("/v1/agents?backend=krosai&limit=1000").ids()
			if len(ids) == 0 {
				continue
			}
			id := ids[w.rand.IntN(len(ids))]
			w.ask(keyAcme, "DELETE", "/v1/agents/"+id, "")
			delete(stayed, id)
		default:
			w.ask(keyAcme, "PATCH", "/v1/agents/agenthuman:131", fmt.Sprintf(`{"greeting": "Hello %d"}`, w.rand.IntN(1000))).wants(t, 200, "")
		}
	}
}
