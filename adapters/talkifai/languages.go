package talkifai

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/normalize"
)

// firstLanguage splits the endpoint pages' array of languages, whose items are
// strings in requests and {id, language} objects in responses. rest is the array
// without the first language: a string is removed, an object loses its member
// language. rest is nil if nothing is left. ok is false for an empty array and for a
// shape that is not documented.
func firstLanguage(languages jsontext.Value) (first string, rest jsontext.Value, ok bool) {
	var items []jsontext.Value
	if languages.Kind() != '[' || json.Unmarshal(languages, &items) != nil || len(items) == 0 {
		return "", nil, false
	}
	left := items[1:]
	switch items[0].Kind() {
	case '"':
		if json.Unmarshal(items[0], &first) != nil {
			return "", nil, false
		}
	case '{':
		var item struct {
			Language *string        `json:"language"`
			Rest     jsontext.Value `json:",embed"`
		}
		if json.Unmarshal(items[0], &item) != nil || item.Language == nil {
			return "", nil, false
		}
		first = *item.Language
		if len(normalize.Members(item.Rest)) > 0 {
			left = append([]jsontext.Value{item.Rest}, left...)
		}
	default:
		return "", nil, false
	}
	if len(left) == 0 {
		return first, nil, true
	}
	return first, join(left), true
}

// join writes items as an array, each byte for byte.
func join(items []jsontext.Value) jsontext.Value {
	out := jsontext.Value{'['}
	for i, item := range items {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, item...)
	}
	return append(out, ']')
}
