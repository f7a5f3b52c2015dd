// Package talkifai is the adapter for TalkifAI: pipeline, realtime and text agents.
//
// The provider publishes two descriptions of one API with different bodies: the
// agents page, and the pages of the single endpoints. Requests follow the first;
// responses of both are read without loss.
//
// It does not know other providers, the gateway, or the caller. Begin reading at
// adapter.go; info below is what the API can do.
//
// Source: docs.talkifai.dev, both sets of pages, read 2026-11.
package talkifai

import (
	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

const provider = "talkifai"

// Provider is TalkifAI.
var Provider = adapters.Provider{Info: info, New: newAdapter}

const (
	list   = adapters.InList
	get    = adapters.InGet
	create = adapters.InCreate
	update = adapters.InUpdate
)

// The page that shows what create requires gives no limits; they are from the
// update endpoint page's table, last read 2026-11.
var (
	temperatureMin, temperatureMax = 0.1, 1.0
	inactivityMin, inactivityMax   = 10.0, 60.0

	visibilities = []string{normalize.VisibilityPublic, normalize.VisibilityPrivate, normalize.VisibilityCommercial}
)

var info = &adapters.Info{
	Provider: provider,
	Title:    "TalkifAI",
	Modality: normalize.ModalityVoice,
	Operations: map[adapters.Operation]adapters.Support{
		adapters.OpList:   adapters.Native,
		adapters.OpGet:    adapters.Native,
		adapters.OpCreate: adapters.Native,
		adapters.OpUpdate: adapters.Native,
		adapters.OpDelete: adapters.Native,
	},
	Rules: []adapters.Rule{
		{Field: normalize.FieldName, In: list | get | create | update, RequiredFor: always, Limit: adapters.Limit{MinLength: 2, MaxLength: 50}},
		{Field: normalize.FieldStatus, In: list | get | update, Limit: adapters.Limit{OneOf: []string{normalize.StatusActive, normalize.StatusInactive}}},
		{Field: normalize.FieldArchitecture, In: list | get | create, RequiredFor: always, Limit: adapters.Limit{OneOf: []string{pipeline, realtime, text}}},
		{Field: normalize.FieldVisibility, In: list | get | create | update, Limit: adapters.Limit{OneOf: visibilities}},
		{Field: normalize.FieldLanguage, In: get | create | update},
		{Field: normalize.FieldSystemPrompt, In: get | create | update, RequiredFor: always, Limit: adapters.Limit{MaxLength: 5000}},
		{Field: normalize.FieldModelID, In: get | create | update, RequiredFor: []string{pipeline, text}},
		{Field: normalize.FieldModelTemperature, In: get | create | update, Limit: adapters.Limit{Min: &temperatureMin, Max: &temperatureMax}},
		{Field: normalize.FieldVoiceID, In: get | create | update},
		{Field: normalize.FieldSTTProvider, In: get | create | update, RequiredFor: []string{pipeline}},
		{Field: normalize.FieldTTSProvider, In: get | create | update, RequiredFor: []string{pipeline}},
		{Field: normalize.FieldRealtimeProvider, In: get | create | update, RequiredFor: []string{realtime}, Limit: adapters.Limit{OneOf: []string{"openai", "gemini"}}},
		{Field: normalize.FieldToolsBuiltin, In: get | create | update},
		{Field: normalize.FieldToolsCustom, In: get | create | update},
		{Field: normalize.FieldCreatedAt, In: list | get},
		{Field: normalize.FieldUpdatedAt, In: get},
	},
	// All of them from the endpoint pages.
	Extensions: []adapters.ExtensionRule{
		{Name: "functionCallingEnabled", In: create | update, Type: normalize.TypeBool},
		{Name: "greetingType", In: create | update, Type: normalize.TypeString, Limit: adapters.Limit{OneOf: []string{"agentFirst", "userFirst"}}},
		{Name: "inactivityTimeout", In: create | update, Type: normalize.TypeNumber, Limit: adapters.Limit{Min: &inactivityMin, Max: &inactivityMax}},
		{Name: "lastMessage", In: create | update, Type: normalize.TypeString, Limit: adapters.Limit{MaxLength: 100}},
	},
	CreatesInactive: true,
}

var always = []string{adapters.Always}

const (
	pipeline = normalize.ArchitecturePipeline
	realtime = normalize.ArchitectureRealtime
	text     = normalize.ArchitectureText
)

// endpointPagesShow are the fields of the endpoint pages' agent, in their list
// as in their get.
var endpointPagesShow = normalize.Fields(
	normalize.FieldName, normalize.FieldDescription, normalize.FieldArchitecture, normalize.FieldVisibility,
	normalize.FieldLanguage, normalize.FieldSystemPrompt, normalize.FieldGreeting, normalize.FieldModelID,
	normalize.FieldModelTemperature, normalize.FieldVoiceID, normalize.FieldSTTProvider, normalize.FieldRealtimeProvider,
	normalize.FieldToolsBuiltin, normalize.FieldToolsCustom, normalize.FieldOwnerUserID, normalize.FieldOwnerTeamID,
	normalize.FieldCreatedAt, normalize.FieldUpdatedAt,
)

// The fields that no response shows, and those that each kind of response leaves
// out.
var (
	neverShown   = info.Unavailable()
	notInTheList = info.NotLoaded(adapters.InList)
	notInTheGet  = info.NotLoaded(adapters.InGet)
	notInACreate = info.NotLoaded(0) // a create loads only what its response has
)
