package klen

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

// wireList is the reply to GET /agents. The development guide gives every list
// count, page, limit and pages as well; on agents they are not documented and
// would be envelope.
type wireList struct {
	Success jsontext.Value             `json:"success"` // not documented
	Agents  wire.Opt[adapters.RawRows] `json:"agents"`
}

type wireAgent struct {
	ID           *wire.IntegerOrText `json:"id"`
	AssistantID  *string             `json:"assistant_id"`
	Name         *string             `json:"name"`
	Role         *string             `json:"role"` // "inbound agent", "outbound agent"
	PhoneNumber  *string             `json:"phone_number"`
	MinutesUsed  *normalize.Number   `json:"minutes_used"`
	TotalCalls   *normalize.Number   `json:"total_calls"`
	Model        *string             `json:"model"`
	VoiceID      *string             `json:"voice_id"`
	CanMakeCalls *bool               `json:"can_make_calls"`
	TeamID       *wire.Integer       `json:"team_id"`
	Rest         jsontext.Value      `json:",embed"`
}
