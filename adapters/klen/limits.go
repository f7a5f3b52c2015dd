// Package klen speaks Klen AI's API: a list of agents, and nothing else.
//
// It must not know another vendor, the gateway, or who the caller is.
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

// What no answer shows, and what each leaves out: worked out once, not for each
// agent.
var (
	neverShown   = info.Unavailable()
	notInTheList = info.NotLoaded(adapters.InList)
)
