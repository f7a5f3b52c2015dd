package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/gateway/migration"
	"github.com/agentgw/agentgw/sandbox"
)

// toTalkifai is a plan of krosai's sample agent that is ready.
const toTalkifai = `{"source": "` + krosAgent + `", "target_backend": "talkifai", "architecture": "text",
	"inputs": {"model.id": "gpt-4o"}, "maps": {"voice.id": {"voice_123": "voice_xyz"}}}`

// moving is a migration as a test goes on with it.
type moving struct {
	b  *bench
	id string
	reply
}

func (b *bench) plan(body string) *moving {
	b.t.Helper()
	r := b.ask(keyAcme, "POST", "/v1/migrations", body)
	if r.StatusCode != 201 && r.StatusCode != 200 {
		b.t.Fatalf("%d: %s", r.StatusCode, r.text)
	}
	return &moving{b, r.body["id"].(string), r}
}

func (m *moving) step(step, body string) reply {
	m.b.t.Helper()
	m.reply = m.b.ask(keyAcme, "POST", "/v1/migrations/"+m.id+"/"+step, body)
	return m.reply
}

// apply accepts every loss.
func (m *moving) apply() reply {
	m.b.t.Helper()
	now := m.b.get("/v1/migrations/" + m.id)
	accept, _ := json.Marshal(now.body["losses"])
	return m.step("apply", fmt.Sprintf(`{"plan_hash": %q, "accept": %s}`, now.body["plan_hash"], accept))
}

func (m *moving) finding(path string) map[string]any {
	for _, f := range m.body["plan"].(map[string]any)["findings"].([]any) {
		if f := f.(map[string]any); f["path"] == path {
			return f
		}
	}
	return nil
}

func (m *moving) target() string { text, _ := m.body["target"].(string); return text }

