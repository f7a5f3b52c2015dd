// Package agenthuman speaks AgentHuman's API, the avatar platform.
//
// The vendor's pages describe two generations of it under the same paths: one
// with integer ids, which reads and writes follow, and a newer one with ids
// that begin with agnt_, whose replies are read without loss.
//
// It must not know another vendor, the gateway, or who the caller is.
//
// Source: docs.agenthuman.com, the agents pages of both, read 2026-11.
package agenthuman

import (
	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

const provider = "agenthuman"

// Provider is AgentHuman.
var Provider = adapters.Provider{Info: info, New: newAdapter}

const (
	list   = adapters.InList
	get    = adapters.InGet
	create = adapters.InCreate
	update = adapters.InUpdate
	all    = list | get | create | update
)

var info = &adapters.Info{
	Provider: provider,
	Title:    "AgentHuman",
	Operations: map[adapters.Operation]adapters.Support{
		adapters.OpList:   adapters.Native,
		adapters.OpGet:    adapters.Native,
		adapters.OpCreate: adapters.Native,
		adapters.OpUpdate: adapters.Native,
		adapters.OpDelete: adapters.Native,
	},
	Rules: []adapters.Rule{
		{Field: normalize.FieldName, In: all, RequiredFor: []string{adapters.Always}, Limit: adapters.Limit{MinLength: 1}},
		{Field: normalize.FieldStatus, In: list | get | update, Limit: adapters.Limit{OneOf: []string{normalize.StatusActive, normalize.StatusArchived}}},
		{Field: normalize.FieldLanguage, In: all},
		{Field: normalize.FieldSystemPrompt, In: all},
		{Field: normalize.FieldGreeting, In: all},
		{Field: normalize.FieldVoiceID, In: get},
		{Field: normalize.FieldAvatarID, In: all, Limit: adapters.Limit{Integer: true}},
		{Field: normalize.FieldAvatarName, In: list},
		{Field: normalize.FieldAvatarURL, In: list},
		{Field: normalize.FieldAvatarVoiceID, In: list},
		{Field: normalize.FieldOwnerUserID, In: get},
		{Field: normalize.FieldUsageSessions, In: list | get},
		{Field: normalize.FieldUsageAvgDurationS, In: list | get},
		{Field: normalize.FieldUsageLastUsedAt, In: list | get},
		{Field: normalize.FieldCreatedAt, In: list | get},
		{Field: normalize.FieldUpdatedAt, In: list | get},
	},
	Extensions: []adapters.ExtensionRule{
		// On create it is in the sample and missing from the field table.
		{Name: "properties", In: create | update, Type: normalize.TypeObject},
		{Name: "memories", In: update, Type: normalize.TypeObject},
		{Name: "knowledge_base", In: update, Type: normalize.TypeObject},
	},
	GetJoinsList: true,
}

// newerUnavailable is what the newer generation's agent does not show: all but
// a name, a picture, a time, and voice_agent, which is an extension.
var newerUnavailable = normalize.Optional.Minus(normalize.Fields(
	normalize.FieldName, normalize.FieldAvatarURL, normalize.FieldCreatedAt,
))

// What no answer shows, and what each leaves out: worked out once, not for each
// agent.
var (
	neverShown   = info.Unavailable()
	notInTheList = info.NotLoaded(adapters.InList)
	notInTheGet  = info.NotLoaded(adapters.InGet)
	notInACreate = info.NotLoaded(0) // only what comes is loaded
)
