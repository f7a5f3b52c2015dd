package krosai

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/sandbox"
	krosaisandbox "github.com/agentgw/agentgw/sandbox/krosai"
	"github.com/agentgw/agentgw/test/conformance"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness) }

var harness = conformance.Harness{
	Provider: Provider,
	Emulator: func() sandbox.Emulator { return krosaisandbox.New() },
	Seeds: []json.RawMessage{
		json.RawMessage(`{"id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "name": "Product Expert", "description": "Helps", "system_prompt": "You are a product expert.", "language": "en",
			"voice_id": "nova", "tts_provider": "krosaimlingual", "stt_provider": "krosaimlingual", "llm_model": "krosaimlingual", "knowledge_base_ids": ["kb-1"],
			"created_at": "2024-03-10T12:00:00Z", "updated_at": "2024-03-10T12:00:00Z", "created_by": "user-12345"}`),
		json.RawMessage(`{"id": "an id/with ?odd#chars", "name": "Odd", "description": null, "system_prompt": null, "language": null, "voice_id": null, "tts_provider": null,
			"stt_provider": null, "llm_model": null, "knowledge_base_ids": [], "created_at": "2024-02-01T08:15:00Z", "updated_at": "2024-02-02T09:00:00Z", "created_by": "user-1"}`),
	},
	Many: func(n int) []json.RawMessage {
		var agents []json.RawMessage
		for i := range n {
			agents = append(agents, json.RawMessage(fmt.Sprintf(`{"id": "k%d", "name": "Agent %d", "knowledge_base_ids": [], "created_at": "2024-02-01T08:15:00Z", "updated_at": "2024-02-01T08:15:00Z", "created_by": "u"}`, i, i)))
		}
		return agents
	},
	Missing: "00000000-dead-4000-8000-000000000000",
	Creates: map[string]string{"agent": `{"name": "New", "description": "d", "system_prompt": "p", "language": "fr", "voice": {"id": "echo"}, "tts": {"provider": "t"},
		"stt": {"provider": "s"}, "model": {"id": "m"}, "knowledge_base_ids": ["kb-1", "kb-2"]}`},
	Update: `{"name": "Changed", "description": "D", "system_prompt": "P", "language": "de", "voice": {"id": "onyx"}, "tts": {"provider": "T"},
		"stt": {"provider": "S"}, "model": {"id": "M"}, "knowledge_base_ids": []}`,
	Errors: []conformance.DocumentedError{
		{Status: 400, Body: `{"detail": "A text of the vendor"}`, Kind: normalize.KindRejected},
		{Status: 401, Body: `{"detail": "A text of the vendor"}`, Kind: normalize.KindAuth},
		{Status: 403, Body: `{"detail": {"msg": "not your agent"}}`, Kind: normalize.KindAuth},
		{Status: 404, Body: `{"detail": "Agent not found"}`, Kind: normalize.KindNotFound},
		{Status: 429, Header: map[string]string{"Retry-After": "1.5"}, Body: `{"error": "Rate limit exceeded", "code": "RATE_LIMIT_EXCEEDED", "retry_after": 1.5}`, Kind: normalize.KindRateLimited, Code: "RATE_LIMIT_EXCEEDED", Wait: 1500 * time.Millisecond},
		{Status: 429, Body: `{"error": "Rate limit exceeded", "code": "RATE_LIMIT_EXCEEDED", "retry_after": 2.5}`, Kind: normalize.KindRateLimited, Code: "RATE_LIMIT_EXCEEDED", Wait: 2500 * time.Millisecond},
		{Status: 500, Body: `Internal Server Error`, Kind: normalize.KindUpstream},
		{Status: 500, Body: `{"code": "canary-seeded-7d1f"}`, Kind: normalize.KindUpstream},
	},
}