// inState takes the migration to a state.
func (b *bench) inState(body, state string) *moving {
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

func TestAPlanSaysWhatIsMissing(t *testing.T) {
	b := newBench(t, "")
	m := b.plan(`{"source": "klen:123", "target_backend": "talkifai", "architecture": "pipeline"}`)
	if m.StatusCode != 201 || m.Header.Get("Location") != "/v1/migrations/"+m.id || m.body["state"] != "needs_input" {
		t.Errorf("%d %v: %s", m.StatusCode, m.Header, m.text)
	}
	for path, want := range map[string][2]string{
		"/system_prompt": {"needs_input", "blocking"}, "/stt/provider": {"needs_input", "blocking"}, "/model/id": {"manual", "blocking"},
		"/name": {"exact", "info"}, "/phone/number": {"manual", "warn"}, "/usage/calls": {"not_migrated", "info"}, "/direction": {"unsupported", "data_loss"},
	} {
		if f := m.finding(path); f == nil || f["kind"] != want[0] || f["severity"] != want[1] {
			t.Errorf("%s: %v, want %v", path, f, want)
		}
	}
	if m.apply().wants(t, 422, "migration_blocked"); len(m.body["errors"].([]any)) < 3 {
		t.Errorf("%s", m.text)
	}
	if b.posts("talkifai") != 0 {
		t.Error("a plan wrote to its target")
	}
	// With what is missing it is ready; it is the same migration.
	again := b.plan(`{"source": "klen:123", "target_backend": "talkifai", "architecture": "text", "inputs": {"system_prompt": "Help.", "model.id": "gpt-4o"}}`)
	if again.StatusCode != 200 || again.id != m.id || again.body["state"] != "ready" || again.body["version"] != 2.0 {
		t.Errorf("%d %s: %s", again.StatusCode, again.id, again.text)
	}
	requests := again.body["plan"].(map[string]any)["requests"].([]any)
	if len(requests) != 1 || !strings.Contains(again.text, `"systemPrompt":"Help."`) || strings.Contains(again.text, "canary") {
		t.Errorf("%v", requests)
	}
	for _, c := range []struct {
		body, code string
		status     int
	}{
		{`{"source": "klen:999", "target_backend": "talkifai"}`, "agent_not_found", 404},
		{`{"source": "klen:123", "target_backend": "talkify"}`, "backend_not_found", 404},
		{`{"source": "klen:123", "target_backend": "klen"}`, "operation_unsupported", 501},
		{`{"source": "` + krosAgent + `", "target_backend": "krosai"}`, "validation_failed", 422},
		{`{"source": "klen:123"}`, "validation_failed", 422},
		{`{"source": "klen:123", "target_backend": "krosai", "inputs": {"greeting": "Hi"}}`, "unsupported_fields", 422},
		{`{"source": "klen:123", "target_backend": "krosai", "inputs": {"nmae": "x"}}`, "validation_failed", 422},
		{`{"source": "klen:123", "target_backend": "krosai", "inputs": {"name": 5}}`, "validation_failed", 422},
		{`{"source": "klen:123", "target_backend": "krosai", "maps": {"voices": {}}}`, "validation_failed", 422},
		{`{"source": "klen:123", "target_backend": "krosai", "transforms": ["magic"]}`, "validation_failed", 422},
		{`{"source": "klen:123", "target_backend": "krosai", "architecture": "text"}`, "unsupported_fields", 422},
		{`{"source": "klen:123", "target_backend": "talkifai", "architecture": "video"}`, "validation_failed", 422},
		{`{"source": "klen:123", "target_backend": "krosai", "maps": {"model.id": {"x": 5}}}`, "validation_failed", 422},
	} {
		b.ask(keyAcme, "POST", "/v1/migrations", c.body).wants(t, c.status, c.code)
	}
	b.ask(keyRead, "POST", "/v1/migrations", `{}`).wants(t, 403, "scope_missing")
	// What no adapter could send is only planned.
	if odd := b.plan(`{"source": "` + krosAgent + `", "target_backend": "agenthuman", "inputs": {"avatar.id": "av_1"}}`); odd.body["state"] != "needs_input" {
		t.Errorf("%s", odd.text)
	}
	for query, code := range map[string]string{"source=%00": "invalid_parameter", "source_backend=nope": "backend_not_found", "cursor=zzz": "cursor_invalid"} {
		if r := b.get("/v1/migrations?" + query); r.body["code"] != code {
			t.Errorf("%s: %s", query, r.text)
		}
	}
}

func TestAMigrationFromPlanToRollback(t *testing.T) {
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
	m.step("rollback", `{"delete_target": true}`).wants(t, 200, "")
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
	if want := "plan→ready apply→outcome_unknown apply→outcome_unknown apply→applied verify→verified cutover→verified cutover→cut_over rollback→rolled_back"; !strings.HasPrefix(strings.Join(steps, " "), want) {
		t.Errorf("the trail is %v", steps)
	}
	// It can be planned anew.
	if again := b.plan(toTalkifai); again.id == m.id || again.body["state"] != "ready" {
		t.Errorf("%s", again.text)
	}
}

func TestACutoverTakesOverWhatChangedMeanwhile(t *testing.T) {
	b := newBench(t, "")
	b.put("support-bot", krosAgent, 0).wants(t, 201, "")
	m := b.inState(toTalkifai, "verified")
	b.ask(keyAcme, "PATCH", "/v1/agents/"+krosAgent, `{"system_prompt": "As of today."}`).wants(t, 200, "")
	if m.step("verify", "").wants(t, 200, ""); m.body["verification"].(map[string]any)["source_changed"] != true {
		t.Errorf("%s", m.text)
	}
	m.step("cutover", "{}").wants(t, 200, "")
	for _, name := range []string{krosAgent, "support-bot"} {
		if r := b.get("/v1/agents/" + name); r.body["id"] != m.target() || r.body["system_prompt"] != "As of today." {
			t.Errorf("%s", r.text)
		}
	}
	b.ask(keyAcme, "PATCH", "/v1/agents/support-bot", `{"name": "At its new home"}`).wants(t, 200, "")
	m.step("rollback", `{"delete_target": true}`).wants(t, 409, "target_diverged")
	m.step("rollback", `{}`).wants(t, 200, "")
	if !strings.Contains(m.text, `"not_carried_back"`) {
		t.Errorf("nobody is told what is lost: %s", m.text)
	}
	for _, name := range []string{krosAgent, "support-bot"} {
		if r := b.get("/v1/agents/" + name); r.body["id"] != krosAgent {
			t.Errorf("%s", r.text)
		}
	}
}

func TestATargetThatSomebodyChangedIsLeftAlone(t *testing.T) {
	b := newBench(t, "")
	m := b.inState(toTalkifai, "verified")
	b.ask(keyAcme, "PATCH", "/v1/agents/"+m.target(), `{"language": "de"}`).wants(t, 200, "")
	target := m.target()
	m.step("cutover", "{}").wants(t, 409, "target_diverged")
	b.ask(keyAcme, "PATCH", "/v1/agents/"+krosAgent, `{"system_prompt": "Newer."}`).wants(t, 200, "")
	m.step("cutover", "{}").wants(t, 409, "target_diverged")
	m.step("rollback", `{"delete_target": true}`).wants(t, 409, "target_diverged")
	if r := b.get("/v1/agents/"+target).wants(t, 200, ""); r.body["language"] != "de" {
		t.Errorf("%s", r.text)
	}
	if r := b.get("/v1/agents/" + krosAgent); r.body["id"] != krosAgent {
		t.Errorf("%s", r.text)
	}
}

func TestAChangedSourceMakesThePlanStale(t *testing.T) {
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

// TestALostApplyEndsWithOneTarget: whatever became of the create, applying again ends with
// exactly one target.
func TestALostApplyEndsWithOneTarget(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBench(t, "timeout: 500ms\nbreaker: {consecutive: 100000, min_requests: 100000}\ncache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}")
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
		waitFor(t, "the apply", func() bool { m.apply(); return m.StatusCode == 200 })
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

func TestARefusedApplyFails(t *testing.T) {
	b := newBench(t, "")
	m := b.plan(toTalkifai)
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Method: http.MethodPost, Status: 422, Times: 1, Body: `{"error": "no"}`})
	m.apply().wants(t, 422, "upstream_rejected")
	if now := b.get("/v1/migrations/" + m.id); now.body["state"] != "failed" || now.body["target"] != nil {
		t.Errorf("%s", now.text)
	}
	m.apply().wants(t, 200, "")
}

// TestWritesDuringACutover: a client that reads and patches by the old id all the time
// gets no error and reads nothing older than what it wrote.
func TestWritesDuringACutover(t *testing.T) {
	b := newBench(t, "")
	m := b.inState(toTalkifai, "verified")
	const clients = 4
	var rollingBack atomic.Bool
	fields := []string{"name", "system_prompt", "language", "voice.id"}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var wrong []string
	count := map[string]int{}
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		wrong = append(wrong, fmt.Sprintf(format, args...))
	}
	for i := range clients {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				value := fmt.Sprintf("%s of %d", fields[i], n)
				body := fmt.Sprintf(`{%q: %q}`, fields[i], value)
				of := func(r reply) any { return r.body[fields[i]] }
				if group, leaf, nested := strings.Cut(fields[i], "."); nested {
					value = "voice_123"
					if n%2 == 1 {
						value = "voice_xyz"
					}
					body = fmt.Sprintf(`{%q: {%q: %q}}`, group, leaf, value)
					of = func(r reply) any { return r.body[group].(map[string]any)[leaf] }
				}
				if nested := strings.Contains(fields[i], "."); nested {
					// Its values are mapped, so only that it is taken is looked at.
					if r := b.get("/v1/agents/" + krosAgent); r.StatusCode != 200 {
						say("read: %d %s", r.StatusCode, r.text)
					}
					continue
				}
				patched := b.ask(keyAcme, "PATCH", "/v1/agents/"+krosAgent, body)
				read := b.get("/v1/agents/" + krosAgent)
				if patched.StatusCode != 200 || read.StatusCode != 200 {
					say("%d, then %d: %s %s", patched.StatusCode, read.StatusCode, patched.text, read.text)
					continue
				}
				// What is written just before a rollback is at the target only; that is said.
				if (of(patched) != value || of(read) != value) && !rollingBack.Load() {
					say("%s: wrote %q, was answered %q, and reads %q of %v", fields[i], value, of(patched), of(read), read.body["id"])
				}
				mu.Lock()
				count[read.body["id"].(string)]++
				mu.Unlock()
			}
		})
	}
	seen := func(id string, n int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return count[id] >= n }
	}
	waitFor(t, "writes to the source", seen(krosAgent, 20))
	m.step("cutover", "{}").wants(t, 200, "")
	target := m.target()
	waitFor(t, "writes to the target", seen(target, 20))
	mu.Lock()
	if len(wrong) > 0 {
		t.Errorf("%d wrong: %v", len(wrong), wrong[0])
	}
	wrong = nil
	before := count[krosAgent]
	mu.Unlock()
	rollingBack.Store(true)
	m.step("rollback", "{}").wants(t, 200, "")
	waitFor(t, "writes to the source again", func() bool { return seen(krosAgent, before+20)() })
	close(stop)
	wg.Wait()
	if len(wrong) > 0 {
		t.Errorf("rolled back: %d wrong: %v", len(wrong), wrong[0])
	}
}

