package talkifai

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/sandbox"
	talkifaisandbox "github.com/agentgw/agentgw/sandbox/talkifai"
	"github.com/agentgw/agentgw/test/conformance"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness) }

var harness = conformance.Harness{
	Provider: Provider,
	Emulator: func() sandbox.Emulator { return talkifaisandbox.New() },
	Seeds: []json.RawMessage{
		json.RawMessage(`{"id": "agent_abc123", "name": "Customer Support", "agentArchitecture": "pipeline", "model": "gpt-4o", "stt": "deepgram", "tts": "cartesia", "voiceId": "voice_xyz",
			"systemPrompt": "You help.", "language": "en", "mode": "public", "active": true, "temperature": 0.7, "enabledFunctions": ["web_search"], "enabledCustomFunctions": ["check_order_status"],
			"createdAt": "2024-01-10T09:00:00Z", "updatedAt": "2024-01-14T15:20:00Z"}`),
		json.RawMessage(`{"id": "agent_rt", "name": "Low Latency", "agentArchitecture": "realtime", "realtimeProvider": "openai", "voiceId": "alloy",
			"systemPrompt": "You help.", "language": "en", "mode": "private", "active": false, "temperature": null, "enabledFunctions": [], "enabledCustomFunctions": [],
			"createdAt": "2024-01-10T09:00:00Z", "updatedAt": "2024-01-14T15:20:00Z"}`),
	},
	Many: func(n int) []json.RawMessage {
		var agents []json.RawMessage
		for i := range n {
			agents = append(agents, json.RawMessage(fmt.Sprintf(`{"id": "agent_%d", "name": "Agent %d", "agentArchitecture": "text", "model": "m", "systemPrompt": "p", "mode": "private",
				"createdAt": "2024-01-10T09:00:00Z", "updatedAt": "2024-01-10T09:00:00Z"}`, i, i)))
		}
		return agents
	},
	Missing: "agent_missing",
	Creates: map[string]string{
		"pipeline": `{"name": "New", "architecture": "pipeline", "model": {"id": "gpt-4o", "temperature": 0.5}, "stt": {"provider": "deepgram"}, "tts": {"provider": "cartesia"}, "voice": {"id": "v"},
			"system_prompt": "p", "language": "en", "visibility": "private", "tools": {"builtin": ["a"], "custom": ["b", "c"]},
			"extensions": {"greetingType": "agentFirst", "lastMessage": "Bye", "inactivityTimeout": 30, "functionCallingEnabled": true}}`,
		"realtime": `{"name": "New", "architecture": "realtime", "realtime": {"provider": "gemini"}, "system_prompt": "p"}`,
		"text":     `{"name": "New", "architecture": "text", "model": {"id": "gpt-4o-mini"}, "system_prompt": "p"}`,
	},
	Update: `{"name": "Changed", "status": "inactive", "visibility": "commercial", "language": "ur", "system_prompt": "P", "model": {"id": "gpt-4o-mini", "temperature": 0.1},
		"voice": {"id": "V"}, "stt": {"provider": "assemblyai"}, "tts": {"provider": "elevenlabs"}, "realtime": {"provider": "gemini"}, "tools": {"builtin": [], "custom": ["x"]},
		"extensions": {"greetingType": "userFirst", "lastMessage": "So long", "inactivityTimeout": 60, "functionCallingEnabled": false}}`,
	Errors: []conformance.DocumentedError{
		{Status: 400, Body: `{"success": false, "error": "Error message here", "code": "ERROR_CODE"}`, Kind: normalize.KindRejected, Code: "ERROR_CODE"},
		{Status: 401, Body: `{"error": "Unauthorized"}`, Kind: normalize.KindAuth},
		{Status: 403, Body: `{"success": false, "error": "Only owners may", "code": "FORBIDDEN"}`, Kind: normalize.KindAuth, Code: "FORBIDDEN"},
		{Status: 404, Body: `{"success": false, "error": "Agent not found", "code": "NOT_FOUND"}`, Kind: normalize.KindNotFound, Code: "NOT_FOUND"},
		{Status: 429, Header: map[string]string{"Retry-After": "30"}, Body: `{"success": false, "error": "Rate limit exceeded", "code": "RATE_LIMITED"}`, Kind: normalize.KindRateLimited, Code: "RATE_LIMITED", Wait: 30 * time.Second},
		{Status: 500, Body: `{"success": false, "error": "canary-seeded-7d1f is bad", "code": "canary-seeded-7d1f"}`, Kind: normalize.KindUpstream},
		{Status: 200, Body: `{"success": false, "error": "Error message here", "code": "ERROR_CODE"}`, Kind: normalize.KindFailureReply},
	},
}
