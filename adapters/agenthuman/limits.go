// Package agenthuman is the adapter for AgentHuman, the avatar platform.
//
// The provider's pages describe two generations of it under the same paths: one
// with integer ids, which reads and writes follow, and a newer one with ids
// that begin with agnt_, whose replies are read without loss.
//
// It does not know other providers, the gateway, or the caller. Begin reading at
// adapter.go; info below is what the API can do.
//
// Source: docs.agenthuman.com, the agents pages of both, read 2026-11.
package agenthuman

import (
	"regexp"

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

// nativeIDs are the ids of both generations.
var nativeIDs = regexp.MustCompile(`^(0|[1-9][0-9]{0,18}|agnt_[A-Za-z0-9_-]{1,120})$`)

var info = &adapters.Info{
	Provider:  provider,
	Title:     "AgentHuman",
	Modality:  normalize.ModalityAvatar,
	NativeIDs: nativeIDs,
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

// newerUnavailable are the fields that an agent of the newer generation does not
// show. It shows a name, a picture, a time, and voice_agent, which is an extension.
var newerUnavailable = normalize.Optional.Minus(normalize.Fields(
	normalize.FieldName, normalize.FieldAvatarURL, normalize.FieldCreatedAt,
))

// The fields that no response shows, and those that each kind of response leaves
// out.
var (
	neverShown   = info.Unavailable()
	notInTheList = info.NotLoaded(adapters.InList)
	notInTheGet  = info.NotLoaded(adapters.InGet)
	notInACreate = info.NotLoaded(0) // a create loads only what its response has
)
