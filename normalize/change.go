package normalize

import (
	"github.com/go-json-experiment/json/jsontext"
)

// Change is what a caller asks of an agent: leaves to set, in a create or in
// a merge patch (RFC 7396). A value is of its field's JSON type, or null,
// which in a patch means "clear".
type Change struct {
	Set        map[Field]jsontext.Value
	Extensions map[string]jsontext.Value // by the vendor's own names
}

// Text is the string that the change sets f to; ok is false where it sets
// none.
func (c Change) Text(f Field) (text string, ok bool) {
	v := c.Set[f]
	if v.Kind() != '"' {
		return "", false
	}
	b, err := jsontext.AppendUnquote(nil, v)
	return string(b), err == nil
}

// Empty reports whether the change sets nothing.
func (c Change) Empty() bool { return len(c.Set) == 0 && len(c.Extensions) == 0 }

// Without is the change less one field.
func (c Change) Without(f Field) Change {
	return c.Keep(func(pointer string, _ jsontext.Value) bool { return pointer != f.Pointer() })
}

// Keep is the change with only those of its members, by their JSON pointers,
// for which keep says so.
func (c Change) Keep(keep func(pointer string, v jsontext.Value) bool) Change {
	kept := Change{Set: make(map[Field]jsontext.Value, len(c.Set)), Extensions: make(map[string]jsontext.Value, len(c.Extensions))}
	for f, v := range c.Set {
		if keep(f.Pointer(), v) {
			kept.Set[f] = v
		}
	}
	for name, v := range c.Extensions {
		if keep(ExtensionPointer(name), v) {
			kept.Extensions[name] = v
		}
	}
	return kept
}

// ViolationCode is why a value of a caller's body cannot be taken.
type ViolationCode string

// The codes of violations.
const (
	Required     ViolationCode = "required"
	Unsupported  ViolationCode = "unsupported"
	WrongType    ViolationCode = "wrong_type"
	InvalidValue ViolationCode = "invalid_value"
	TooLong      ViolationCode = "too_long"
	Immutable    ViolationCode = "immutable"
	UnknownField ViolationCode = "unknown_field"
)

// Violation is one thing wrong with a caller's body. Pointer is a JSON
// pointer (RFC 6901) into it.
type Violation struct {
	Pointer string        `json:"pointer"`
	Code    ViolationCode `json:"code"`
	Message string        `json:"message"`
}
