// Package krosai is the adapter for KrosAI, whose API has every operation, one
// shape of agent for all of them, and a list that is a bare array.
//
// It does not know other providers, the gateway, or the caller. Begin reading at
// adapter.go; info below is what the API can do.
//
// Source: krosai.gitbook.io/api, the agents pages, read 2026-11.
package krosai

import (
	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

const provider = "krosai"

// Provider is KrosAI.
var Provider = adapters.Provider{Info: info, New: newAdapter}

const (
	read  = adapters.InList | adapters.InGet
	write = adapters.InCreate | adapters.InUpdate
)

var info = &adapters.Info{
	Provider: provider,
	Title:    "KrosAI",
	Modality: normalize.ModalityVoice,
	Operations: map[adapters.Operation]adapters.Support{
		adapters.OpList:   adapters.Native,
		adapters.OpGet:    adapters.Native,
		adapters.OpCreate: adapters.Native,
		adapters.OpUpdate: adapters.Native,
		adapters.OpDelete: adapters.Native,
	},
	// No length limits are documented, and no value of any field is.
	Rules: []adapters.Rule{
		{Field: normalize.FieldName, In: read | write, RequiredFor: []string{adapters.Always}, Limit: adapters.Limit{MinLength: 1}},
		{Field: normalize.FieldDescription, In: read | write},
		{Field: normalize.FieldLanguage, In: read | write},
		{Field: normalize.FieldSystemPrompt, In: read | write},
		{Field: normalize.FieldModelID, In: read | write},
		{Field: normalize.FieldVoiceID, In: read | write},
		{Field: normalize.FieldSTTProvider, In: read | write},
		{Field: normalize.FieldTTSProvider, In: read | write},
		{Field: normalize.FieldKnowledgeBaseIDs, In: read | write},
		{Field: normalize.FieldOwnerUserID, In: read},
		{Field: normalize.FieldCreatedAt, In: read},
		{Field: normalize.FieldUpdatedAt, In: read},
	},
}

// What no answer shows: worked out once, not for each agent.
var neverShown = info.Unavailable()
