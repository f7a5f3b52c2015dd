package adapters

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/normalize"
)

// CheckCreate checks a new agent against the capability table and returns all
// violations, in the order of the fields. A null sets nothing.
func (i *Info) CheckCreate(change normalize.Change) []normalize.Violation {
	var found []normalize.Violation
	architecture, _ := change.Text(normalize.FieldArchitecture)
	for _, f := range normalize.AllFields() {
		rule := i.Rule(f)
		value, sent := change.Set[f]
		set := sent && value.Kind() != 'n'
		switch {
		case !set && required(rule, architecture):
			found = append(found, violation(f.Pointer(), normalize.Required, i.requiredMessage(rule, architecture)))
		case set && rule.In&InUpdate != 0 && !i.Creates(f):
			found = append(found, violation(f.Pointer(), normalize.Unsupported, i.Title+" sets this in an update only; create the agent without it, then send it with PATCH"))
		case set && !i.Creates(f):
			found = append(found, i.unsupported(f.Pointer()))
		case set:
			found = append(found, checkLimit(f.Pointer(), rule.Limit, value)...)
		}
	}
	return append(found, i.checkExtensions(change, InCreate)...)
}

// Creates reports whether a new agent can have the field set. The status of a provider
// that creates inactive agents is set by a second call.
func (i *Info) Creates(f normalize.Field) bool {
	rule := i.Rule(f)
	return rule.In&InCreate != 0 || f == normalize.FieldStatus && i.CreatesInactive && rule.In&InUpdate != 0
}

// Verdict says whether a provider can apply a member of a patch, as far as that is
// known before the agent is read.
type Verdict uint8

// The verdicts.
const (
	Writable   Verdict = iota // the provider can change it
	NotShown                  // the provider does not have it
	ReadOnly                  // the provider shows it and cannot change it
	FixedLater                // it can be set by create only
	OutOfLimit                // the provider can change it, but not to this value
)

