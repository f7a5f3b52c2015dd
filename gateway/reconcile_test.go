package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/sandbox"
)

const lostBench = "timeout: 3s\nbreaker: {consecutive: 100000, min_requests: 100000}\ncache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}"

func (b *bench) lose(key, body string, f sandbox.Fault) {
	b.t.Helper()
	f.Method, f.Times = http.MethodPost, 1
	b.vendors["krosai"].Control().Fail(f)
	b.createOnce(key, body).wants(b.t, 504, "write_outcome_unknown")
}

func TestReconcile_IgnoresAgentOfARunningCreate(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, headers := range [][]string{{"Idempotency-Key: second"}, nil} {
		b := newBench(t, lostBench)
		control := b.vendors["krosai"].Control()
		body := fmt.Sprintf(newAgents["krosai"], "Same")
		b.lose("first", body, sandbox.Fault{Reset: true})
		created, release := make(chan struct{}), make(chan struct{})
		control.Fail(sandbox.Fault{Method: http.MethodPost, Times: 1, Change: func(body []byte) []byte {
			close(created)
			<-release
			return body
		}})
		second := make(chan reply, 1)
		go func() { second <- b.ask(keyAcme, "POST", "/v1/agents", body, headers...) }()
		<-created
		b.createOnce("first", body).wants(t, 504, "write_outcome_unknown")
		close(release)
		two := (<-second).wants(t, 201, "")
		one := b.createOnce("first", body).wants(t, 201, "")
		if one.body["id"] == two.body["id"] || b.named("krosai", "Same") != 2 {
			t.Errorf("%v and %v, %d agents", one.body["id"], two.body["id"], b.named("krosai", "Same"))
		}
	}
}

// TestReconcile_OtherAccountWithTheSameID: accounts may number their agents alike. That another
// account's create made its own t1 says nothing about this account's t1.
func TestReconcile_OtherAccountWithTheSameID(t *testing.T) {
	t.Parallel() // it mostly waits
	b := tenantsBench(t)
	control := b.vendors["krosai"].Control()
	made := fmt.Sprintf(`{"id": "t1", "name": "Same", "system_prompt": "p", "created_at": %q}`, time.Now().UTC().Format(time.RFC3339))
	body := fmt.Sprintf(newAgents["krosai"], "Same")
	b.vendors["krosai"].Seed(b.env["ONE_KROSAI"], []byte(made))
	control.Fail(sandbox.Fault{Method: http.MethodPost, Times: 1, Status: 201, Body: made})
	b.ask("alpha", "POST", "/v1/agents", body).wants(t, 201, "")
	// The other account's create makes its own t1, and the response is lost.
	control.Fail(sandbox.Fault{Method: http.MethodPost, Times: 1, Reset: true})
	b.ask("gamma", "POST", "/v1/agents", body, "Idempotency-Key: k").wants(t, 504, "write_outcome_unknown")
	b.vendors["krosai"].Seed(b.env["TWO_KROSAI"], []byte(made))
	if got := b.ask("gamma", "POST", "/v1/agents", body, "Idempotency-Key: k").wants(t, 201, ""); got.body["id"] != "krosai:t1" {
		t.Errorf("%s", got.text)
	}
}

// TestReconcile_IgnoresAgentOfAnotherKey: two keys may use one account.
func TestReconcile_IgnoresAgentOfAnotherKey(t *testing.T) {
	b := newBench(t, lostBench)
	b.reload("- id: "+keyRead+"\n", "- id: "+keyRead+"\n", "scopes: [agents:read]", "scopes: [agents:read, agents:write]")
	body := fmt.Sprintf(newAgents["krosai"], "Same")
	other := b.ask(keyRead, "POST", "/v1/agents", body).wants(t, 201, "")
	b.lose("k", body, sandbox.Fault{Status: 500})
	if r := b.createOnce("k", body); r.StatusCode == 201 && r.body["id"] == other.body["id"] {
		t.Errorf("it got another create's %v", r.body["id"])
	}
}

