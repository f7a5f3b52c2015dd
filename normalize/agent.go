// Package normalize is the gateway's model of an agent: its fields, ids and JSON,
// the changes that callers make, and the kinds of failure.
//
// It is pure: no network, no configuration, no clock. It does not know any
// provider, any transport or the gateway; all of them depend on it.
//
// Begin reading at Agent. fields.go is the table of its fields, error.go has the kinds
// of failure, body.go parses what callers send.
package normalize

import (
	"cmp"

	"github.com/go-json-experiment/json/jsontext"
)

// View says how much of an agent was read.
type View string

const (
	// ViewBasic is what the backend's list shows.
	ViewBasic View = "basic"
	// ViewFull is all that the backend's API shows of one agent.
	ViewFull View = "full"
)

// Modalities, the only derived value of the model.
const (
	ModalityText   = "text"
	ModalityVoice  = "voice"
	ModalityAvatar = "avatar"
)

// Known values of the model's open enums. Any other value of a provider is passed
// through unchanged.
const (
	StatusActive   = "active"
	StatusInactive = "inactive"
	StatusArchived = "archived"

	ArchitecturePipeline = "pipeline"
	ArchitectureRealtime = "realtime"
	ArchitectureText     = "text"

	DirectionInbound  = "inbound"
	DirectionOutbound = "outbound"

	VisibilityPublic     = "public"
	VisibilityPrivate    = "private"
	VisibilityCommercial = "commercial"
)

// KnownValues returns the documented values of an open enum; nil for any other field.
func KnownValues(f Field) []string {
	switch f {
	case FieldStatus:
		return []string{StatusActive, StatusInactive, StatusArchived}
	case FieldArchitecture:
		return []string{ArchitecturePipeline, ArchitectureRealtime, ArchitectureText}
	case FieldDirection:
		return []string{DirectionInbound, DirectionOutbound}
	case FieldVisibility:
		return []string{VisibilityPublic, VisibilityPrivate, VisibilityCommercial}
	case FieldModality:
		return []string{ModalityText, ModalityVoice, ModalityAvatar}
	}
	return nil
}

// Agent is one agent of one backend. A nil pointer or slice is JSON null. An Agent
// does not change after an adapter has built it: requests share it.
//
// Every value that the provider sent is in exactly one place: a field here, a
// member of Extensions, or the envelope of the response.
type Agent struct {
	ID           string   `json:"id"`
	Object       string   `json:"object"`
	Backend      string   `json:"backend"`
	Provider     string   `json:"provider"`
	NativeID     string   `json:"native_id"`
	AlternateIDs []string `json:"alternate_ids"` // whole ids, never null

	Name         *string `json:"name"`
	Description  *string `json:"description"`
	Status       *string `json:"status"`
	Modality     *string `json:"modality"`
	Architecture *string `json:"architecture"`
	Direction    *string `json:"direction"`
	Visibility   *string `json:"visibility"`
	Language     *string `json:"language"`
	SystemPrompt *string `json:"system_prompt"`
	Greeting     *string `json:"greeting"`

	Model    Model   `json:"model"`
	Voice    Voice   `json:"voice"`
	STT      Engine  `json:"stt"`
	TTS      Engine  `json:"tts"`
	Realtime Engine  `json:"realtime"`
	Avatar   *Avatar `json:"avatar"`
	Phone    Phone   `json:"phone"`

	KnowledgeBaseIDs []string `json:"knowledge_base_ids"`

	Tools Tools `json:"tools"`
	Owner Owner `json:"owner"`
	Usage Usage `json:"usage"`

	CreatedAt *string `json:"created_at"` // RFC 3339, as the provider wrote it
	UpdatedAt *string `json:"updated_at"` // RFC 3339, as the provider wrote it

	// Extensions is a JSON object of the provider's own members, verbatim; nil
	// stands for {}.
	Extensions jsontext.Value `json:"extensions"`

	View View `json:"view"`

	// Unavailable are the fields that the provider's API never shows. NotLoaded
	// are those that it shows, but not in this view.
	Unavailable FieldSet `json:"-"`
	NotLoaded   FieldSet `json:"-"`

	// Warnings say what of the provider's JSON is not as it documents.
	Warnings []Warning `json:"-"`

	// RawList and RawDetail are the provider's JSON for this agent, verbatim.
	RawList   jsontext.Value `json:"-"`
	RawDetail jsontext.Value `json:"-"`
}

// Model is the language model that an agent speaks with.
type Model struct {
	ID          *string `json:"id"`
	Temperature *Number `json:"temperature"`
}

// Voice is the voice that an agent speaks with.
type Voice struct {
	ID *string `json:"id"`
}

// Engine names the maker of one stage: speech to text, text to speech, or a
// realtime model.
type Engine struct {
	Provider *string `json:"provider"`
}

// Avatar is the face of an agent. VoiceID is the avatar's voice, which can differ
// from the agent's.
type Avatar struct {
	ID      *string `json:"id"`
	Name    *string `json:"name"`
	URL     *string `json:"url"`
	VoiceID *string `json:"voice_id"`
}

// Phone is how an agent is reached by telephone. Number is E.164 where the
// provider writes it so.
type Phone struct {
	Number  *string `json:"number"`
	CanCall *bool   `json:"can_call"`
}

// Tools are the functions that an agent may call, by name.
type Tools struct {
	Builtin []string `json:"builtin"`
	Custom  []string `json:"custom"`
}

// Owner is the user and the team that the agent belongs to at the provider.
type Owner struct {
	UserID *string `json:"user_id"`
	TeamID *string `json:"team_id"`
}

// Usage are the provider's lifetime figures; Minutes in minutes, AvgDurationS
// in seconds, both as the provider gives them.
type Usage struct {
	Sessions     *Number `json:"sessions"`
	Calls        *Number `json:"calls"`
	Minutes      *Number `json:"minutes"`
	AvgDurationS *Number `json:"avg_duration_s"`
	LastUsedAt   *string `json:"last_used_at"` // RFC 3339
}

// New returns an agent with its identity set and everything else null.
func New(provider, backend, nativeID string, view View) *Agent {
	return &Agent{
		ID:           ID{Backend: backend, Native: nativeID}.String(),
		Object:       "agent",
		Backend:      backend,
		Provider:     provider,
		NativeID:     nativeID,
		AlternateIDs: []string{},
		View:         view,
	}
}

// Answers reports whether the native id is the agent's own or an alternate one.
func (a *Agent) Answers(nativeID string) bool {
	if a.NativeID == nativeID {
		return true
	}
	whole := ID{Backend: a.Backend, Native: nativeID}.String()
	for _, alt := range a.AlternateIDs {
		if alt == whole {
			return true
		}
	}
	return false
}

// Compare orders native ids: the shorter first, then by bytes, so that
// integers sort as numbers.
func Compare(a, b string) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return cmp.Compare(a, b)
}