// CheckUpdate checks a patch against the capability table. It returns the violations
// that do not depend on the agent, and a verdict for each field that the patch sets.
// Whether a field that is ReadOnly or FixedLater is a violation depends on the agent:
// it is one if the value differs. In an echo, an agent that was read and is sent back,
// the same holds for a value that is OutOfLimit: a provider may show a value that it
// does not accept.
func (i *Info) CheckUpdate(change normalize.Change, echo bool) ([]normalize.Violation, map[normalize.Field]Verdict) {
	var found []normalize.Violation
	verdicts := make(map[normalize.Field]Verdict, len(change.Set))
	for _, f := range normalize.AllFields() {
		value, set := change.Set[f]
		if !set {
			continue
		}
		rule := i.Rule(f)
		verdicts[f] = verdict(rule)
		switch {
		case verdicts[f] == NotShown && value.Kind() != 'n':
			found = append(found, i.unsupported(f.Pointer()))
		case verdicts[f] == Writable && value.Kind() != 'n':
			wrong := checkLimit(f.Pointer(), rule.Limit, value)
			if echo && len(wrong) > 0 && rule.In&(InList|InGet) != 0 {
				verdicts[f] = OutOfLimit
				continue
			}
			found = append(found, wrong...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(change.Extensions)) {
		value := change.Extensions[name]
		rule, ok := i.Extension(name)
		// An object is checked after it is merged with the agent's.
		if !echo && ok && rule.In&InUpdate != 0 && value.Kind() != 'n' && value.Kind() != '{' {
			found = append(found, i.CheckExtension(name, value, InUpdate)...)
		}
	}
	return found, verdicts
}

// CheckValue checks a field's value against its limit.
func (i *Info) CheckValue(f normalize.Field, value jsontext.Value) []normalize.Violation {
	return checkLimit(f.Pointer(), i.Rule(f).Limit, value)
}

func verdict(r Rule) Verdict {
	switch {
	case r.In&InUpdate != 0:
		return Writable
	case r.In&InCreate != 0:
		return FixedLater
	case r.In&(InList|InGet) != 0:
		return ReadOnly
	}
	return NotShown
}

// CheckExtension checks an extension against the capability table.
func (i *Info) CheckExtension(name string, value jsontext.Value, in Ops) []normalize.Violation {
	pointer := normalize.ExtensionPointer(name)
	rule, ok := i.Extension(name)
	if !ok || rule.In&in == 0 {
		return []normalize.Violation{i.unsupported(pointer)}
	}
	if value.Kind() == 'n' {
		return []normalize.Violation{violation(pointer, normalize.InvalidValue, i.Title+" does not document that this can be cleared")}
	}
	if !rule.Type.Accepts(value) {
		return []normalize.Violation{violation(pointer, normalize.WrongType, "must be "+rule.Type.String()+", got "+normalize.KindName(value.Kind()))}
	}
	return checkLimit(pointer, rule.Limit, value)
}

func (i *Info) checkExtensions(change normalize.Change, in Ops) []normalize.Violation {
	var found []normalize.Violation
	for _, name := range slices.Sorted(maps.Keys(change.Extensions)) {
		if value := change.Extensions[name]; value.Kind() != 'n' {
			found = append(found, i.CheckExtension(name, value, in)...)
		}
	}
	return found
}

func required(r Rule, architecture string) bool {
	return slices.Contains(r.RequiredFor, Always) || slices.Contains(r.RequiredFor, architecture)
}

func (i *Info) requiredMessage(r Rule, architecture string) string {
	message := "is required to create an agent at " + i.Title
	if !slices.Contains(r.RequiredFor, Always) {
		message = fmt.Sprintf("is required to create a %s agent at %s", architecture, i.Title)
	}
	if len(r.Limit.OneOf) > 0 {
		message += "; must be one of " + strings.Join(r.Limit.OneOf, ", ")
	}
	return message
}

func (i *Info) unsupported(pointer string) normalize.Violation {
	return violation(pointer, normalize.Unsupported, i.Title+" does not support this; leave it out, or send \"Prefer: handling=lenient\" to have it dropped")
}

func violation(pointer string, code normalize.ViolationCode, message string) normalize.Violation {
	return normalize.Violation{Pointer: pointer, Code: code, Message: message}
}

// checkLimit checks a value, which has the right JSON type, against its limit.
func checkLimit(pointer string, l Limit, value jsontext.Value) []normalize.Violation {
	switch value.Kind() {
	case '"':
		b, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return []normalize.Violation{violation(pointer, normalize.InvalidValue, "not valid UTF-8")}
		}
		return l.checkText(pointer, string(b))
	case '0':
		return l.checkNumber(pointer, string(value))
	}
	return nil
}

func (l Limit) checkText(pointer, text string) []normalize.Violation {
	length := utf8.RuneCountInString(text)
	switch {
	case l.MaxLength > 0 && length > l.MaxLength:
		return []normalize.Violation{violation(pointer, normalize.TooLong, fmt.Sprintf("must have at most %d characters, got %d", l.MaxLength, length))}
	case length < l.MinLength:
		if length == 0 {
			return []normalize.Violation{violation(pointer, normalize.InvalidValue, "must not be empty")}
		}
		return []normalize.Violation{violation(pointer, normalize.InvalidValue, fmt.Sprintf("must have at least %d characters, got %d", l.MinLength, length))}
	case l.OneOf != nil && !slices.Contains(l.OneOf, text):
		return []normalize.Violation{violation(pointer, normalize.InvalidValue, l.oneOfMessage(text))}
	case l.Integer && !isInteger(text):
		return []normalize.Violation{violation(pointer, normalize.InvalidValue, "the provider's ids are integers: send its digits as a string, such as \"1\"")}
	}
	return nil
}

func (l Limit) oneOfMessage(text string) string {
	message := fmt.Sprintf("must be one of %s, got %q", strings.Join(l.OneOf, ", "), normalize.Shorten(text))
	if near := normalize.Nearest(text, l.OneOf); near != "" {
		message += "; did you mean " + near + "?"
	}
	return message
}

func (l Limit) checkNumber(pointer, literal string) []normalize.Violation {
	n, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return []normalize.Violation{violation(pointer, normalize.InvalidValue, "the number is out of range")}
	}
	if l.Min != nil && n < *l.Min || l.Max != nil && n > *l.Max {
		return []normalize.Violation{violation(pointer, normalize.InvalidValue, "must be "+l.rangeText()+", got "+literal)}
	}
	return nil
}

func (l Limit) rangeText() string {
	switch {
	case l.Min != nil && l.Max != nil:
		return fmt.Sprintf("from %v to %v", *l.Min, *l.Max)
	case l.Min != nil:
		return fmt.Sprintf("at least %v", *l.Min)
	}
	return fmt.Sprintf("at most %v", *l.Max)
}

// isInteger reports whether text is a decimal integer as JSON writes it.
func isInteger(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || len(digits) > 19 || digits != "0" && digits[0] == '0' {
		return false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
