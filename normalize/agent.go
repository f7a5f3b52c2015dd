// Package normalize is the gateway's own model of an agent: its fields, its
// ids, its errors, and how it is written as JSON.
//
// It is pure: no network, no configuration, no clock. It must not know any
// vendor, any transport or the gateway; everything else may depend on it.
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
	// ViewFull is everything the backend's API shows of one agent.
	ViewFull View = "full"
)

// Modalities, the only derived value of the model.
const (
	ModalityText   = "text"
	ModalityVoice  = "voice"
	ModalityAvatar = "avatar"
)

// Known values of the model's open enums. A vendor's value that is not among
// them is passed through as it came.
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

// KnownValues are those of an open enum that are documented; nil for a field
// that is none.
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

// Agent is one agent of one backend. A nil pointer or slice is JSON null. An
// Agent is built by an adapter and not changed afterwards: the gateway shares
// it between requests.
//
// Every value that the vendor sent is in exactly one place: a field here, a
// member of Extensions, or the envelope of the reply it came in.
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

	CreatedAt *string `json:"created_at"` // RFC 3339, as the vendor wrote it
	UpdatedAt *string `json:"updated_at"` // RFC 3339, as the vendor wrote it

	// Extensions is a JSON object of the vendor's own members, verbatim; nil
	// stands for {}.
	Extensions jsontext.Value `json:"extensions"`

	View View `json:"view"`

	// Unavailable are the fields that this vendor's API never shows,
	// NotLoaded those that it shows, but not in this view.
	Unavailable FieldSet `json:"-"`
	NotLoaded   FieldSet `json:"-"`

	// Earlier is where a list read before has the very same agent, from 1 on: this one stands
	// for it, with its ids and RawList and nothing else. 0: it is all here.
	Earlier int `json:"-"`

	// RawList and RawDetail are the vendor's JSON for this agent, verbatim.
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

// Avatar is the face of an agent. VoiceID is the avatar's voice, which need
// not be the agent's.
type Avatar struct {
	ID      *string `json:"id"`
	Name    *string `json:"name"`
	URL     *string `json:"url"`
	VoiceID *string `json:"voice_id"`
}

// Phone is how an agent is reached by telephone. Number is E.164 where the
// vendor writes it so.
type Phone struct {
	Number  *string `json:"number"`
	CanCall *bool   `json:"can_call"`
}

// Tools are the functions that an agent may call, by name.
type Tools struct {
	Builtin []string `json:"builtin"`
	Custom  []string `json:"custom"`
}

// Owner says whose agent it is at the vendor.
type Owner struct {
	UserID *string `json:"user_id"`
	TeamID *string `json:"team_id"`
}

// Usage are the vendor's lifetime figures; Minutes in minutes, AvgDurationS
// in seconds, both as the vendor gives them.
type Usage struct {
	Sessions     *Number `json:"sessions"`
	Calls        *Number `json:"calls"`
	Minutes      *Number `json:"minutes"`
	AvgDurationS *Number `json:"avg_duration_s"`
	LastUsedAt   *string `json:"last_used_at"` // RFC 3339
}

// New is an agent with its identity filled in and everything else null.
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

// Answers reports whether the agent is found under this native id: its own,
// or an alternate one.
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
