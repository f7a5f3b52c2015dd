package gateway

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/gateway/migration"
)

// toTalkifai plans to migrate krosai's sample agent; the plan is ready.
const toTalkifai = `{"source": "` + krosAgent + `", "target_backend": "talkifai", "architecture": "text",
	"inputs": {"model.id": "gpt-4o"}, "maps": {"voice.id": {"voice_123": "voice_xyz"}}}`

// testMigration is a migration with the reply to its last request.
type testMigration struct {
	b  *bench
	id string
	reply
}

func (b *bench) plan(body string) *testMigration {
	b.t.Helper()
	r := b.ask(keyAcme, "POST", "/v1/migrations", body)
	if r.StatusCode != 201 && r.StatusCode != 200 {
		b.t.Fatalf("%d: %s", r.StatusCode, r.text)
	}
	return &testMigration{b, r.body["id"].(string), r}
}

func (m *testMigration) step(step, body string) reply {
	m.b.t.Helper()
	m.reply = m.b.ask(keyAcme, "POST", "/v1/migrations/"+m.id+"/"+step, body)
	return m.reply
}

// apply accepts every loss.
func (m *testMigration) apply() reply {
	m.b.t.Helper()
	now := m.b.get("/v1/migrations/" + m.id)
	accept, _ := json.Marshal(now.body["losses"])
	return m.step("apply", fmt.Sprintf(`{"plan_hash": %q, "accept": %s}`, now.body["plan_hash"], accept))
}

func (m *testMigration) finding(path string) map[string]any {
	for _, f := range m.body["plan"].(map[string]any)["findings"].([]any) {
		if f := f.(map[string]any); f["path"] == path {
			return f
		}
	}
	return nil
}

func (m *testMigration) target() string { text, _ := m.body["target"].(string); return text }

// inState plans a migration and runs its steps up to a state.
func (b *bench) inState(body, state string) *testMigration {
	b.t.Helper()
	m := b.plan(body)
	for _, s := range []struct{ state, step, body string }{{"applied", "", ""}, {"verified", "verify", ""}, {"shadowing", "shadow", `{"percent": 100, "for": "1h"}`}, {"cut_over", "cutover", `{}`}} {
		if m.body["state"] == state {
			break
		}
		if s.step == "" {
			m.apply().wants(b.t, 200, "")
		} else if s.state != "shadowing" || state == "shadowing" {
			m.step(s.step, s.body).wants(b.t, 200, "")
		}
	}
	if m.body["state"] != state {
		b.t.Fatalf("it is %v, want %s: %s", m.body["state"], state, m.text)
	}
	return m
}

