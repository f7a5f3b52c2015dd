package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

// newAgents holds a create body for each provider that supports create; %s is the name.
var newAgents = map[string]string{
	"agenthuman": `{"backend": "agenthuman", "name": "%s", "greeting": "Hello"}`,
	"krosai":     `{"backend": "krosai", "name": "%s", "system_prompt": "p"}`,
	"talkifai":   `{"backend": "talkifai", "name": "%s", "architecture": "text", "system_prompt": "p", "model": {"id": "gpt-4o"}}`,
}

func (b *bench) createOnce(key, body string, headers ...string) reply {
	b.t.Helper()
	return b.ask(keyAcme, "POST", "/v1/agents", body, append(headers, "Idempotency-Key: "+key)...)
}

// posts counts the creates that a provider received.
func (b *bench) posts(vendor string) (n int) {
	for _, r := range b.vendors[vendor].Control().Requests() {
		if r.Method == http.MethodPost {
			n++
		}
	}
	return n
}

// named counts a provider's agents of that name, bypassing the cache.
func (b *bench) named(vendor, name string) (n int) {
	b.t.Helper()
	var r reply
	waittest.Until(b.t, "a list of "+vendor, func() bool { // a busy machine may be too slow for the short timeouts here
		r = b.get("/v1/agents?limit=1000&backend="+vendor, "Cache-Control: no-cache")
		return r.StatusCode == 200
	})
	for _, a := range r.body["data"].([]any) {
		if a.(map[string]any)["name"] == name {
			n++
		}
	}
	return n
}

// lostCases are the ways in which a create can fail: the response to it, how many creates the
// provider receives once it has been repeated, and whether the repeated one is recovered.
var lostCases = []struct {
	name   string
	fault  sandbox.Fault
	status int
	code   string
	posts  int
	found  bool // the repeated create finds the agent of the first
}{
	{"reset before the vendor does it", sandbox.Fault{Reset: true}, 504, "write_outcome_unknown", 2, false},
	{"reset after the vendor did it", sandbox.Fault{Done: true, Reset: true}, 504, "write_outcome_unknown", 1, true},
	{"cut in the middle of the answer", sandbox.Fault{Cut: true}, 504, "write_outcome_unknown", 1, true},
	{"timeout, not done", sandbox.Fault{Hang: true}, 504, "write_outcome_unknown", 2, false},
	{"timeout, done", sandbox.Fault{Done: true, Hang: true}, 504, "write_outcome_unknown", 1, true},
	{"timeout, done after it", sandbox.Fault{Late: 4 * time.Second}, 504, "write_outcome_unknown", 1, true},
	{"500, not done", sandbox.Fault{Status: 500}, 504, "write_outcome_unknown", 2, false},
	{"500, done", sandbox.Fault{Done: true, Status: 500}, 504, "write_outcome_unknown", 1, true},
	{"502, done", sandbox.Fault{Done: true, Status: 502}, 504, "write_outcome_unknown", 1, true},
	{"504, not done", sandbox.Fault{Status: 504}, 504, "write_outcome_unknown", 2, false},
	{"nonsense, done", sandbox.Fault{Change: func([]byte) []byte { return []byte("<html>") }}, 504, "write_outcome_unknown", 1, true},
	{"503", sandbox.Fault{Status: 503}, 503, "upstream_unavailable", 2, false},
	{"refused credential", sandbox.Fault{Status: 401}, 502, "upstream_auth_failed", 2, false},
	// Last, because the backend stays rate limited for a while.
	{"429", sandbox.Fault{Status: 429}, 429, "upstream_rate_limited", 2, false},
}

