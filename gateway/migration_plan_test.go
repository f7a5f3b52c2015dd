package gateway

import (
	"strings"
	"testing"
)

func TestPlan_ReportsMissingInputs(t *testing.T) {
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
		t.Error("planning wrote to the target backend")
	}
	// With the missing inputs the plan is ready; it has the same migration id.
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
		{`{"source": "klen:123", "target_backend": "talkify"}`, "validation_failed", 422},
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
	// A change that the adapter cannot send can still be planned.
	if invalid := b.plan(`{"source": "` + krosAgent + `", "target_backend": "agenthuman", "inputs": {"avatar.id": "av_1"}}`); invalid.body["state"] != "needs_input" {
		t.Errorf("%s", invalid.text)
	}
	for query, code := range map[string]string{"source=%00": "invalid_parameter", "source_backend=nope": "invalid_parameter", "cursor=zzz": "cursor_invalid"} {
		if r := b.get("/v1/migrations?" + query); r.body["code"] != code {
			t.Errorf("%s: %s", query, r.text)
		}
	}
}
