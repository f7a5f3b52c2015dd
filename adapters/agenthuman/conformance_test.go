package agenthuman

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/sandbox"
	agenthumansandbox "github.com/agentgw/agentgw/sandbox/agenthuman"
	"github.com/agentgw/agentgw/test/conformance"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness) }

var harness = conformance.Harness{
	Provider: Provider,
	Emulator: func() sandbox.Emulator { return agenthumansandbox.New() },
	Seeds: []json.RawMessage{
		json.RawMessage(`{"id": 123, "user_id": 1, "name": "Sales Support Agent", "avatar_id": 1, "avatar_name": "Professional Avatar", "avatar_url": "https://example.com/avatar.jpg",
			"avatar_voice_id": "21m00Tcm4TlvDq8ikWAM", "voice_id": 2, "role_id": 1, "language": "en", "custom_greeting": "Welcome!", "context": "You sell.",
			"properties": null, "memories": null, "knowledge_base": null, "status": "active", "created_at": "2024-01-15T10:30:00Z", "updated_at": "2024-01-15T10:30:00Z",
			"last_used_at": "2024-01-15T12:00:00Z", "total_sessions": 5, "avg_duration": 120.5}`),
		json.RawMessage(`{"id": 124, "user_id": 1, "name": "Voiceless Agent", "avatar_id": 2, "avatar_name": "Casual Avatar", "avatar_url": "https://example.com/avatar2.jpg",
			"avatar_voice_id": null, "voice_id": 3, "role_id": null, "language": "en", "custom_greeting": null, "context": null, "properties": {"a": 1}, "memories": {}, "knowledge_base": {"b": []},
			"status": "archived", "created_at": "2024-01-14T09:20:00Z", "updated_at": "2024-01-14T09:20:00Z", "last_used_at": null, "total_sessions": 0, "avg_duration": 0}`),
	},
	Many: func(n int) []json.RawMessage {
		var agents []json.RawMessage
		for i := range n {
			agents = append(agents, json.RawMessage(fmt.Sprintf(`{"id": %d, "user_id": 1, "name": "Agent %d", "language": "en", "status": "active", "created_at": "2024-01-14T09:20:00Z", "updated_at": "2024-01-14T09:20:00Z"}`, i+1, i+1)))
		}
		return agents
	},
	Missing: "999",
	Creates: map[string]string{"agent": `{"name": "New", "avatar": {"id": "1"}, "language": "fr", "greeting": "Bonjour", "system_prompt": "p", "extensions": {"properties": {"department": "sales"}}}`},
	Update: `{"name": "Changed", "avatar": {"id": "2"}, "language": "de", "greeting": "Hallo", "system_prompt": "P", "status": "archived",
		"extensions": {"properties": {"x": 1.5}, "memories": {"y": [1]}, "knowledge_base": {"z": null}}}`,
	Errors: []conformance.DocumentedError{
		{Status: 400, Body: `{"success": false, "error": {"message": "Avatar ID is required", "suggestion": "Include avatar_id in the request body"}}`, Kind: normalize.KindRejected},
		{Status: 401, Body: `{"error": "API key required"}`, Kind: normalize.KindAuth},
		{Status: 402, Body: `{"success": false, "error": {"code": "INSUFFICIENT_MINUTES", "message": "No minutes remaining."}}`, Kind: normalize.KindRejected, Code: "INSUFFICIENT_MINUTES"},
		{Status: 403, Body: `{"success": false, "error": {"message": "Access denied to this avatar"}}`, Kind: normalize.KindAuth},
		{Status: 404, Body: `{"success": false, "error": "Agent not found"}`, Kind: normalize.KindNotFound},
		{Status: 404, Body: `{"error": "Agent not found"}`, Kind: normalize.KindNotFound},
		{Status: 429, Body: `{"success": false, "error": "Too many requests. Please retry after 1 minute."}`, Kind: normalize.KindRateLimited},
		{Status: 500, Body: `{"success": false, "error": "Detailed error message"}`, Kind: normalize.KindUpstream},
		{Status: 503, Body: `{"success": false, "error": {"message": "canary-seeded-7d1f is not known"}}`, Kind: normalize.KindUnavailable},
		{Status: 200, Body: `{"success": false, "error": "Detailed error message"}`, Kind: normalize.KindFailureReply},
	},
}
