package gateway

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentgw/agentgw/sandbox"
)

// TestShares: whatever a flood takes, who holds less than a fair share finds room,
// and nothing is kept from those who are alone.
func TestShares(t *testing.T) {
	s := newShares()
	take := func(name string, n, want int, others bool) (taken []*held) {
		t.Helper()
		for range n {
			if h := s.of(name); s.take(h, 80, others) {
				taken = append(taken, h)
			}
		}
		if len(taken) != want {
			t.Errorf("%s got %d places, want %d", name, len(taken), want)
		}
		return taken
	}
	leave := func(taken []*held) {
		for _, h := range taken {
			s.leave(h)
		}
	}
	flood := take("flood", 200, 70, true) // of 80; the last eighth is for others
	a := take("a", 200, 5, true)          // half of it
	b := take("b", 200, 1, true)
	for _, name := range []string{"c", "d", "e", "f"} {
		b = append(b, take(name, 200, 1, true)...)
	}
	take("g", 1, 0, true) // all are taken
	leave(flood[:20])     // what the flood gives back is not all its own again
	flood = flood[20:]
	flood = append(flood, take("flood", 200, 10, true)...)
	b = append(b, take("g", 200, 5, true)...)
	leave(flood)
	leave(a)
	leave(b)
	if s.taken != 0 || s.names != 0 {
		t.Errorf("%d taken, %d names hold any", s.taken, s.names)
	}
	leave(take("alone", 200, 80, false))
	for limit, most := range map[int]int{1: 1, 2: 1, 7: 6} { // one is kept back where there is more than one
		got := 0
		for range limit {
			if s.take(s.of("x"), limit, true) {
				got++
			}
		}
		if got != most || s.take(s.of("y"), limit, true) == (limit == 1) || s.take(s.of("z"), limit, true) {
			t.Errorf("%d of %d places for one name, then %d names", got, limit, s.names)
		}
		s = newShares()
	}
}

// TestTurns: who has many waiting gets no more turns than who has few; nobody who
// left gets one, and none is lost.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(2)
		var mu sync.Mutex
		var order []string
		running, most := 0, 0
		work := func(name string, done <-chan struct{}) {
			end, ok := turns.take(done, name)
			if !ok {
				return
			}
			defer end()
			mu.Lock()
			order = append(order, name)
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			running--
			mu.Unlock()
		}
		var wg sync.WaitGroup
		leaving := make(chan struct{})
		for range 50 {
			wg.Go(func() { work("many", nil) })
		}
		synctest.Wait()
		for range 20 {
			wg.Go(func() { work("gone", leaving) })
		}
		for range 3 {
			wg.Go(func() { work("few", nil) })
		}
		synctest.Wait()
		close(leaving)
		synctest.Wait()
		wg.Wait()
		last := strings.LastIndex(strings.Join(order, " "), "few")
		if words := strings.Count(strings.Join(order, " ")[:last], " "); words > 2+2*3 {
			t.Errorf("few had to wait for %d others: %v", words, order)
		}
		if len(order) != 53 || most != 2 {
			t.Errorf("%d worked, %d at a time", len(order), most)
		}
		if turns.running != 0 || len(turns.names) != 0 || len(turns.waiting) != 0 {
			t.Errorf("left over: %d %v %v", turns.running, turns.names, turns.waiting)
		}
	})
	// Leaving in the moment that the turn comes loses none.
	turns := newTurns(1)
	var wg sync.WaitGroup
	for range 200 {
		done := make(chan struct{})
		wg.Go(func() {
			if end, ok := turns.take(done, "x"); ok {
				time.Sleep(rand.N(50 * time.Microsecond))
				end()
			}
		})
		wg.Go(func() { time.Sleep(rand.N(time.Millisecond)); close(done) })
	}
	wg.Wait()
	if turns.running != 0 || len(turns.waiting) != 0 {
		t.Errorf("%d still run, %v wait", turns.running, turns.waiting)
	}
}

// TestOneKeysFlood neither keeps another key out of the gateway, nor another
// credential out of a backend.
func TestOneKeysFlood(t *testing.T) {
	b := newBench(t, "max_concurrent: 16\ntimeout: 9s")
	b.reload("max_inflight: 2048", "max_inflight: 32")
	release := make(chan struct{})
	b.vendors["klen"].Control().Fail(sandbox.Fault{Change: func(body []byte) []byte { <-release; return body }})
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Change: func(body []byte) []byte { <-release; return body }})
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused := map[string]int{}
	for i := range 60 { // of agents that nobody else asks for: nothing is shared
		path := "/v1/agents/talkifai:agent_" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		wg.Go(func() {
			r := b.get(path)
			mu.Lock()
			defer mu.Unlock()
			if code, _ := r.body["code"].(string); r.StatusCode == 503 {
				refused[code]++
			}
		})
	}
	waitFor(t, "the flood to fill its share of the backend", func() bool { return b.requests("talkifai") == 16 })
	waitFor(t, "the rest to be refused", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return refused["upstream_unavailable"]+refused["overloaded"] == 60-16
	})
	// klen-only has another credential, and klen another flood.
	if r := b.ask(keyKlen, "GET", "/v1/backends", ""); r.StatusCode != 200 {
		t.Errorf("another key: %d %s", r.StatusCode, r.text)
	}
	close(release)
	wg.Wait()
	for _, v := range b.vendors {
		v.Control().Heal()
	}
	b.ask(keyKlen, "GET", "/v1/agents", "").wants(t, 200, "")
}

// TestFloodOfSlowRequests: a key that has every place it can get leaves one to the
// next key.
func TestFloodOfSlowRequests(t *testing.T) {
	b := newBench(t, "timeout: 9s")
	b.reload("max_inflight: 2048", "max_inflight: 32")
	release := make(chan struct{})
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Change: func(body []byte) []byte { <-release; return body }})
	var wg sync.WaitGroup
	var mu sync.Mutex
	overloaded := 0
	for range 60 {
		wg.Go(func() {
			r := b.get(krosaiAgent)
			mu.Lock()
			defer mu.Unlock()
			if r.StatusCode == 503 && r.body["code"] == "overloaded" && r.Header.Get("Retry-After") != "" {
				overloaded++
			}
		})
	}
	waitFor(t, "the flood to be cut off", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return overloaded == 60-28
	})
	b.ask(keyKlen, "GET", "/v1/agents", "").wants(t, 200, "")
	close(release)
	wg.Wait()
	if !strings.Contains(b.metrics(), `agentgw_refused_total{reason="fair_share"}`) {
		t.Error("the metric does not tell")
	}
	b.get(krosaiAgent).wants(t, 200, "")
}
