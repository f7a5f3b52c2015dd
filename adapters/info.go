package adapters

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/agentgw/agentgw/normalize"
)

// Operation is one of the five operations on agents.
type Operation string

// The operations.
const (
	OpList   Operation = "list"
	OpGet    Operation = "get"
	OpCreate Operation = "create"
	OpUpdate Operation = "update"
	OpDelete Operation = "delete"
)

// IsRead reports whether the operation changes nothing at the provider.
func (o Operation) IsRead() bool { return o == OpList || o == OpGet }

// Operations returns every operation, in the order in which they are shown.
func Operations() []Operation {
	return []Operation{OpList, OpGet, OpCreate, OpUpdate, OpDelete}
}

// Support says whether an operation can be used, and how.
type Support string

// The values of Support.
const (
	Native   Support = "native"   // the provider has the operation
	Emulated Support = "emulated" // the gateway composes it, a get from the list
	None     Support = "none"     // it cannot be used
)

// Ops is a set of operations.
type Ops uint8

// The operations that a field can be part of: those whose response shows it, and
// those whose request takes it.
const (
	InList Ops = 1 << iota
	InGet
	InCreate
	InUpdate
)

// Rule says in which operations of a provider a field is, and which values it takes.
type Rule struct {
	Field normalize.Field
	In    Ops
	// RequiredFor are the architectures for which create needs the field; Always
	// for all of them.
	RequiredFor []string
	Limit       Limit
}

// Always, in RequiredFor, means every architecture.
const Always = "*"

// Limit restricts the values of a JSON type. The zero value allows all of them.
type Limit struct {
	MinLength, MaxLength int      // of a string, in characters; 0: no bound
	Min, Max             *float64 // of a number; nil: no bound
	OneOf                []string // the values that a string may have; nil: any
	Integer              bool     // a string that the provider takes as an integer
}

// String describes the limit in words; empty for the zero value.
func (l Limit) String() string {
	var words []string
	switch {
	case l.MinLength > 0 && l.MaxLength > 0:
		words = append(words, fmt.Sprintf("%d to %d characters", l.MinLength, l.MaxLength))
	case l.MinLength > 0:
		words = append(words, "not empty")
	case l.MaxLength > 0:
		words = append(words, fmt.Sprintf("at most %d characters", l.MaxLength))
	}
	if l.Min != nil && l.Max != nil {
		words = append(words, fmt.Sprintf("%v to %v", *l.Min, *l.Max))
	}
	if l.OneOf != nil {
		words = append(words, "one of `"+strings.Join(l.OneOf, "`, `")+"`")
	}
	if l.Integer {
		words = append(words, "an integer, as a string")
	}
	return strings.Join(words, "; ")
}

// ExtensionRule is a writable member of a provider's API that has no field in the
// model. It is sent under the provider's own name.
type ExtensionRule struct {
	Name  string
	In    Ops
	Type  normalize.Type
	Limit Limit
}

// Info is the capability table of a provider's API. Validation, GET /v1/backends,
// `agentgw backends`, the documentation and the conformance suite all read it, so
// that no code asks which provider it deals with.
type Info struct {
	Provider   string // the provider's name in the configuration
	Title      string // the provider's name in prose
	Modality   string // of its agents; those of the text architecture are text
	Operations map[Operation]Support
	Rules      []Rule
	Extensions []ExtensionRule
	// GetJoinsList is true if the provider's list shows what its get does not. A
	// full view is then the detail joined with the row of the list.
	GetJoinsList bool
	// CreatesInactive is true if a new agent is inactive. Activating it takes a
	// second call.
	CreatesInactive bool
	// NativeIDs is the form of the provider's ids; nil if none is documented, see
	// AcceptsNativeID.
	NativeIDs *regexp.Regexp
}

// AcceptsNativeID reports whether an id has the provider's form. Others are not put into
// the path of a request unless the provider's own list has them: "../keys", however
// escaped, is another resource to some servers. If no form is documented, an id has no
// slash, backslash, percent sign, question mark, number sign, semicolon or control
// character, and is not "." or "..".
func (i *Info) AcceptsNativeID(id string) bool {
	if i.NativeIDs != nil {
		return i.NativeIDs.MatchString(id)
	}
	return id != "" && id != "." && id != ".." && utf8.ValidString(id) &&
		!strings.ContainsAny(id, `/\%?#;`) && !strings.ContainsFunc(id, unicode.IsControl)
}

// Supports reports whether the operation is native or emulated.
func (i *Info) Supports(op Operation) bool {
	s := i.Operations[op]
	return s == Native || s == Emulated
}

// ModalityOf returns the modality of an agent with this architecture, which may be empty.
func (i *Info) ModalityOf(architecture string) string {
	if architecture == normalize.ArchitectureText {
		return normalize.ModalityText
	}
	return i.Modality
}

// CreatesModality reports whether a new agent with this architecture, or with any that the
// provider has if it is empty, is of the modality.
func (i *Info) CreatesModality(modality, architecture string) bool {
	if i.ModalityOf(architecture) == modality {
		return true
	}
	known := i.Rule(normalize.FieldArchitecture).Limit.OneOf
	return architecture == "" && slices.ContainsFunc(known, func(a string) bool { return i.ModalityOf(a) == modality })
}

// Rule returns the rule of a field. Its In is 0 if the provider does not have the
// field.
func (i *Info) Rule(f normalize.Field) Rule {
	for _, r := range i.Rules {
		if r.Field == f {
			return r
		}
	}
	return Rule{Field: f}
}

// Extension returns the rule of an extension by its name.
func (i *Info) Extension(name string) (ExtensionRule, bool) {
	for _, r := range i.Extensions {
		if r.Name == name {
			return r, true
		}
	}
	return ExtensionRule{}, false
}

// Shown returns the fields that are part of any of the operations.
func (i *Info) Shown(in Ops) normalize.FieldSet {
	var s normalize.FieldSet
	for _, r := range i.Rules {
		if r.In&in != 0 {
			s = s.With(r.Field)
		}
	}
	return s
}

// Unavailable returns the optional fields that no response of the provider shows.
func (i *Info) Unavailable() normalize.FieldSet {
	return normalize.Optional.Minus(i.Shown(InList | InGet))
}

// NotLoaded returns the fields that the provider shows, but not in the response to
// these operations.
func (i *Info) NotLoaded(in Ops) normalize.FieldSet {
	return i.Shown(InList | InGet).Minus(i.Shown(in))
}

// TakesExtensions reports whether the operation takes any extension.
func (i *Info) TakesExtensions(in Ops) bool {
	for _, r := range i.Extensions {
		if r.In&in != 0 {
			return true
		}
	}
	return false
}
