package normalize

import (
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Change is the set of fields that a create or a merge patch (RFC 7396) sets. Each
// value has its field's JSON type or is null, which clears the field in a patch.
type Change struct {
	Set        map[Field]jsontext.Value
	Extensions map[string]jsontext.Value // by the provider's own names
}

// Text returns the string that the change sets f to; ok is false if it sets none.
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

// Pointers returns the JSON pointers of what the change sets, in the order of the model.
func (c Change) Pointers() []string {
	var pointers []string
	for _, f := range AllFields() {
		if _, set := c.Set[f]; set {
			pointers = append(pointers, f.Pointer())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Extensions)) {
		pointers = append(pointers, ExtensionPointer(name))
	}
	return pointers
}

// Without returns the change without one field.
func (c Change) Without(f Field) Change {
	return c.Keep(func(pointer string, _ jsontext.Value) bool { return pointer != f.Pointer() })
}

// Keep returns the change with only those members for which keep returns true. It is
// called with each member's JSON pointer.
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

// ViolationCode says why a member of a caller's body is refused.
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
	// UnknownParameter is of the query.
	UnknownParameter ViolationCode = "unknown_parameter"
)

// Violation is one part of a request that is refused. Exactly one of Pointer, Parameter and
// Header is set.
type Violation struct {
	Pointer   string        `json:"pointer,omitzero"`   // JSON pointer (RFC 6901) into the body
	Parameter string        `json:"parameter,omitzero"` // of the query
	Header    string        `json:"header,omitzero"`
	Code      ViolationCode `json:"code"`
	Message   string        `json:"message"`
}

// Where returns the pointer, or the name of the parameter or header.
func (v Violation) Where() string { return v.Pointer + v.Parameter + v.Header }
