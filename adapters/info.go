package adapters

import (
	"fmt"
	"strings"

	"github.com/agentgw/agentgw/normalize"
)

// Operation is what can be asked of a vendor.
type Operation string

// The operations.
const (
	OpList   Operation = "list"
	OpGet    Operation = "get"
	OpCreate Operation = "create"
	OpUpdate Operation = "update"
	OpDelete Operation = "delete"
)

// Operations is every operation, in order.
func Operations() []Operation {
	return []Operation{OpList, OpGet, OpCreate, OpUpdate, OpDelete}
}

// Support is how an operation is there.
type Support string

// How an operation is there: the vendor has it; the gateway makes it of others
// (a get from the list); or it is not there at all.
const (
	Native   Support = "native"
	Emulated Support = "emulated"
	None     Support = "none"
)

// Ops is a set of operations.
type Ops uint8

// The operations that fields can take part in.
const (
	InList Ops = 1 << iota
	InGet
	InCreate
	InUpdate
)

// Rule says where one field stands in a vendor's API, and what it may hold.
type Rule struct {
	Field normalize.Field
	In    Ops
	// RequiredFor are the architectures that need it on create; Always for
	// all of them.
	RequiredFor []string
	Limit       Limit
}

// Always, in RequiredFor, means every architecture.
const Always = "*"

// Limit is what a value must satisfy beyond its JSON type. The zero value
// allows everything.
type Limit struct {
	MinLength, MaxLength int      // of a string, in characters; 0: no bound
	Min, Max             *float64 // of a number; nil: no bound
	OneOf                []string // the values that a string may have; nil: any
	Integer              bool     // a string that the vendor takes as an integer
}

// String says in words what the limit asks for; nothing for one that allows
// everything.
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

// ExtensionRule is a field that a vendor documents as writable under its own
// name, and that the model has no place for.
type ExtensionRule struct {
	Name  string
	In    Ops
	Type  normalize.Type
	Limit Limit
}

// Info is what a vendor's API can do, as data. Validation, GET /v1/backends,
// `agentgw backends`, the documentation's table and the conformance suite all
// read this one table; no code asks which vendor it is.
type Info struct {
	Provider   string // the provider's name in the configuration
	Title      string // the vendor's name in prose
	Operations map[Operation]Support
	Rules      []Rule
	Extensions []ExtensionRule
	// GetJoinsList: the vendor's get lacks what its list shows, so a full view
	// is the detail joined with the list's row.
	GetJoinsList bool
	// CreatesInactive: a fresh agent is inactive; making it active is a second
	// call.
	CreatesInactive bool
}

// Supports reports whether the operation is there, natively or emulated.
func (i *Info) Supports(op Operation) bool {
	s := i.Operations[op]
	return s == Native || s == Emulated
}

// Rule is the rule of one field; the zero Rule where the vendor does not have
// it.
func (i *Info) Rule(f normalize.Field) Rule {
	for _, r := range i.Rules {
		if r.Field == f {
			return r
		}
	}
	return Rule{Field: f}
}

// Extension is the rule of one of the vendor's own fields.
func (i *Info) Extension(name string) (ExtensionRule, bool) {
	for _, r := range i.Extensions {
		if r.Name == name {
			return r, true
		}
	}
	return ExtensionRule{}, false
}

// Shown is the set of fields that the operation's answer has.
func (i *Info) Shown(in Ops) normalize.FieldSet {
	var s normalize.FieldSet
	for _, r := range i.Rules {
		if r.In&in != 0 {
			s = s.With(r.Field)
		}
	}
	return s
}

// Unavailable is the set of fields that no answer of the vendor shows.
func (i *Info) Unavailable() normalize.FieldSet {
	return normalize.Optional.Minus(i.Shown(InList | InGet))
}

// NotLoaded is the set of fields that the vendor shows, but not in the answer
// to this operation.
func (i *Info) NotLoaded(in Ops) normalize.FieldSet {
	return i.Shown(InList | InGet).Minus(i.Shown(in))
}

// TakesExtensions reports whether the operation takes any of the vendor's own
// fields.
func (i *Info) TakesExtensions(in Ops) bool {
	for _, r := range i.Extensions {
		if r.In&in != 0 {
			return true
		}
	}
	return false
}
