package agenthuman

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

// wireList is the reply to GET /agents.
type wireList struct {
	Success jsontext.Value             `json:"success"`
	Agents  wire.Opt[adapters.RawRows] `json:"agents"`
}

// wireReply is the response to a write. The newer generation wraps an agent in it.
type wireReply struct {
	Success jsontext.Value `json:"success"`
	Agent   jsontext.Value `json:"agent"`
}

// wireAgent is the union of the agent's shapes: the list's row, the detail, the
// response to a create, and the newer generation's agent.
type wireAgent struct {
	AgentID        wire.Opt[wire.IntegerOrText] `json:"agent_id"` // list, create, newer
	ID             wire.Opt[wire.IntegerOrText] `json:"id"`       // detail
	UserID         wire.Opt[wire.Integer]       `json:"user_id"`
	Name           wire.Opt[string]             `json:"name"`
	AvatarID       wire.Opt[wire.Integer]       `json:"avatar_id"`
	AvatarName     wire.Opt[string]             `json:"avatar_name"`
	AvatarURL      wire.Opt[string]             `json:"avatar_url"`
	AvatarImageURL wire.Opt[string]             `json:"avatar_image_url"` // newer
	VoiceID        jsontext.Value               `json:"voice_id"`         // the avatar's, a string, in the list; the agent's, an integer, in the detail
	Language       wire.Opt[string]             `json:"language"`
	CustomGreeting wire.Opt[string]             `json:"custom_greeting"`
	Context        wire.Opt[string]             `json:"context"`
	Status         wire.Opt[string]             `json:"status"`
	CreatedAt      wire.Opt[string]             `json:"created_at"`
	UpdatedAt      wire.Opt[string]             `json:"updated_at"`
	LastUsedAt     wire.Opt[string]             `json:"last_used_at"`
	TotalSessions  wire.Opt[normalize.Number]   `json:"total_sessions"`
	AvgDuration    wire.Opt[normalize.Number]   `json:"avg_duration"`
	Rest           jsontext.Value               `json:",embed"`
}

// writes are the fields of the create and update bodies.
var writes = []wire.Mapping{
	{Field: normalize.FieldName, Name: "name"},
	{Field: normalize.FieldAvatarID, Name: "avatar_id", As: wire.Unquote},
	{Field: normalize.FieldLanguage, Name: "language"},
	{Field: normalize.FieldGreeting, Name: "custom_greeting"},
	{Field: normalize.FieldSystemPrompt, Name: "context"},
	{Field: normalize.FieldStatus, Name: "status"},
}

func decodeID(v jsontext.Value) (id wire.IntegerOrText, err error) {
	err = json.Unmarshal(v, &id)
	return id, err
}