func TestShadowsCountWhatDiffers(t *testing.T) {
	b := newBench(t, "")
	m := b.inState(toTalkifai, "shadowing")
	b.ask(keyAcme, "PATCH", "/v1/agents/"+m.target(), `{"language": "de"}`).wants(t, 200, "")
	before := b.get("/v1/agents/"+krosAgent).wants(t, 200, "")
	var shadow map[string]any
	waitFor(t, "differences", func() bool {
		if r := b.get("/v1/agents/" + krosAgent); r.body["language"] != before.body["language"] || r.body["id"] != krosAgent {
			t.Errorf("%s", r.text)
		}
		shadow, _ = b.get("/v1/migrations/" + m.id).body["shadow"].(map[string]any)
		differences := shadow["differences"].(map[string]any)
		return differences["/language"] != nil && shadow["reads"].(float64) >= 3
	})
	if strings.Contains(fmt.Sprint(shadow), "de ") || len(shadow["differences"].(map[string]any)) != 1 {
		t.Errorf("%v", shadow)
	}
	if !strings.Contains(b.metrics(), `agentgw_migration_shadow_mismatch_total{field="language"}`) {
		t.Error("no metric of it")
	}
	m.step("shadow", `{"percent": 0}`).wants(t, 200, "")
	m.step("shadow", `{"percent": 101, "for": "1h"}`).wants(t, 422, "validation_failed")
	m.step("shadow", `{"percent": 10, "for": "soon"}`).wants(t, 422, "validation_failed")
}

