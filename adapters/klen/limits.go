// Package klen is the adapter for Klen AI, whose API has a list of agents and
// nothing else.
//
// It does not know other providers, the gateway, or the caller. Begin reading at
// adapter.go; info below is what the API can do.
//
// Source: docs.klen.ai, "Get Agents", read 2026-11.
package klen

import (
	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

const provider = "klen"

// Provider is Klen AI.
var Provider = adapters.Provider{Info: info, New: newAdapter}

var info = &adapters.Info{
	Provider: provider,
	Title:    "Klen AI",
	Modality: normalize.ModalityVoice,
	Operations: map[adapters.Operation]adapters.Support{
		adapters.OpList:   adapters.Native,
		adapters.OpGet:    adapters.Emulated, // no get is documented: the list answers
		adapters.OpCreate: adapters.None,     // a key's permissions know reading agents only
		adapters.OpUpdate: adapters.None,
		adapters.OpDelete: adapters.None,
	},
	Rules: []adapters.Rule{
		{Field: normalize.FieldName, In: read},
		{Field: normalize.FieldDirection, In: read},
		{Field: normalize.FieldModelID, In: read},
		{Field: normalize.FieldVoiceID, In: read},
		{Field: normalize.FieldPhoneNumber, In: read},
		{Field: normalize.FieldPhoneCanCall, In: read},
		{Field: normalize.FieldOwnerTeamID, In: read},
		{Field: normalize.FieldUsageCalls, In: read},
		{Field: normalize.FieldUsageMinutes, In: read},
	},
}

// read: the get is the list, so it shows the same.
const read = adapters.InList | adapters.InGet

// The fields that no response shows, and those that each kind of response leaves
// out.
var (
	neverShown   = info.Unavailable()
	notInTheList = info.NotLoaded(adapters.InList)
)
