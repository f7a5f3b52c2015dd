package normalize

import (
	"math/bits"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Field is one leaf of the agent, or one of its members that has no leaves.
type Field uint8

// The fields of the agent, in the order in which they are written.
const (
	FieldID Field = iota
	FieldObject
	FieldBackend
	FieldProvider
	FieldNativeID
	FieldAlternateIDs
	FieldName
	FieldDescription
	FieldStatus
	FieldModality
	FieldArchitecture
	FieldDirection
	FieldVisibility
	FieldLanguage
	FieldSystemPrompt
	FieldGreeting
	FieldModelID
	FieldModelTemperature
	FieldVoiceID
	FieldSTTProvider
	FieldTTSProvider
	FieldRealtimeProvider
	FieldAvatarID
	FieldAvatarName
	FieldAvatarURL
	FieldAvatarVoiceID
	FieldPhoneNumber
	FieldPhoneCanCall
	FieldKnowledgeBaseIDs
	FieldToolsBuiltin
	FieldToolsCustom
	FieldOwnerUserID
	FieldOwnerTeamID
	FieldUsageSessions
	FieldUsageCalls
	FieldUsageMinutes
	FieldUsageAvgDurationS
	FieldUsageLastUsedAt
	FieldCreatedAt
	FieldUpdatedAt
	FieldExtensions
	fieldCount
)

// Type is the JSON type of a field's value.
type Type uint8

// The JSON types that fields have.
const (
	TypeString Type = iota
	TypeNumber
	TypeBool
	TypeStrings // array of strings
	TypeObject
)

func (t Type) String() string {
	return [...]string{"a string", "a number", "true or false", "an array of strings", "an object"}[t]
}

// fieldInfo describes a field.
type fieldInfo struct {
	name string
	typ  Type
	// readOnly fields are set by the gateway or the provider. They are ignored in
	// what a caller sends.
	readOnly bool
	// shown fields are part of every agent, whatever the provider.
	shown bool
}

var fields = [fieldCount]fieldInfo{
	FieldID:                {"id", TypeString, true, true},
	FieldObject:            {"object", TypeString, true, true},
	FieldBackend:           {"backend", TypeString, true, true},
	FieldProvider:          {"provider", TypeString, true, true},
	FieldNativeID:          {"native_id", TypeString, true, true},
	FieldAlternateIDs:      {"alternate_ids", TypeStrings, true, true},
	FieldName:              {"name", TypeString, false, false},
	FieldDescription:       {"description", TypeString, false, false},
	FieldStatus:            {"status", TypeString, false, false},
	FieldModality:          {"modality", TypeString, true, true},
	FieldArchitecture:      {"architecture", TypeString, false, false},
	FieldDirection:         {"direction", TypeString, false, false},
	FieldVisibility:        {"visibility", TypeString, false, false},
	FieldLanguage:          {"language", TypeString, false, false},
	FieldSystemPrompt:      {"system_prompt", TypeString, false, false},
	FieldGreeting:          {"greeting", TypeString, false, false},
	FieldModelID:           {"model.id", TypeString, false, false},
	FieldModelTemperature:  {"model.temperature", TypeNumber, false, false},
	FieldVoiceID:           {"voice.id", TypeString, false, false},
	FieldSTTProvider:       {"stt.provider", TypeString, false, false},
	FieldTTSProvider:       {"tts.provider", TypeString, false, false},
	FieldRealtimeProvider:  {"realtime.provider", TypeString, false, false},
	FieldAvatarID:          {"avatar.id", TypeString, false, false},
	FieldAvatarName:        {"avatar.name", TypeString, false, false},
	FieldAvatarURL:         {"avatar.url", TypeString, false, false},
	FieldAvatarVoiceID:     {"avatar.voice_id", TypeString, false, false},
	FieldPhoneNumber:       {"phone.number", TypeString, false, false},
	FieldPhoneCanCall:      {"phone.can_call", TypeBool, false, false},
	FieldKnowledgeBaseIDs:  {"knowledge_base_ids", TypeStrings, false, false},
	FieldToolsBuiltin:      {"tools.builtin", TypeStrings, false, false},
	FieldToolsCustom:       {"tools.custom", TypeStrings, false, false},
	FieldOwnerUserID:       {"owner.user_id", TypeString, false, false},
	FieldOwnerTeamID:       {"owner.team_id", TypeString, false, false},
	FieldUsageSessions:     {"usage.sessions", TypeNumber, true, false},
	FieldUsageCalls:        {"usage.calls", TypeNumber, true, false},
	FieldUsageMinutes:      {"usage.minutes", TypeNumber, true, false},
	FieldUsageAvgDurationS: {"usage.avg_duration_s", TypeNumber, true, false},
	FieldUsageLastUsedAt:   {"usage.last_used_at", TypeString, true, false},
	FieldCreatedAt:         {"created_at", TypeString, true, false},
	FieldUpdatedAt:         {"updated_at", TypeString, true, false},
	FieldExtensions:        {"extensions", TypeObject, false, true},
}

// Name returns the field's dotted name, such as "model.id".
func (f Field) Name() string { return fields[f].name }

// String returns the field's dotted name.
func (f Field) String() string { return fields[f].name }

// Pointer returns the field's JSON pointer (RFC 6901), such as "/model/id".
func (f Field) Pointer() string { return "/" + strings.ReplaceAll(fields[f].name, ".", "/") }

// Type returns the JSON type of the field's value.
func (f Field) Type() Type { return fields[f].typ }

// ReadOnly reports whether callers cannot set the field.
func (f Field) ReadOnly() bool { return fields[f].readOnly }

// AllFields returns every field, in order.
func AllFields() []Field {
	all := make([]Field, fieldCount)
	for i := range all {
		all[i] = Field(i)
	}
	return all
}

// FieldByName returns the field with the dotted name.
func FieldByName(name string) (Field, bool) {
	f, ok := fieldsByName[name]
	return f, ok
}

var fieldsByName = func() map[string]Field {
	m := make(map[string]Field, fieldCount)
	for f, info := range fields {
		m[info.name] = Field(f)
	}
	return m
}()

// FieldSet is a set of fields. The zero value is empty.
type FieldSet uint64

// Fields returns the set of the fields.
func Fields(fs ...Field) FieldSet {
	var s FieldSet
	for _, f := range fs {
		s |= 1 << f
	}
	return s
}

// Optional is the set of the fields that a provider need not show.
var Optional = func() FieldSet {
	var s FieldSet
	for f, info := range fields {
		if !info.shown {
			s |= 1 << f
		}
	}
	return s
}()

// Has reports whether f is in the set.
func (s FieldSet) Has(f Field) bool { return s&(1<<f) != 0 }

// With returns the set with f added.
func (s FieldSet) With(f Field) FieldSet { return s | 1<<f }

// Minus returns the set without the fields of t.
func (s FieldSet) Minus(t FieldSet) FieldSet { return s &^ t }

// Len returns the number of fields in the set.
func (s FieldSet) Len() int { return bits.OnesCount64(uint64(s)) }

// groups has the leaves of each nested member, by its name.
var groups = func() map[string]FieldSet {
	m := map[string]FieldSet{}
	for f, info := range fields {
		if group, _, nested := strings.Cut(info.name, "."); nested {
			m[group] |= 1 << f
		}
	}
	return m
}()

// groupOf has the nested member that each field is in, with all its leaves; empty for
// a field that is in none.
var groupOf = func() (of [fieldCount]struct {
	name   string
	leaves FieldSet
}) {
	for f, info := range fields {
		if group, _, nested := strings.Cut(info.name, "."); nested {
			of[f].name, of[f].leaves = group, groups[group]
		}
	}
	return of
}()

// Names returns the names of the fields in order. A nested member whose leaves are all
// in the set is listed by its own name: "usage" for all of usage.*.
func (s FieldSet) Names() []string {
	names := make([]string, 0, s.Len())
	for left := s; left != 0; left &= left - 1 {
		f := bits.TrailingZeros64(uint64(left))
		name := fields[f].name
		if group := &groupOf[f]; group.leaves != 0 && s&group.leaves == group.leaves {
			if len(names) > 0 && names[len(names)-1] == group.name {
				continue
			}
			name = group.name
		}
		names = append(names, name)
	}
	return names
}

// MarshalJSONTo encodes the set as an array of its names.
func (s FieldSet) MarshalJSONTo(enc *jsontext.Encoder) error { return enc.WriteValue(s.append(nil)) }

// append appends the array to dst.
func (s FieldSet) append(dst []byte) []byte {
	dst = append(dst, '[')
	for i, name := range s.Names() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), name...), '"') // of letters, "_" and "."
	}
	return append(dst, ']')
}
