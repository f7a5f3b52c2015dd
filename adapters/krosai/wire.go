package krosai

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

// wireAgent is the agent as every operation answers it.
type wireAgent struct {
	ID               *wire.IntegerOrText `json:"id"`
	Name             *string             `json:"name"`
	Description      *string             `json:"description"`
	SystemPrompt     *string             `json:"system_prompt"`
	Language         *string             `json:"language"`
	VoiceID          *string             `json:"voice_id"`
	TTSProvider      *string             `json:"tts_provider"`
	STTProvider      *string             `json:"stt_provider"`
	LLMModel         *string             `json:"llm_model"`
	KnowledgeBaseIDs []string            `json:"knowledge_base_ids"`
	CreatedAt        wire.Opt[string]    `json:"created_at"` // "datetime": the form is not documented
	UpdatedAt        wire.Opt[string]    `json:"updated_at"`
	CreatedBy        *string             `json:"created_by"`
	Rest             jsontext.Value      `json:",embed"`
}

// writes are the fields of the create and update bodies.
var writes = []wire.Mapping{
	{Field: normalize.FieldName, Name: "name"},
	{Field: normalize.FieldDescription, Name: "description"},
	{Field: normalize.FieldSystemPrompt, Name: "system_prompt"},
	{Field: normalize.FieldLanguage, Name: "language"},
	{Field: normalize.FieldVoiceID, Name: "voice_id"},
	{Field: normalize.FieldTTSProvider, Name: "tts_provider"},
	{Field: normalize.FieldSTTProvider, Name: "stt_provider"},
	{Field: normalize.FieldModelID, Name: "llm_model"},
	{Field: normalize.FieldKnowledgeBaseIDs, Name: "knowledge_base_ids"},
}