// TestIdempotencyKey_LostCreateIsNotDuplicated: whatever became of a create, repeating it
// with its key ends with exactly one agent. Without a key it is never sent again.
func TestIdempotencyKey_LostCreateIsNotDuplicated(t *testing.T) {
	t.Parallel() // it mostly waits
	for vendor, body := range newAgents {
		t.Run(vendor, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "timeout: 3s\nbreaker: {consecutive: 100000, min_requests: 100000}\ncache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}")
			control := b.vendors[vendor].Control()
			for i, c := range lostCases {
				name := fmt.Sprintf("Once %d", i)
				control.Forget()
				fault := c.fault
				fault.Method, fault.Times = http.MethodPost, 1
				control.Fail(fault)
				first := b.createOnce(name, fmt.Sprintf(body, name)).wants(t, c.status, c.code)
				if b.posts(vendor) != 1 {
					t.Errorf("%s: %d creates arrived by the first request", c.name, b.posts(vendor))
				}
				if first.body["retryable"] != (c.code != "upstream_auth_failed") || c.status != 502 && first.Header.Get("Retry-After") == "" {
					t.Errorf("%s: retryable %v, Retry-After %q", c.name, first.body["retryable"], first.Header.Get("Retry-After"))
				}
				again := b.createOnce(name, fmt.Sprintf(body, name))
				waittest.Until(t, "the quota to be there again", func() bool {
					if again.StatusCode == 429 {
						again = b.createOnce(name, fmt.Sprintf(body, name))
					}
					return again.StatusCode != 429
				})
				again.wants(t, 201, "")
				if replayed := again.Header.Get("Idempotency-Replayed"); (replayed == "true") != c.found {
					t.Errorf("%s: Idempotency-Replayed %q", c.name, replayed)
				}
				third := b.createOnce(name, fmt.Sprintf(body, name)).wants(t, 201, "")
				if third.text != again.text || third.Header.Get("Idempotency-Replayed") != "true" || third.Header.Get("Location") != again.Header.Get("Location") || third.Header.Get("ETag") == "" {
					t.Errorf("%s: the replay differs: %s, then %s", c.name, again.text, third.text)
				}
				if posts, agents := b.posts(vendor), b.named(vendor, name); posts != c.posts || agents != 1 {
					t.Errorf("%s: %d creates arrived, want %d; %d agents", c.name, posts, c.posts, agents)
				}
				// Without a key: sent at most once, and not retried.
				control.Forget()
				control.Fail(fault)
				b.ask(keyAcme, "POST", "/v1/agents", fmt.Sprintf(body, name+" free")).wants(t, c.status, c.code)
				if b.posts(vendor) != 1 {
					t.Errorf("%s: without a key %d creates arrived", c.name, b.posts(vendor))
				}
			}
		})
	}
}

func TestIdempotencyKey_UnsentCreateIsNotReconciled(t *testing.T) {
	b := newBench(t, "breaker: {consecutive: 1, open_for: 2s, max_open_for: 2s}")
	control := b.vendors["krosai"].Control()
	control.Fail(sandbox.Fault{Method: http.MethodGet, Status: 500})
	b.get("/v1/agents/krosai:x", "Cache-Control: no-cache").wants(t, 502, "upstream_error")
	body := fmt.Sprintf(newAgents["krosai"], "Later")
	b.createOnce("k", body).wants(t, 503, "upstream_unavailable")
	if b.posts("krosai") != 0 {
		t.Error("it was sent past an open breaker")
	}
	control.Heal()
	waittest.Until(t, "the breaker to close", func() bool {
		return b.get("/v1/agents?backend=krosai", "Cache-Control: no-cache").StatusCode == 200
	})
	if r := b.createOnce("k", body).wants(t, 201, ""); r.Header.Get("Idempotency-Replayed") != "" || b.posts("krosai") != 1 {
		t.Errorf("replayed %q, %d creates", r.Header.Get("Idempotency-Replayed"), b.posts("krosai"))
	}
}

// TestReconcile_SeveralCandidates: neither is taken, and the response lists them.
func TestReconcile_SeveralCandidates(t *testing.T) {
	b := newBench(t, "timeout: 1s\nbreaker: {consecutive: 100000, min_requests: 100000}")
	control := b.vendors["krosai"].Control()
	lose := func(key string) {
		control.Fail(sandbox.Fault{Method: http.MethodPost, Times: 1, Done: true, Reset: true})
		b.createOnce(key, fmt.Sprintf(newAgents["krosai"], "Twin")).wants(t, 504, "write_outcome_unknown")
	}
	lose("a")
	lose("b")
	r := b.createOnce("a", fmt.Sprintf(newAgents["krosai"], "Twin")).wants(t, 504, "write_outcome_unknown")
	detail := r.body["detail"].(string)
	if strings.Count(detail, "krosai:") != 2 || b.posts("krosai") != 2 {
		t.Errorf("%d creates: %s", b.posts("krosai"), detail)
	}
	_, id, _ := strings.Cut(detail, "krosai:")
	id, _, _ = strings.Cut(id, ",")
	b.ask(keyAcme, "DELETE", "/v1/agents/krosai:"+id, "").wants(t, 204, "")
	b.createOnce("a", fmt.Sprintf(newAgents["krosai"], "Twin")).wants(t, 201, "")
	b.createOnce("b", fmt.Sprintf(newAgents["krosai"], "Twin")).wants(t, 201, "") // the other agent is a's, so b creates its own
	if b.named("krosai", "Twin") != 2 || b.posts("krosai") != 3 {
		t.Errorf("%d agents, %d creates", b.named("krosai", "Twin"), b.posts("krosai"))
	}
}

