package talkifai

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

// wireReply is the envelope of every response. The agents page has the result in
// data; the endpoint pages have it in data.agents or data.agent in their samples,
// and in agents or agent in their text.
type wireReply struct {
	Success    jsontext.Value `json:"success"`
	Data       jsontext.Value `json:"data"`
	Agents     jsontext.Value `json:"agents"`
	Agent      jsontext.Value `json:"agent"`
	Pagination jsontext.Value `json:"pagination"`
}

// pagination leaves out total, which is not needed, and limit and hasPrev, which only
// the introduction's sample has.
type pagination struct {
	Page    int            `json:"page"`
	HasNext wire.Opt[bool] `json:"hasNext"`
}

// wireAgent is the union of both descriptions' agents.
type wireAgent struct {
	ID               *wire.IntegerOrText        `json:"id"`
	Name             wire.Opt[string]           `json:"name"`
	Architecture     wire.Opt[string]           `json:"agentArchitecture"`
	Mode             wire.Opt[string]           `json:"mode"`
	Active           wire.Opt[bool]             `json:"active"`
	Model            wire.Opt[string]           `json:"model"`
	STT              wire.Opt[string]           `json:"stt"`
	TTS              wire.Opt[string]           `json:"tts"`
	VoiceID          wire.Opt[string]           `json:"voiceId"`
	RealtimeProvider wire.Opt[string]           `json:"realtimeProvider"`
	SystemPrompt     wire.Opt[string]           `json:"systemPrompt"` // agents page
	SysMsg           wire.Opt[string]           `json:"sysMsg"`       // endpoint pages
	Language         wire.Opt[string]           `json:"language"`     // agents page
	Languages        jsontext.Value             `json:"languages"`    // endpoint pages: strings, or {id, language}
	Temperature      wire.Opt[normalize.Number] `json:"temperature"`
	Functions        wire.Opt[[]string]         `json:"enabledFunctions"`
	CustomFunctions  wire.Opt[[]string]         `json:"enabledCustomFunctions"`
	Description      wire.Opt[string]           `json:"description"`     // endpoint pages
	GreetingMessage  wire.Opt[string]           `json:"greetingMessage"` // endpoint pages
	UserID           wire.Opt[string]           `json:"userId"`          // endpoint pages
	OrganizationID   wire.Opt[string]           `json:"organizationId"`  // endpoint pages
	CreatedAt        wire.Opt[string]           `json:"createdAt"`
	UpdatedAt        wire.Opt[string]           `json:"updatedAt"`
	Rest             jsontext.Value             `json:",embed"`
}

// fromEndpointPages reports whether the agent has the shape of the endpoint pages.
func (w wireAgent) fromEndpointPages() bool {
	return w.SysMsg.Sent || w.Languages != nil
}

// writes are the fields of the create and update bodies, by the agents page.
var writes = []wire.Mapping{
	{Field: normalize.FieldName, Name: "name"},
	{Field: normalize.FieldArchitecture, Name: "agentArchitecture"},
	{Field: normalize.FieldModelID, Name: "model"},
	{Field: normalize.FieldSTTProvider, Name: "stt"},
	{Field: normalize.FieldTTSProvider, Name: "tts"},
	{Field: normalize.FieldRealtimeProvider, Name: "realtimeProvider"},
	{Field: normalize.FieldVoiceID, Name: "voiceId"},
	{Field: normalize.FieldSystemPrompt, Name: "systemPrompt"},
	{Field: normalize.FieldLanguage, Name: "language"},
	{Field: normalize.FieldVisibility, Name: "mode"},
	{Field: normalize.FieldModelTemperature, Name: "temperature"},
	{Field: normalize.FieldToolsBuiltin, Name: "enabledFunctions"},
	{Field: normalize.FieldToolsCustom, Name: "enabledCustomFunctions"},
	{Field: normalize.FieldStatus, Name: "active", As: isActive},
}

// isActive converts a status to the provider's flag. The capability table admits
// active and inactive only.
func isActive(status jsontext.Value) jsontext.Value {
	if string(status) == `"`+normalize.StatusActive+`"` {
		return jsontext.Value("true")
	}
	return jsontext.Value("false")
}
