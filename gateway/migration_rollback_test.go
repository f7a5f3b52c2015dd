package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/sandbox"
)

// TestRollback_ChainedMigrations: chained migrations are rolled back in reverse order, and
// aliases that somebody else created are kept.
func TestRollback_ChainedMigrations(t *testing.T) {
	b := newBench(t, "")
	b.put("support-bot", krosAgent, 0).wants(t, 201, "")
	first := b.inState(toTalkifai, "cut_over")
	second := b.inState(fmt.Sprintf(`{"source": %q, "target_backend": "agenthuman"}`, first.target()), "cut_over")
	if r := b.get("/v1/agents/support-bot"); r.body["id"] != second.target() {
		t.Errorf("%s", r.text)
	}
	first.step("rollback", "").wants(t, 409, "migration_state")
	second.step("rollback", "").wants(t, 200, "")
	firstTarget := b.get("/v1/migrations/" + first.id).body["target"]
	for _, name := range []string{"support-bot", krosAgent} {
		if r := b.get("/v1/agents/" + name); r.body["id"] != firstTarget {
			t.Errorf("%s points to %v, want %v", name, r.body["id"], firstTarget)
		}
	}
	first.step("rollback", "").wants(t, 200, "")
	for _, name := range []string{"support-bot", krosAgent} {
		if r := b.get("/v1/agents/" + name); r.body["id"] != krosAgent {
			t.Errorf("%s points to %v", name, r.body["id"])
		}
	}

	third := b.inState(toTalkifai, "verified")
	b.put(krosAgent, "klen:123", 0).wants(t, 201, "")
	third.step("cutover", "").wants(t, 409, "alias_conflict")
	if r := b.get("/v1/agents/" + krosAgent); r.body["id"] != "klen:123" {
		t.Errorf("an alias of somebody else was overwritten: %s", r.text)
	}
	b.ask(keyAcme, "DELETE", "/v1/agents/klen:123", "").wants(t, 409, "alias_in_the_way")
	b.ask(keyAcme, "DELETE", "/v1/aliases/"+krosAgent, "").wants(t, 204, "")
	third.step("cutover", `{"activate": false}`).wants(t, 200, "")
	target := third.target()
	if r := b.get("/v1/agents/" + target); r.body["status"] != "inactive" {
		t.Errorf("%v", r.body["status"])
	}
	third.step("cutover", `{"activate": true}`).wants(t, 200, "")
	if r := b.get("/v1/agents/" + target); r.body["status"] != "active" {
		t.Errorf("%v", r.body["status"])
	}
	b.ask(keyAcme, "DELETE", "/v1/agents/"+target, "").wants(t, 409, "alias_in_the_way")
	b.put("its-name", target, 0).wants(t, 201, "")
	third.step("rollback", `{"delete_target": true}`).wants(t, 409, "alias_in_the_way")
	if r := b.get("/v1/agents/" + krosAgent); r.body["id"] != krosAgent {
		t.Errorf("%s", r.text)
	}
	b.ask(keyAcme, "DELETE", "/v1/aliases/its-name", "").wants(t, 204, "")
	third.step("rollback", `{"delete_target": true}`).wants(t, 200, "")

	// The source was deleted: its ids cannot point back to it.
	fourth := b.inState(toTalkifai, "cut_over")
	b.ask(keyAcme, "DELETE", "/v1/agents/"+krosAgent+"?resolve=none", "").wants(t, 204, "")
	fourth.step("rollback", "").wants(t, 409, "plan_stale")
	if r := b.get("/v1/agents/"+krosAgent).wants(t, 200, ""); r.body["status"] != "active" {
		t.Errorf("%s", r.text)
	}
}

// TestRollback_KeepsChangesOfOthers: a target that somebody else changed is not deleted, even
// if the changed fields are not part of the plan.
func TestRollback_KeepsChangesOfOthers(t *testing.T) {
	b := newBench(t, "")
	m := b.inState(toTalkifai, "verified")
	target := m.target()
	b.ask(keyAcme, "PATCH", "/v1/agents/"+target, `{"visibility": "private", "model": {"temperature": 0.3}}`).wants(t, 200, "")
	if m.step("verify", "").wants(t, 200, ""); m.body["verification"].(map[string]any)["target_changed"] != true {
		t.Errorf("%s", m.text)
	}
	b.ask(keyAcme, "PATCH", "/v1/agents/"+krosAgent, `{"description": "A loss that was accepted."}`).wants(t, 200, "")
	m.step("cutover", "").wants(t, 200, "")
	m.step("rollback", `{"delete_target": true}`).wants(t, 409, "target_diverged")
	if m.step("rollback", ``).wants(t, 200, ""); !strings.Contains(m.text, "not_carried_back") {
		t.Errorf("%s", m.text)
	}
	if r := b.get("/v1/agents/"+target).wants(t, 200, ""); r.body["visibility"] != "private" {
		t.Errorf("%s", r.text)
	}
}

// TestRollback_AbandonsUnknownOutcome: abandon gives up a migration whose create request has
// an outcome that cannot be determined.
func TestRollback_AbandonsUnknownOutcome(t *testing.T) {
	b := newBench(t, "timeout: 3s\nbreaker: {consecutive: 100000, min_requests: 100000}")
	m := b.plan(toTalkifai)
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Method: http.MethodPost, Times: 1, Hang: true})
	m.apply().wants(t, 504, "write_outcome_unknown")
	b.env["ACME_TALKIFAI"] = "canary-rotated"
	b.vendors["talkifai"].SeedDemo("canary-rotated")
	b.reload()
	m.apply().wants(t, 504, "write_outcome_unknown")
	m.step("rollback", "").wants(t, 504, "write_outcome_unknown")
	if m.step("rollback", `{"abandon": true}`).wants(t, 200, ""); m.body["state"] != "rolled_back" || !strings.Contains(m.text, `"abandoned"`) {
		t.Errorf("%s", m.text)
	}
	b.plan(toTalkifai)
}