func TestMigration_PlanToRollback(t *testing.T) {
	b := newBench(t, "")
	m := b.plan(toTalkifai)
	if m.body["state"] != "ready" {
		t.Fatalf("%s", m.text)
	}
	m.step("apply", `{"plan_hash": "another"}`).wants(t, 409, "plan_stale")
	hash := b.get("/v1/migrations/" + m.id).body["plan_hash"].(string)
	m.step("apply", fmt.Sprintf(`{"plan_hash": %q}`, hash)).wants(t, 422, "loss_not_accepted")
	m.step("verify", "").wants(t, 409, "migration_state")
	m.step("cutover", "{}").wants(t, 409, "migration_state")
	m.apply().wants(t, 200, "")
	target := m.target()
	if m.body["state"] != "applied" || !strings.HasPrefix(target, "talkifai:") || m.body["verification"].(map[string]any)["ok"] != true {
		t.Errorf("%s", m.text)
	}
	if r := b.get("/v1/agents/" + target); r.body["status"] != "inactive" {
		t.Errorf("the target is %v before the cutover", r.body["status"])
	}
	if m.apply().wants(t, 200, ""); m.target() != target || b.posts("talkifai") != 1 {
		t.Errorf("applied again: %s; %d creates", m.text, b.posts("talkifai"))
	}
	b.ask(keyAcme, "POST", "/v1/migrations", toTalkifai).wants(t, 409, "migration_state")
	m.step("verify", "").wants(t, 200, "")
	m.step("cutover", "{}").wants(t, 200, "")
	if r := b.get("/v1/agents/" + krosAgent); r.body["id"] != target || r.body["status"] != "active" || r.body["resolved_from"] != krosAgent || r.body["system_prompt"] != b.get("/v1/agents/" + krosAgent + "?resolve=none").body["system_prompt"] {
		t.Errorf("%s", r.text)
	}
	m.step("cutover", "{}").wants(t, 200, "")
	m.step("shadow", `{"percent": 10, "for": "1h"}`).wants(t, 409, "migration_state")
	m.step("rollback", "{}").wants(t, 200, "")
	if r := b.get("/v1/agents/" + krosAgent); r.body["id"] != krosAgent {
		t.Errorf("%s", r.text)
	}
	if r := b.get("/v1/agents/" + target); r.body["status"] != "inactive" {
		t.Errorf("the target is %v after the rollback", r.body["status"])
	}
	if m.target() != target {
		t.Errorf("the target that a rollback left is %q, want %q", m.target(), target)
	}
	if m.step("rollback", `{"delete_target": true}`).wants(t, 200, ""); m.target() != "" {
		t.Errorf("the deleted target is still %q", m.target())
	}
	b.get("/v1/agents/"+target).wants(t, 404, "agent_not_found")
	m.step("rollback", `{"delete_target": true}`).wants(t, 200, "")
	var steps []string
	for _, line := range m.body["trail"].([]any) {
		line := line.(map[string]any)
		steps = append(steps, fmt.Sprint(line["step"], "→", line["state"]))
		if line["key_id"] != keyAcme || line["request_id"] == "" {
			t.Errorf("%v", line)
		}
	}
	if want := "plan→ready apply→creating apply→creating apply→applied verify→verified cutover→verified cutover→cut_over rollback→rolled_back"; !strings.HasPrefix(strings.Join(steps, " "), want) {
		t.Errorf("the audit log is %v", steps)
	}
	// After a rollback, the agent can be planned again.
	if again := b.plan(toTalkifai); again.id == m.id || again.body["state"] != "ready" {
		t.Errorf("%s", again.text)
	}
}

func TestMigrations_ListAndVisibility(t *testing.T) {
	b := newBench(t, "")
	m := b.plan(toTalkifai)
	b.plan(`{"source": "klen:123", "target_backend": "krosai"}`)
	list := b.get("/v1/migrations?limit=1").wants(t, 200, "")
	if len(list.body["data"].([]any)) != 1 || list.body["next_cursor"] == nil {
		t.Errorf("%s", list.text)
	}
	rest := b.get("/v1/migrations?limit=1&cursor="+list.body["next_cursor"].(string)).wants(t, 200, "")
	if data := rest.body["data"].([]any); len(data) != 1 || data[0].(map[string]any)["id"] != m.id || rest.body["next_cursor"] != nil {
		t.Errorf("%s", rest.text)
	}
	for query, want := range map[string]int{"state=ready": 2, "state=needs_input,ready": 2, "state=needs_input": 0, "source_backend=klen": 1, "target_backend=talkifai": 1, "source=klen:123": 1, "state=cut_over": 0} {
		if r := b.get("/v1/migrations?"+query).wants(t, 200, ""); len(r.body["data"].([]any)) != want {
			t.Errorf("%s: %s", query, r.text)
		}
	}
	b.get("/v1/migrations?state=done").wants(t, 400, "invalid_parameter")
	b.get("/v1/migrations/mig_none").wants(t, 404, "migration_not_found")
	// A key with other accounts at the same backends sees none of these migrations.
	b.reload("scopes: [agents:read, agents:write]", "scopes: [agents:read, agents:write, migrations:write]", "credentials:\n      klen: env:KLEN-ONLY_KLEN", "credentials:\n      klen: env:KLEN-ONLY_KLEN\n      krosai: env:KLEN-ONLY_KLEN\n      talkifai: env:KLEN-ONLY_KLEN")
	b.ask(keyKlen, "GET", "/v1/migrations/"+m.id, "").wants(t, 404, "migration_not_found")
	if r := b.ask(keyKlen, "GET", "/v1/migrations", "").wants(t, 200, ""); len(r.body["data"].([]any)) != 0 {
		t.Errorf("%s", r.text)
	}
}