func TestMigrationsAreSeenByTheirOwn(t *testing.T) {
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
	// A key that maps to other accounts sees none of it, though it may migrate.
	b.reload("scopes: [agents:read, agents:write]", "scopes: [agents:read, agents:write, migrations:write]", "credentials:\n      klen: env:KLEN-ONLY_KLEN", "credentials:\n      klen: env:KLEN-ONLY_KLEN\n      krosai: env:KLEN-ONLY_KLEN\n      talkifai: env:KLEN-ONLY_KLEN")
	b.ask(keyKlen, "GET", "/v1/migrations/"+m.id, "").wants(t, 404, "migration_not_found")
	if r := b.ask(keyKlen, "GET", "/v1/migrations", "").wants(t, 200, ""); len(r.body["data"].([]any)) != 0 {
		t.Errorf("%s", r.text)
	}
}

// TestAStoreThatFailsInTheMiddle: what was made and could not be written down is found, and
// not made again; by an apply, and by a create with an Idempotency-Key.
func TestAStoreThatFailsInTheMiddle(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBenchOn(t, "sqlite:"+filepath.Join(t.TempDir(), "store.db"), "timeout: 2s")
	path := strings.TrimPrefix(b.storeURL, "sqlite:")
	during := func(vendor string, do func() reply) reply {
		b.vendors[vendor].Control().Fail(sandbox.Fault{Method: http.MethodPost, Times: 1, Delay: 300 * time.Millisecond})
		before := b.posts(vendor)
		got := make(chan reply)
		go func() { got <- do() }()
		waitFor(t, "the create to be on its way", func() bool { return b.posts(vendor) > before })
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
	waitFor(t, "the claim to be over", func() bool { return b.createOnce("k", body).StatusCode == 201 })
	if posts, agents := b.posts("krosai"), b.named("krosai", "Kept or not"); posts != 1 || agents != 1 {
		t.Errorf("%d creates, %d agents", posts, agents)
	}
}

// TestMovesOfMoves: what was moved on goes back in order, and a name that somebody else
// has is not taken.
func TestMovesOfMoves(t *testing.T) {
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
			t.Errorf("%s leads to %v, want %v", name, r.body["id"], firstTarget)
		}
	}
	first.step("rollback", "").wants(t, 200, "")
	for _, name := range []string{"support-bot", krosAgent} {
		if r := b.get("/v1/agents/" + name); r.body["id"] != krosAgent {
			t.Errorf("%s leads to %v", name, r.body["id"])
		}
	}

	third := b.inState(toTalkifai, "verified")
	b.put(krosAgent, "klen:123", 0).wants(t, 201, "")
	third.step("cutover", "").wants(t, 409, "alias_conflict")
	if r := b.get("/v1/agents/" + krosAgent); r.body["id"] != "klen:123" {
		t.Errorf("somebody's alias was taken: %s", r.text)
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

	// The source is gone: its ids cannot lead back to it.
	fourth := b.inState(toTalkifai, "cut_over")
	b.ask(keyAcme, "DELETE", "/v1/agents/"+krosAgent+"?resolve=none", "").wants(t, 204, "")
	fourth.step("rollback", "").wants(t, 409, "plan_stale")
	if r := b.get("/v1/agents/"+krosAgent).wants(t, 200, ""); r.body["status"] != "active" {
		t.Errorf("%s", r.text)
	}
}