// TestReconcile_AmbiguousAgentKeepsOutcomeUnknown: an agent that may be the created one,
// in spite of a wrong clock, another value, or a read that does not find it yet, prevents a
// second create.
func TestReconcile_AmbiguousAgentKeepsOutcomeUnknown(t *testing.T) {
	replace := func(old, by string) func([]byte) []byte {
		return func(body []byte) []byte { return []byte(strings.ReplaceAll(string(body), old, by)) }
	}
	today := time.Now().UTC().Format(time.DateOnly)
	yesterday := time.Now().UTC().Add(-24 * time.Hour).Format(time.DateOnly)
	for name, f := range map[string]sandbox.Fault{
		"wrong clock": {Method: http.MethodGet, Change: replace(`"created_at":"`+today, `"created_at":"`+yesterday)},
		"wrong clock, another value": {Method: http.MethodGet, Change: func(body []byte) []byte {
			return replace(`"system_prompt":"p"`, `"system_prompt":"P."`)(replace(`"created_at":"`+today, `"created_at":"`+yesterday)(body))
		}},
		"another value": {Method: http.MethodGet, Change: replace(`"system_prompt":"p"`, `"system_prompt":"P."`)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, lostBench)
			b.vendors["krosai"].Control().Fail(f)
			body := fmt.Sprintf(newAgents["krosai"], "Ambiguous")
			b.lose("k", body, sandbox.Fault{Done: true, Status: 500})
			r := b.createOnce("k", body).wants(t, 504, "write_outcome_unknown")
			if b.posts("krosai") != 1 || !strings.Contains(r.body["detail"].(string), "krosai:0") {
				t.Errorf("%d creates: %s", b.posts("krosai"), r.text)
			}
		})
	}
	t.Run("not found yet", func(t *testing.T) {
		b := newBench(t, lostBench)
		body := fmt.Sprintf(newAgents["krosai"], "Ambiguous")
		b.lose("k", body, sandbox.Fault{Done: true, Status: 500})
		b.vendors["krosai"].Control().Fail(sandbox.Fault{Method: http.MethodGet, Path: b.vendors["krosai"].Prefix() + "/agents/00000000-0000-4000-8000-000000000001", Times: 1, Status: 404, Body: `{"detail":"no"}`})
		b.createOnce("k", body).wants(t, 504, "write_outcome_unknown")
		if r := b.createOnce("k", body).wants(t, 201, ""); r.Header.Get("Idempotency-Replayed") != "true" || b.posts("krosai") != 1 {
			t.Errorf("%d creates: %s", b.posts("krosai"), r.text)
		}
	})
}

// TestIdempotencyKey_BaseURLChanged: agents of the old base_url are neither looked for
// nor returned at the new one.
func TestIdempotencyKey_BaseURLChanged(t *testing.T) {
	b := newBench(t, lostBench)
	body := fmt.Sprintf(newAgents["krosai"], "Moved")
	b.createOnce("made", body).wants(t, 201, "")
	b.lose("lost", body, sandbox.Fault{Done: true, Reset: true})
	at := b.file[strings.Index(b.file, "provider: krosai"):]
	at = at[strings.Index(at, "base_url: "):]
	at = at[:strings.Index(at, "\n")]
	b.reload(at, strings.Replace(at, "127.0.0.1", "localhost", 1))
	b.createOnce("lost", body).wants(t, 504, "write_outcome_unknown")
	b.createOnce("made", body).wants(t, 404, "agent_not_found")
	if b.posts("krosai") != 2 {
		t.Errorf("%d creates", b.posts("krosai"))
	}
}

// TestIdempotencyKey_StoredOutcomes: a temporary rejection is not stored, and a deleted API key's
// outcomes are deleted.
func TestIdempotencyKey_StoredOutcomes(t *testing.T) {
	b := newBench(t, "")
	control := b.vendors["krosai"].Control()
	body := fmt.Sprintf(newAgents["krosai"], "Kept")
	for _, status := range []int{408, 409, 425} {
		control.Fail(sandbox.Fault{Method: http.MethodPost, Times: 1, Status: status, Body: `{}`})
		key := fmt.Sprint("k", status)
		b.createOnce(key, body).wants(t, 422, "upstream_rejected")
		b.createOnce(key, body).wants(t, 201, "")
	}

	removed := b.file[strings.Index(b.file, "  - id: "+keyAcme):strings.Index(b.file, "  - id: "+keyKlen)]
	before := len(b.vendors["krosai"].Control().Requests())
	b.reload(removed, "")
	b.reload()
	b.createOnce("k408", body).wants(t, 201, "")
	if len(b.vendors["krosai"].Control().Requests()) == before {
		t.Error("a stored outcome outlived its API key")
	}
}