// TestReconcile_UnreadableListKeepsOutcomeUnknown: another create is sent only once
// the list shows that there is no agent.
func TestReconcile_UnreadableListKeepsOutcomeUnknown(t *testing.T) {
	b := newBench(t, "timeout: 1s\nbreaker: {consecutive: 100000, min_requests: 100000}")
	control := b.vendors["krosai"].Control()
	body := fmt.Sprintf(newAgents["krosai"], "Hidden")
	b.get("/v1/agents?backend=krosai").wants(t, 200, "") // caches a list
	control.Fail(sandbox.Fault{Method: http.MethodPost, Times: 1, Reset: true})
	b.createOnce("k", body).wants(t, 504, "write_outcome_unknown")
	control.Fail(sandbox.Fault{Method: http.MethodGet, Status: 500})
	if r := b.createOnce("k", body).wants(t, 504, "write_outcome_unknown"); r.body["retryable"] != true {
		t.Errorf("%s", r.text)
	}
	if b.posts("krosai") != 1 {
		t.Errorf("%d creates", b.posts("krosai"))
	}
	control.Heal()
	b.createOnce("k", body).wants(t, 201, "")
	if b.posts("krosai") != 2 || b.named("krosai", "Hidden") != 1 {
		t.Errorf("%d creates, %d agents", b.posts("krosai"), b.named("krosai", "Hidden"))
	}
}

func TestReconcile_IgnoresEarlierAgentOfTheSameName(t *testing.T) {
	b := newBench(t, "timeout: 1s\nbreaker: {consecutive: 100000, min_requests: 100000}")
	body := fmt.Sprintf(newAgents["krosai"], "Same")
	made := b.ask(keyAcme, "POST", "/v1/agents", body).wants(t, 201, "").body["id"]
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Method: http.MethodPost, Times: 1, Reset: true})
	b.createOnce("k", body).wants(t, 504, "write_outcome_unknown")
	if r := b.createOnce("k", body).wants(t, 201, ""); r.body["id"] == made || r.Header.Get("Idempotency-Replayed") != "" {
		t.Errorf("%v existed before; got %v", made, r.body["id"])
	}
}

// TestIdempotencyKey_ReuseScopeAndValidation: reuse with another body, keys of other callers,
// invalid keys, dry runs, and a backend's rejection.
func TestIdempotencyKey_ReuseScopeAndValidation(t *testing.T) {
	b := newBench(t, "")
	b.reload("scopes: [agents:read]", "scopes: [agents:read, agents:write]")
	body := `{"backend": "krosai", "name": "Once"}`
	first := b.createOnce("a key", body).wants(t, 201, "")
	b.createOnce("a key", ` {"name":"Once",  "backend":"krosai"}`).wants(t, 201, "") // the same in another format
	b.createOnce("a key", `{"backend": "krosai", "name": "Twice"}`).wants(t, 422, "idempotency_key_reused")
	b.createOnce("a key", body, "Prefer: handling=lenient").wants(t, 422, "idempotency_key_reused")
	other := b.ask(keyRead, "POST", "/v1/agents", body, "Idempotency-Key: a key").wants(t, 201, "")
	if other.body["id"] == first.body["id"] || other.Header.Get("Idempotency-Replayed") != "" {
		t.Error("a caller got the outcome of another caller's key")
	}
	for _, key := range []string{"", strings.Repeat("x", 256), "tab\there", "ümlaut"} {
		b.createOnce(key, body).wants(t, 400, "invalid_parameter")
	}
	b.ask(keyAcme, "POST", "/v1/agents?dry_run=true", body, "Idempotency-Key: dry").wants(t, 200, "")
	b.createOnce("dry", body).wants(t, 201, "")
	b.createOnce("invalid", `{"backend": "krosai"}`).wants(t, 422, "validation_failed")
	b.createOnce("invalid", body).wants(t, 201, "") // nothing was sent, so no outcome is stored
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Method: http.MethodPost, Times: 1, Status: 422, Body: `{"error": "no"}`})
	posts := b.posts("krosai")
	b.createOnce("refused", body).wants(t, 422, "upstream_rejected")
	if r := b.createOnce("refused", body).wants(t, 422, "upstream_rejected"); r.Header.Get("Idempotency-Replayed") != "true" || b.posts("krosai") != posts+1 {
		t.Errorf("replayed %q, %d creates", r.Header.Get("Idempotency-Replayed"), b.posts("krosai")-posts)
	}
	// A stored outcome is not returned once the key has lost the backend.
	b.reload("      krosai: env:ACME_KROSAI\n", "")
	b.createOnce("a key", body).wants(t, 404, "agent_not_found")
	metrics := b.metrics()
	for _, want := range []string{`agentgw_idempotent_requests_total{result="replayed"} 2`, `agentgw_idempotent_requests_total{result="refused"} 1`, `agentgw_idempotent_requests_total{result="reused"} 2`, `agentgw_idempotent_requests_total{result="created"} 4`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in %s", want, metrics)
		}
	}
}

