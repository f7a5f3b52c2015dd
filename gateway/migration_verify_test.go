package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/internal/waittest"
)

func TestShadow_CountsDifferences(t *testing.T) {
	b := newBench(t, "")
	m := b.inState(toTalkifai, "shadowing")
	b.ask(keyAcme, "PATCH", "/v1/agents/"+m.target(), `{"language": "de"}`).wants(t, 200, "")
	before := b.get("/v1/agents/"+krosAgent).wants(t, 200, "")
	var shadow map[string]any
	waittest.Until(t, "differences", func() bool {
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
		t.Error("the mismatch metric is missing")
	}
	m.step("shadow", `{"percent": 0}`).wants(t, 200, "")
	m.step("shadow", `{"percent": 101, "for": "1h"}`).wants(t, 422, "validation_failed")
	m.step("shadow", `{"percent": 10, "for": "soon"}`).wants(t, 422, "validation_failed")
}

// TestVerify_AcceptsDifferencesByName: accepted differences, such as a value that a provider
// spells its own way, do not block the cutover.
func TestVerify_AcceptsDifferencesByName(t *testing.T) {
	b := newBench(t, "")
	m := b.inState(toTalkifai, "applied")
	b.ask(keyAcme, "PATCH", "/v1/agents/"+m.target(), `{"language": "en-US"}`).wants(t, 200, "")
	m.step("cutover", "").wants(t, 409, "migration_state")
	m.step("verify", "").wants(t, 200, "")
	m.step("cutover", "").wants(t, 409, "target_diverged")
	m.step("verify", `{"accept": ["mismatch:/name"]}`).wants(t, 200, "")
	m.step("cutover", "").wants(t, 409, "target_diverged")
	if m.step("verify", `{"accept": ["mismatch:/language"]}`).wants(t, 200, ""); m.body["state"] != "verified" {
		t.Errorf("%s", m.text)
	}
	m.step("cutover", "").wants(t, 200, "")
}

// TestVerify_Drift: a migration whose target was changed is drifted until the target is as
// planned again, and the audit log has the count of the response.
func TestVerify_Drift(t *testing.T) {
	for _, state := range []string{"applied", "verified", "shadowing"} {
		b := newBench(t, "")
		m := b.inState(toTalkifai, state)
		target := m.target()
		prompt := b.get("/v1/agents/" + target).body["system_prompt"]
		b.ask(keyAcme, "PATCH", "/v1/agents/"+target, `{"system_prompt": "Changed by hand."}`).wants(t, 200, "")
		if m.step("verify", "").wants(t, 200, ""); m.body["state"] != "drifted" {
			t.Errorf("%s: %v", state, m.body["state"])
		}
		fields := m.body["verification"].(map[string]any)["fields"].([]any)
		matches := 0
		for _, f := range fields {
			if f.(map[string]any)["verdict"] == "match" {
				matches++
			}
		}
		trail := m.body["trail"].([]any)
		if last := trail[len(trail)-1].(map[string]any); !strings.HasPrefix(fmt.Sprint(last["detail"]), fmt.Sprintf("%d of %d fields match (", matches, len(fields))) || last["state"] != "drifted" {
			t.Errorf("%s: %v", state, last)
		}
		m.step("shadow", `{"percent": 10, "for": "1h"}`).wants(t, 409, "migration_state")
		b.ask(keyAcme, "PATCH", "/v1/agents/"+target, fmt.Sprintf(`{"system_prompt": %q}`, prompt)).wants(t, 200, "")
		if m.step("verify", "").wants(t, 200, ""); m.body["state"] != "verified" {
			t.Errorf("%s, repaired: %v", state, m.body["state"])
		}
	}
}

// TestShadow_CountsReadsByAlias: reads by an alias count as reads of the source.
func TestShadow_CountsReadsByAlias(t *testing.T) {
	b := newBench(t, "")
	b.put("support-bot", krosAgent, 0).wants(t, 201, "")
	m := b.inState(toTalkifai, "shadowing")
	waittest.Until(t, "reads", func() bool {
		b.get("/v1/agents/support-bot").wants(t, 200, "")
		shadow := b.get("/v1/migrations/" + m.id).body["shadow"].(map[string]any)
		return shadow["reads"].(float64) >= 3
	})
}
