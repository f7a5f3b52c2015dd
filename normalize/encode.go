package normalize

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var (
	emptyObject = jsontext.Value("{}")

	// A nil slice is null, since an unknown list differs from an empty one. Strings
	// of extensions keep their escapes.
	encodeOptions = json.JoinOptions(json.FormatNilSliceAsNull(true), jsontext.PreserveRawStrings(true))
)

// Lenient are the options for reading what a provider sends: of members with one name the
// last one counts, and U+FFFD stands for text that is not Unicode.
var Lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// Encode returns the JSON object of the agent.
func (a *Agent) Encode() ([]byte, error) {
	row, err := a.Row()
	if err != nil {
		return nil, err
	}
	return row.Append(nil, a.Ending()), nil
}

// Value returns the JSON of one field; null if the agent has none.
func (a *Agent) Value(f Field) jsontext.Value {
	if f.Type() == TypeString {
		return encode(a.Text(f))
	}
	switch f {
	case FieldAlternateIDs:
		return encode(a.AlternateIDs)
	case FieldModelTemperature:
		return encode(a.Model.Temperature)
	case FieldPhoneCanCall:
		return encode(a.Phone.CanCall)
	case FieldKnowledgeBaseIDs:
		return encode(a.KnowledgeBaseIDs)
	case FieldToolsBuiltin:
		return encode(a.Tools.Builtin)
	case FieldToolsCustom:
		return encode(a.Tools.Custom)
	case FieldUsageSessions:
		return encode(a.Usage.Sessions)
	case FieldUsageCalls:
		return encode(a.Usage.Calls)
	case FieldUsageMinutes:
		return encode(a.Usage.Minutes)
	case FieldUsageAvgDurationS:
		return encode(a.Usage.AvgDurationS)
	case FieldExtensions:
		if a.Extensions == nil {
			return emptyObject
		}
		return a.Extensions
	}
	return null
}

// Text returns the value of a string field; nil if the agent has none, and for any
// other field.
func (a *Agent) Text(f Field) *string {
	switch f {
	case FieldID:
		return &a.ID
	case FieldObject:
		return &a.Object
	case FieldBackend:
		return &a.Backend
	case FieldProvider:
		return &a.Provider
	case FieldNativeID:
		return &a.NativeID
	case FieldName:
		return a.Name
	case FieldDescription:
		return a.Description
	case FieldStatus:
		return a.Status
	case FieldModality:
		return a.Modality
	case FieldArchitecture:
		return a.Architecture
	case FieldDirection:
		return a.Direction
	case FieldVisibility:
		return a.Visibility
	case FieldLanguage:
		return a.Language
	case FieldSystemPrompt:
		return a.SystemPrompt
	case FieldGreeting:
		return a.Greeting
	case FieldModelID:
		return a.Model.ID
	case FieldVoiceID:
		return a.Voice.ID
	case FieldSTTProvider:
		return a.STT.Provider
	case FieldTTSProvider:
		return a.TTS.Provider
	case FieldRealtimeProvider:
		return a.Realtime.Provider
	case FieldAvatarID:
		return a.avatar().ID
	case FieldAvatarName:
		return a.avatar().Name
	case FieldAvatarURL:
		return a.avatar().URL
	case FieldAvatarVoiceID:
		return a.avatar().VoiceID
	case FieldPhoneNumber:
		return a.Phone.Number
	case FieldOwnerUserID:
		return a.Owner.UserID
	case FieldOwnerTeamID:
		return a.Owner.TeamID
	case FieldUsageLastUsedAt:
		return a.Usage.LastUsedAt
	case FieldCreatedAt:
		return a.CreatedAt
	case FieldUpdatedAt:
		return a.UpdatedAt
	}
	return nil
}

// Extension returns the extension of that name; nil if there is none.
func (a *Agent) Extension(name string) jsontext.Value {
	return Members(a.Extensions)[name]
}

var noAvatar Avatar

func (a *Agent) avatar() *Avatar {
	if a.Avatar == nil {
		return &noAvatar
	}
	return a.Avatar
}

var null = jsontext.Value("null")

// encode returns the JSON of a field's value. Encoding does not fail for the types that
// fields have.
func encode(v any) jsontext.Value {
	b, err := json.Marshal(v, encodeOptions)
	if err != nil {
		return null
	}
	return b
}

// Members returns the members of a JSON object; an empty map for anything else.
func Members(object jsontext.Value) map[string]jsontext.Value {
	members := map[string]jsontext.Value{}
	if object.Kind() != '{' {
		return members
	}
	if err := json.Unmarshal(object, &members, Lenient); err != nil {
		return map[string]jsontext.Value{}
	}
	return members
}

// Equal reports whether two JSON values mean the same: members in any order,
// numbers by value, integers exactly however large.
func Equal(a, b jsontext.Value) bool {
	return string(canonical(a)) == string(canonical(b))
}

func canonical(v jsontext.Value) jsontext.Value {
	c := v.Clone()
	if err := c.Canonicalize(jsontext.CanonicalizeRawInts(false)); err != nil {
		return v
	}
	return c
}

// MergePatch applies a JSON merge patch (RFC 7396): members set to null are removed,
// objects are merged, everything else is replaced.
func MergePatch(target, patch jsontext.Value) (jsontext.Value, error) {
	if patch.Kind() != '{' {
		return patch, nil
	}
	merged := Members(target)
	for name, value := range Members(patch) {
		if value.Kind() == 'n' {
			delete(merged, name)
			continue
		}
		v, err := MergePatch(merged[name], value)
		if err != nil {
			return nil, err
		}
		merged[name] = v
	}
	return json.Marshal(merged, json.Deterministic(true))
}