// TestIdempotencyKey_ConcurrentRequestsCreateOneAgent: the other requests are
// refused while it is in progress, and then get its result.
func TestIdempotencyKey_ConcurrentRequestsCreateOneAgent(t *testing.T) {
	b := newBench(t, "")
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Method: http.MethodPost, Delay: 50 * time.Millisecond})
	body := fmt.Sprintf(newAgents["krosai"], "One")
	var created, waiting, replayed atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			switch r := b.createOnce("k", body); {
			case r.StatusCode == 409:
				r.wants(t, 409, "idempotency_in_progress")
				waiting.Add(1)
			case r.wants(t, 201, "").Header.Get("Idempotency-Replayed") == "true":
				replayed.Add(1)
			default:
				created.Add(1)
			}
		})
	}
	wg.Wait()
	if created.Load() != 1 || waiting.Load() == 0 || b.posts("krosai") != 1 || b.named("krosai", "One") != 1 {
		t.Errorf("%d created, %d in progress, %d replayed; %d creates arrived, %d agents", created.Load(), waiting.Load(), replayed.Load(), b.posts("krosai"), b.named("krosai", "One"))
	}
}

// TestIdempotencyKey_RandomFailuresCreateOneAgentPerKey: creates, broken connections, failing
// lists and repeated creates in random order. A key keeps its agent, and no other agent exists.
func TestIdempotencyKey_RandomFailuresCreateOneAgentPerKey(t *testing.T) {
	t.Parallel()
	b := newBench(t, "timeout: 3s\nmax_concurrent: 8\nbreaker: {consecutive: 100000, min_requests: 100000}\ncache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}")
	control := b.vendors["krosai"].Control()
	faults := []sandbox.Fault{
		{Reset: true}, {Done: true, Reset: true}, {Cut: true}, {Hang: true}, {Done: true, Hang: true},
		{Status: 500}, {Done: true, Status: 502}, {Status: 503}, {},
	}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		agents := map[string]string{} // by key, once known
		names := map[string]string{}
		post := func(rt *rapid.T, key string) {
			names[key] = fmt.Sprintf("Run %d %s", run, key)
			r := b.createOnce(fmt.Sprintf("%d-%s", run, key), fmt.Sprintf(newAgents["krosai"], names[key]))
			switch id, known := agents[key]; {
			case r.StatusCode == 201 && !known:
				agents[key] = r.body["id"].(string)
			case r.StatusCode == 201 && r.body["id"] != id:
				rt.Fatalf("%s is %s, and then %v", key, id, r.body["id"])
			case r.StatusCode != 201 && known:
				rt.Fatalf("%s was created, and then %d: %s", key, r.StatusCode, r.text)
			case r.StatusCode != 201 && r.body["retryable"] != true:
				rt.Fatalf("%s cannot be sent again: %s", key, r.text)
			}
		}
		keys := rapid.SampledFrom([]string{"k1", "k2", "k3"})
		rt.Repeat(map[string]func(*rapid.T){
			"post": func(rt *rapid.T) { post(rt, keys.Draw(rt, "key")) },
			"post, and it fails": func(rt *rapid.T) {
				fault := rapid.SampledFrom(faults).Draw(rt, "fault")
				fault.Method, fault.Times = http.MethodPost, 1
				control.Fail(fault)
				post(rt, keys.Draw(rt, "key"))
				control.Forget()
			},
			"post, and lists fail": func(rt *rapid.T) {
				control.Fail(sandbox.Fault{Method: http.MethodGet, Status: 500})
				post(rt, keys.Draw(rt, "key"))
				control.Forget()
			},
		})
		for key, name := range names {
			waittest.Until(t, "the last answer", func() bool { post(rt, key); return agents[key] != "" })
			if agents[key] == "" || b.named("krosai", name) != 1 {
				rt.Fatalf("%s: %q, %d agents", key, agents[key], b.named("krosai", name))
			}
		}
	})
}
