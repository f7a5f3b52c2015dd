package gateway

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

func TestApply_ChangedSourceIsStale(t *testing.T) {
	b := newBench(t, "")
	m := b.plan(toTalkifai)
	b.ask(keyAcme, "PATCH", "/v1/agents/"+krosAgent, `{"name": "Another"}`).wants(t, 200, "")
	m.apply().wants(t, 409, "plan_stale")
	if b.posts("talkifai") != 0 {
		t.Error("it was applied")
	}
	b.plan(toTalkifai)
	m.apply().wants(t, 200, "")
}

// TestApply_LostResponseCreatesOneTarget: whatever became of the create request, applying
// again ends with exactly one target.
func TestApply_LostResponseCreatesOneTarget(t *testing.T) {
	t.Parallel() // it waits most of the time
	b := newBench(t, "timeout: 3s\nbreaker: {consecutive: 100000, min_requests: 100000}\ncache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}")
	control := b.vendors["talkifai"].Control()
	for i, c := range lostCases[:len(lostCases)-1] {
		name := fmt.Sprintf("Moved %d", i)
		control.Forget()
		m := b.plan(strings.Replace(toTalkifai, `"model.id"`, fmt.Sprintf(`"name": %q, "model.id"`, name), 1))
		fault := c.fault
		fault.Method, fault.Times = http.MethodPost, 1
		control.Fail(fault)
		m.apply().wants(t, c.status, c.code)
		wantState := "outcome_unknown"
		if c.status != 504 {
			wantState = "ready"
		}
		if now := b.get("/v1/migrations/" + m.id); now.body["state"] != wantState {
			t.Errorf("%s: it is %v", c.name, now.body["state"])
		}
		waittest.Until(t, "the apply", func() bool { m.apply(); return m.StatusCode == 200 })
		if posts, agents := b.posts("talkifai"), b.named("talkifai", name); posts != c.posts || agents != 1 || m.body["state"] != "applied" {
			t.Errorf("%s: %d creates, want %d; %d agents; %v", c.name, posts, c.posts, agents, m.body["state"])
		}
		if i%2 == 0 {
			m.step("rollback", `{"delete_target": true}`).wants(t, 200, "")
		} else {
			m.step("rollback", `{}`).wants(t, 200, "")
		}
	}
}

func TestApply_RejectedByProvider(t *testing.T) {
	b := newBench(t, "")
	m := b.plan(toTalkifai)
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Method: http.MethodPost, Status: 422, Times: 1, Body: `{"error": "no"}`})
	m.apply().wants(t, 422, "upstream_rejected")
	if now := b.get("/v1/migrations/" + m.id); now.body["state"] != "failed" || now.body["target"] != nil {
		t.Errorf("%s", now.text)
	}
	m.apply().wants(t, 200, "")
}

// TestApply_StoreFailsDuringCreate: an agent whose creation could not be stored is found, and
// not created again, by an apply and by a create with an Idempotency-Key.
func TestApply_StoreFailsDuringCreate(t *testing.T) {
	t.Parallel() // it waits most of the time
	b := newBenchOn(t, "sqlite:"+filepath.Join(t.TempDir(), "store.db"), "timeout: 2s")
	b.reload("request_timeout: 2m", "request_timeout: 10s") // after which the claim of a create expires
	path := strings.TrimPrefix(b.storeURL, "sqlite:")
	during := func(backend string, do func() reply) reply {
		b.vendors[backend].Control().Fail(sandbox.Fault{Method: http.MethodPost, Times: 1, Delay: 300 * time.Millisecond})
		before := b.posts(backend)
		got := make(chan reply)
		go func() { got <- do() }()
		waittest.Until(t, "the create request to be sent", func() bool { return b.posts(backend) > before })
		if err := os.Rename(path, path+".away"); err != nil {
			t.Error(err)
		}
		r := <-got
		if err := os.Rename(path+".away", path); err != nil {
			t.Error(err)
		}
		return r
	}
	m := b.plan(strings.Replace(toTalkifai, `"model.id"`, `"name": "In the middle", "model.id"`, 1))
	during("talkifai", func() reply { return m.apply() }).wants(t, 503, "store_unavailable")
	m.apply().wants(t, 200, "")
	if posts, agents := b.posts("talkifai"), b.named("talkifai", "In the middle"); posts != 1 || agents != 1 {
		t.Errorf("%d creates, %d targets", posts, agents)
	}
	body := `{"backend": "krosai", "name": "Kept or not", "system_prompt": "p"}`
	during("krosai", func() reply { return b.createOnce("k", body) }).wants(t, 201, "")
	waittest.Until(t, "the create to be released", func() bool { return b.createOnce("k", body).StatusCode == 201 })
	if posts, agents := b.posts("krosai"), b.named("krosai", "Kept or not"); posts != 1 || agents != 1 {
		t.Errorf("%d creates, %d agents", posts, agents)
	}
}

// TestApply_DeactivationFails: if the target cannot be taken out of service, applying again does
// that, and creates no second target; a rollback finds the target.
func TestApply_DeactivationFails(t *testing.T) {
	for name, fault := range map[string]sandbox.Fault{
		"refused":          {Status: 422, Body: `{"error": "no"}`},
		"failed":           {Status: 500},
		"response lost":    {Done: true, Reset: true},
		"connection reset": {Reset: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, next := range []string{"apply", "rollback"} {
				b := newBench(t, "breaker: {consecutive: 100000, min_requests: 100000}")
				m := b.plan(fmt.Sprintf(`{"source": %q, "target_backend": "agenthuman"}`, krosAgent))
				fault := fault
				fault.Method, fault.Times = http.MethodPut, 1
				b.vendors["agenthuman"].Control().Fail(fault)
				if m.apply(); m.StatusCode < 400 {
					t.Errorf("%d: %s", m.StatusCode, m.text)
				}
				now := b.get("/v1/migrations/" + m.id)
				target, _ := now.body["target"].(string)
				if now.body["state"] != "outcome_unknown" || target == "" {
					t.Errorf("%s, %q", now.body["state"], target)
				}
				if next == "rollback" {
					m.step("rollback", `{"delete_target": true}`).wants(t, 200, "")
					b.get("/v1/agents/"+target).wants(t, 404, "agent_not_found")
					continue
				}
				m.apply().wants(t, 200, "")
				if agent := b.get("/v1/agents/" + target); b.posts("agenthuman") != 1 || m.target() != target || agent.body["status"] != "archived" {
					t.Errorf("%d creates, target %s, status %v", b.posts("agenthuman"), m.target(), agent.body["status"])
				}
			}
		})
	}
}