// TestWhatSomebodyDidToTheTargetStaysTheirs: also in fields that the plan has not.
func TestWhatSomebodyDidToTheTargetStaysTheirs(t *testing.T) {
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

// TestDifferencesAreAcceptedByName: where a vendor writes a value its own way.
func TestDifferencesAreAcceptedByName(t *testing.T) {
	b := newBench(t, "")
	m := b.inState(toTalkifai, "applied")
	b.ask(keyAcme, "PATCH", "/v1/agents/"+m.target(), `{"language": "en-US"}`).wants(t, 200, "")
	m.step("verify", "").wants(t, 200, "")
	m.step("cutover", "").wants(t, 409, "migration_state")
	m.step("verify", `{"accept": ["mismatch:/name"]}`).wants(t, 200, "")
	m.step("cutover", "").wants(t, 409, "migration_state")
	if m.step("verify", `{"accept": ["mismatch:/language"]}`).wants(t, 200, ""); m.body["state"] != "verified" {
		t.Errorf("%s", m.text)
	}
	m.step("cutover", "").wants(t, 200, "")
}

// TestAMigrationThatNobodyCanFindOutAbout is given up.
func TestAMigrationThatNobodyCanFindOutAbout(t *testing.T) {
	b := newBench(t, "timeout: 300ms\nbreaker: {consecutive: 100000, min_requests: 100000}")
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

// TestAnotherKeyOfTheStore: what it cannot open is listed, and nothing else stops.
func TestAnotherKeyOfTheStore(t *testing.T) {
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

// TestAShadowIsSeenByAnyName: reads by a slug are reads of the source.
func TestAShadowIsSeenByAnyName(t *testing.T) {
	b := newBench(t, "")
	b.put("support-bot", krosAgent, 0).wants(t, 201, "")
	m := b.inState(toTalkifai, "shadowing")
	waitFor(t, "reads", func() bool {
		b.get("/v1/agents/support-bot").wants(t, 200, "")
		shadow := b.get("/v1/migrations/" + m.id).body["shadow"].(map[string]any)
		return shadow["reads"].(float64) >= 3
	})
}
