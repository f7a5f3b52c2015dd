package plan

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/normalize"
)

// providerIDs are the fields whose values are ids of the provider, with what they identify.
// The same id identifies something else at another provider.
var providerIDs = map[normalize.Field]string{
	normalize.FieldModelID: "model", normalize.FieldVoiceID: "voice", normalize.FieldAvatarID: "avatar", normalize.FieldKnowledgeBaseIDs: "knowledge base",
	normalize.FieldToolsBuiltin: "tool", normalize.FieldToolsCustom: "tool",
	normalize.FieldSTTProvider: "speech-to-text engine", normalize.FieldTTSProvider: "text-to-speech engine", normalize.FieldRealtimeProvider: "realtime engine",
}

// languageTag matches a language tag (RFC 5646), which all providers spell the same.
var languageTag = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)

// translate returns the target value for a source value, nil if it is unknown.
func (p *planner) translate(f normalize.Field, value jsontext.Value) (to jsontext.Value, kind Kind, message string) {
	names := p.options.Maps[f.Name()]
	if value.Kind() == '[' {
		return p.translateList(f, value, names)
	}
	if to, ok := names[textOf(value)]; ok {
		if to.Kind() == 'n' {
			return nil, Manual, "the map has null for this value: the field is not set"
		}
		if normalize.Equal(to, value) {
			return to, Exact, "unchanged, according to the map"
		}
		return to, Approximate, "translated by the map"
	}
	allowed := p.to.Rule(f).Limit.OneOf
	switch what, isProviderID := providerIDs[f]; {
	case p.same:
		return value, Exact, "unchanged"
	case len(allowed) > 0 && slices.Contains(allowed, textOf(value)):
		return value, Exact, "unchanged; the target accepts the same value"
	case isProviderID:
		return nil, Manual, p.askForMap(what, string(value), near(textOf(value), slices.Sorted(maps.Keys(names))))
	case f == normalize.FieldLanguage && !languageTag.MatchString(textOf(value)):
		return value, Approximate, fmt.Sprintf("sent as %s spells it; %s does not document which values it accepts", p.from.Title, p.to.Title)
	case len(allowed) > 0:
		return nil, Manual, fmt.Sprintf("%s accepts %s: map the value to one of them", p.to.Title, strings.Join(allowed, ", "))
	}
	return value, Exact, "unchanged"
}

// askForMap is the message of a provider's ids that only a map can translate. The hint names
// a similar entry of the map.
func (p *planner) askForMap(what, values, hint string) string {
	return fmt.Sprintf("each provider has its own %ss: map %s to a %s of %s%s", what, values, what, p.to.Title, hint)
}

// translateList translates the items of a list of provider ids. Items without a translation
// are left out and named in the message.
func (p *planner) translateList(f normalize.Field, value jsontext.Value, names map[string]jsontext.Value) (jsontext.Value, Kind, string) {
	if p.same && len(names) == 0 {
		return value, Exact, "unchanged"
	}
	var items []jsontext.Value
	if err := json.Unmarshal(value, &items); err != nil {
		return nil, Manual, "the value cannot be decoded"
	}
	translated := []jsontext.Value{}
	var missing []string
	for _, item := range items {
		to, ok := names[textOf(item)]
		switch {
		case ok && to.Kind() != 'n':
			translated = append(translated, to)
		case p.same && !ok:
			translated = append(translated, item)
		default:
			missing = append(missing, string(item))
		}
	}
	encoded, err := json.Marshal(translated)
	if err != nil {
		return nil, Manual, "the value cannot be encoded"
	}
	if len(missing) > 0 {
		message := p.askForMap(providerIDs[f], strings.Join(missing, ", "), "")
		if len(translated) == 0 {
			return nil, Manual, message
		}
		return encoded, Manual, message
	}
	return encoded, Approximate, "translated by the map"
}

// textOf returns a value in the form that keys of maps have: the text of a string, the JSON
// of anything else.
func textOf(v jsontext.Value) string {
	if v.Kind() != '"' {
		return string(v)
	}
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return string(v)
	}
	return string(text)
}

// quote encodes a string as JSON, null if it is not valid UTF-8.
func quote(text string) jsontext.Value {
	v, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		return null
	}
	return v
}
