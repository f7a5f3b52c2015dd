package klen

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/sandbox"
	klensandbox "github.com/agentgw/agentgw/sandbox/klen"
	"github.com/agentgw/agentgw/test/conformance"
)

func TestConformance(t *testing.T) { conformance.Run(t, harness) }

var harness = conformance.Harness{
	Provider: Provider,
	Emulator: func() sandbox.Emulator { return klensandbox.New() },
	Seeds: []json.RawMessage{
		json.RawMessage(`{"id": 123, "assistant_id": "assistant_abc123", "name": "Customer Support", "role": "inbound agent", "phone_number": "+15551234567",
			"minutes_used": 345.5, "total_calls": 78, "model": "claude-3-opus-20240229", "voice_id": "ember", "can_make_calls": true, "team_id": 456}`),
		json.RawMessage(`{"id": 124, "assistant_id": "assistant_ghi789", "name": "Unassigned", "role": "outbound agent", "phone_number": null,
			"minutes_used": 0, "total_calls": 0, "model": "claude-3-sonnet-20240229", "voice_id": "ember", "can_make_calls": false, "team_id": null}`),
	},
	Many: func(n int) []json.RawMessage {
		var agents []json.RawMessage
		for i := range n {
			agents = append(agents, json.RawMessage(fmt.Sprintf(`{"id": %d, "assistant_id": "assistant_%d", "name": "Agent %d", "role": "inbound agent", "phone_number": null,
				"minutes_used": 0, "total_calls": 0, "model": "m", "voice_id": "v", "can_make_calls": false, "team_id": null}`, i+1, i+1, i+1)))
		}
		return agents
	},
	Missing: "999",
	Errors: []conformance.DocumentedError{
		{Status: 400, Body: `{"error": "validation_error", "message": "A text of the vendor"}`, Kind: normalize.KindRejected, Code: "validation_error"},
		{Status: 401, Body: `{"error": "invalid_key", "message": "Invalid or inactive API key"}`, Kind: normalize.KindAuth, Code: "invalid_key"},
		{Status: 403, Body: `{"error": "permission_denied", "message": "A text of the vendor"}`, Kind: normalize.KindAuth, Code: "permission_denied"},
		{Status: 404, Body: `{"error": "not_found", "message": "A text of the vendor"}`, Kind: normalize.KindNotFound, Code: "not_found"},
		{Status: 429, Header: map[string]string{"Retry-After": "30"}, Body: `{"error": "rate_limit_exceeded", "message": "A text of the vendor"}`, Kind: normalize.KindRateLimited, Code: "rate_limit_exceeded", Wait: 30 * time.Second},
		{Status: 500, Body: `{"error": "server_error", "message": "An unexpected server error occurred"}`, Kind: normalize.KindUpstream, Code: "server_error"},
		{Status: 500, Body: `{"error": "the key canary-seeded-7d1f is bad", "message": 7}`, Kind: normalize.KindUpstream},
	},
}
