package gateway

import (
	"strings"
	"sync"
	"testing"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

// A flood of one key keeps neither another key out of the gateway, nor another credential out
// of a backend.
func TestFlood_OtherKeysAndCredentialsAreServed(t *testing.T) {
	b := newBench(t, "max_concurrent: 16\ntimeout: 60s")
	b.reload("max_inflight: 2048", "max_inflight: 32")
	release := make(chan struct{})
	b.vendors["klen"].Control().Fail(sandbox.Fault{Change: func(body []byte) []byte { <-release; return body }})
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Change: func(body []byte) []byte { <-release; return body }})
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused := map[string]int{}
	for i := range 60 { // of different agents, so that no fetch is shared
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
	waittest.Until(t, "the flood to fill its share of the backend", func() bool { return b.requests("talkifai") == 16 })
	waittest.Until(t, "the rest to be refused", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return refused["upstream_unavailable"]+refused["overloaded"] == 60-16
	})
	// The other key has another credential and another backend.
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

// A key that holds all the slots it can get leaves one to the next key.
func TestFlood_SlowRequestsLeaveSlotForOtherKeys(t *testing.T) {
	b := newBench(t, "timeout: 60s")
	b.reload("max_inflight: 2048", "max_inflight: 32")
	release := make(chan struct{})
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Change: func(body []byte) []byte { <-release; return body }})
	var wg sync.WaitGroup
	var mu sync.Mutex
	// The other key is there.
	b.vendors["klen"].Control().Fail(sandbox.Fault{Times: 1, Change: func(body []byte) []byte { <-release; return body }})
	wg.Go(func() { b.ask(keyKlen, "GET", "/v1/agents", "").wants(t, 200, "") })
	waittest.Until(t, "the other key", func() bool { return b.requests("klen") == 1 })
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
	waittest.Until(t, "the flood to be cut off", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return overloaded == 60-27
	})
	b.ask(keyKlen, "GET", "/v1/backends", "").wants(t, 200, "")
	close(release)
	wg.Wait()
	if !strings.Contains(b.metrics(), `agentgw_refused_total{reason="fair_share"}`) {
		t.Error("the metric does not count it")
	}
	b.get(krosaiAgent).wants(t, 200, "")
}

// A key that holds all slots, because it was alone, keeps another one out only until it gives
// some back: the other key counts as there although it is refused.
func TestFlood_LoneKeyGivesWay(t *testing.T) {
	t.Parallel()
	b := newBench(t, "timeout: 60s\nmax_concurrent: 1000")
	b.reload("max_inflight: 2048", "max_inflight: 32")
	release := make(chan struct{})
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Method: "POST", Change: func(body []byte) []byte { <-release; return body }})
	create := func() reply { return b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "krosai", "name": "n"}`) }
	var wg sync.WaitGroup
	for range 32 { // a key that is alone may use all
		wg.Go(func() { create().wants(t, 201, "") })
	}
	waittest.Until(t, "all slots to be taken", func() bool { return b.inFlight() == 32 })
	b.ask(keyKlen, "GET", "/v1/backends", "").wants(t, 503, "overloaded")
	close(release)
	wg.Wait()
	// From now on a part is kept for the other key.
	again := make(chan struct{})
	b.vendors["krosai"].Control().Heal()
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Method: "POST", Change: func(body []byte) []byte { <-again; return body }})
	for range 64 {
		wg.Go(func() { create() })
	}
	waittest.Until(t, "most slots to be taken", func() bool { return b.inFlight() >= 27 })
	b.ask(keyKlen, "GET", "/v1/backends", "").wants(t, 200, "")
	close(again)
	wg.Wait()
}
