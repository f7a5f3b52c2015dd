package normalize

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// joinExtensions returns the detail's extensions and those that only the row has,
// each byte for byte.
func joinExtensions(detail, row *Agent) jsontext.Value {
	have := Members(detail.Extensions)
	var joined ObjectBuilder
	for name, value := range EachMember(detail.Extensions) {
		joined.Add(name, value)
	}
	added := false
	for name, value := range EachMember(row.Extensions) {
		if _, ok := have[name]; !ok {
			joined.Add(name, value)
			added = true
		}
	}
	if !added {
		return detail.Extensions
	}
	return joined.Value()
}

// ObjectBuilder builds a JSON object of members, each kept byte for byte, in time linear in
// their size. The zero value is an empty object.
type ObjectBuilder struct{ members jsontext.Value }

// Add adds a member. A name that is not UTF-8 is left out: no decoder lets one through.
func (b *ObjectBuilder) Add(name string, value jsontext.Value) {
	separator := byte(',')
	if len(b.members) == 0 {
		separator = '{'
	}
	quoted, err := jsontext.AppendQuote(append(b.members, separator), name)
	if err != nil {
		return
	}
	b.members = append(append(quoted, ':'), value...)
}

// Value returns the object.
func (b *ObjectBuilder) Value() jsontext.Value {
	if len(b.members) == 0 {
		return jsontext.Value("{}")
	}
	return append(b.members[:len(b.members):len(b.members)], '}')
}

// AppendMember returns the JSON object with one more member. A nil object is an empty
// one. The object is not changed, and value is kept byte for byte.
func AppendMember(object jsontext.Value, name string, value jsontext.Value) jsontext.Value {
	var out jsontext.Value
	if members := trimObject(object); len(members) > 0 {
		out = append(out, '{')
		out = append(out, members...)
		out = append(out, ',')
	} else {
		out = append(out, '{')
	}
	out, err := jsontext.AppendQuote(out, name)
	if err != nil { // not UTF-8: no decoder of ours lets such a name through
		return object
	}
	out = append(out, ':')
	out = append(out, value...)
	return append(out, '}')
}

// trimObject returns what is between the braces; nil if that is only white space.
func trimObject(object jsontext.Value) []byte {
	first, last := 0, len(object)-1
	for first < last && object[first] != '{' {
		first++
	}
	for last > first && object[last] != '}' {
		last--
	}
	if first >= last {
		return nil
	}
	inner := object[first+1 : last]
	for _, b := range inner {
		switch b {
		case ' ', '\t', '\r', '\n':
		default:
			return inner
		}
	}
	return nil
}

// EachMember iterates over the members of a JSON object in the order they are written,
// those with the same name included.
func EachMember(object jsontext.Value) func(yield func(string, jsontext.Value) bool) {
	return func(yield func(string, jsontext.Value) bool) {
		dec := jsontext.NewDecoder(bytes.NewReader(object), Lenient)
		if !opens(dec, '{') {
			return
		}
		for dec.PeekKind() == '"' {
			name, err := dec.ReadToken()
			if err != nil {
				return
			}
			text := name.String()
			value, err := dec.ReadValue()
			if err != nil || !yield(text, value.Clone()) {
				return
			}
		}
	}
}

// Items iterates over the items of a JSON array.
func Items(array jsontext.Value) func(yield func(int, jsontext.Value) bool) {
	return func(yield func(int, jsontext.Value) bool) {
		dec := jsontext.NewDecoder(bytes.NewReader(array), Lenient)
		if !opens(dec, '[') {
			return
		}
		for i := 0; dec.PeekKind() != ']'; i++ {
			value, err := dec.ReadValue()
			if err != nil || !yield(i, value.Clone()) {
				return
			}
		}
	}
}

// opens reads the bracket that a value begins with.
func opens(dec *jsontext.Decoder, bracket jsontext.Kind) bool {
	if dec.PeekKind() != bracket {
		return false
	}
	_, err := dec.ReadToken()
	return err == nil
}