// TestMigrations_OtherEncryptionKey: a migration that cannot be decrypted is still listed, and
// other migrations keep working.
func TestMigrations_OtherEncryptionKey(t *testing.T) {
	b := newBench(t, "")
	m := b.plan(toTalkifai)
	v, err := migration.NewCipher(secret.New("a key of the operator's"))
	if err != nil {
		t.Fatal(err)
	}
	b.gateway.migrations.Cipher = v
	sealed := b.plan(`{"source": "klen:123", "target_backend": "krosai"}`)
	if v, err = migration.NewCipher(secret.New("another key of the operator's")); err != nil {
		t.Fatal(err)
	}
	b.gateway.migrations.Cipher = v
	if r := b.get("/v1/migrations").wants(t, 200, ""); len(r.body["data"].([]any)) != 2 {
		t.Errorf("%s", r.text)
	}
	b.get("/v1/migrations/"+sealed.id).wants(t, 200, "")
	sealed.step("rollback", "").wants(t, 409, "migration_state")
	m.apply().wants(t, 200, "")
}

// TestMigrations_Batch: a list can be restricted to the migrations that were planned together.
func TestMigrations_Batch(t *testing.T) {
	b := newBench(t, "")
	m := b.plan(strings.Replace(toTalkifai, "{", `{"batch": "first", `, 1))
	if m.body["batch"] != "first" || m.body["source_name"] != b.get("/v1/agents/" + krosAgent).body["name"] {
		t.Errorf("%s", m.text)
	}
	b.plan(`{"source": "klen:123", "target_backend": "krosai", "batch": "second"}`)
	count := func(query string) int {
		return len(b.get("/v1/migrations"+query).wants(t, 200, "").body["data"].([]any))
	}
	if count("?batch=first") != 1 || count("?batch=second") != 1 || count("?batch=third") != 0 || count("") != 2 {
		t.Error("the batch does not select")
	}
	b.plan(strings.Replace(toTalkifai, "{", `{"batch": "second", `, 1)) // takes it out of the first
	if count("?batch=first") != 0 || count("?batch=second") != 2 {
		t.Error("a new plan does not move its migration to the new batch")
	}
	b.ask(keyAcme, "POST", "/v1/migrations", strings.Replace(toTalkifai, "{", `{"batch": "Two words", `, 1)).wants(t, 422, "validation_failed")
}

// TestPlan_Slug: the source can be named by an alias.
func TestPlan_Slug(t *testing.T) {
	b := newBench(t, "")
	b.put("order-bot", krosAgent, 0).wants(t, 201, "")
	m := b.plan(strings.Replace(toTalkifai, krosAgent, "order-bot", 1))
	if m.body["source"] != krosAgent {
		t.Errorf("%s", m.text)
	}
	b.ask(keyAcme, "POST", "/v1/migrations", strings.Replace(toTalkifai, krosAgent, "no-such-bot", 1)).wants(t, 404, "agent_not_found")
}

// TestApply_LeavesTheTargetOutOfService: a provider that creates agents active is told at once
// to archive the target, and the cutover activates it.
func TestApply_LeavesTheTargetOutOfService(t *testing.T) {
	b := newBench(t, "")
	m := b.plan(fmt.Sprintf(`{"source": %q, "target_backend": "agenthuman"}`, krosAgent))
	if f := m.finding("/status"); f == nil || f["severity"] != "warn" || !strings.Contains(fmt.Sprint(f["message"]), "archived at once") {
		t.Errorf("the finding on the status is %v", f)
	}
	if m.apply().wants(t, 200, ""); b.get("/v1/agents/" + m.target()).body["status"] != "archived" {
		t.Errorf("after apply: %s", b.get("/v1/agents/"+m.target()).text)
	}
	if m.step("verify", "").wants(t, 200, ""); m.body["state"] != "verified" {
		t.Errorf("%s", m.text)
	}
	m.step("cutover", "").wants(t, 200, "")
	if got := b.get("/v1/agents/" + krosAgent); got.body["status"] != "active" || got.body["id"] != m.target() {
		t.Errorf("after the cutover: %s", got.text)
	}
	m.step("rollback", `{"delete_target": true}`).wants(t, 200, "")
}

// TestApply_TargetIsGone: an applied migration whose target was deleted is not applied.
func TestApply_TargetIsGone(t *testing.T) {
	b := newBench(t, "")
	m := b.inState(toTalkifai, "verified")
	b.ask(keyAcme, "DELETE", "/v1/agents/"+m.target(), "").wants(t, 204, "")
	m.apply().wants(t, 409, "target_diverged")
}
