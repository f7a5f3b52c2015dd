package normalize

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Accepts reports whether a JSON value is of the type.
func (t Type) Accepts(v jsontext.Value) bool {
	switch t {
	case TypeString:
		return v.Kind() == '"'
	case TypeNumber:
		return v.Kind() == '0'
	case TypeBool:
		return v.Kind() == 't' || v.Kind() == 'f'
	case TypeObject:
		return v.Kind() == '{'
	case TypeStrings:
		if v.Kind() != '[' {
			return false
		}
		dec := jsontext.NewDecoder(bytes.NewReader(v))
		if _, err := dec.ReadToken(); err != nil {
			return false
		}
		for dec.PeekKind() != ']' {
			item, err := dec.ReadValue()
			if err != nil || item.Kind() != '"' {
				return false
			}
		}
		return true
	}
	return false
}

// KindName returns a JSON type in words.
func KindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "not what is documented"
}
