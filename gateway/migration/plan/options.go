package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// Options are the choices that the caller of a plan made.
type Options struct {
	// Architecture of the new agent; empty means the source's.
	Architecture string `json:"architecture,omitzero"`
	// Inputs are values of the new agent, by dotted field name, or "extensions." and the
	// target's own name. They override the source's values.
	Inputs map[string]jsontext.Value `json:"inputs,omitzero"`
	// Maps translate the source's values to the target's, by dotted field name.
	Maps map[string]map[string]jsontext.Value `json:"maps,omitzero"`
	// Transforms are the names of the transforms to apply.
	Transforms []string `json:"transforms,omitzero"`
}

// GreetingToPrompt appends a greeting that the target does not support to the system
// prompt.
const GreetingToPrompt = "greeting_to_prompt"

// Transforms returns the names of all transforms.
func Transforms() []string { return []string{GreetingToPrompt} }

// checkOptions returns a violation for each invalid option.
func (p *planner) checkOptions() (violations []normalize.Violation) {
	report := func(pointer string, code normalize.ViolationCode, format string, args ...any) {
		violations = append(violations, normalize.Violation{Pointer: pointer, Code: code, Message: fmt.Sprintf(format, args...)})
	}
	for _, name := range slices.Sorted(maps.Keys(p.options.Inputs)) {
		value, pointer := p.options.Inputs[name], "/inputs/"+strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
		if own, ok := strings.CutPrefix(name, "extensions."); ok {
			for _, v := range p.to.CheckExtension(own, value, adapters.InCreate) {
				report(pointer, v.Code, "%s", v.Message)
			}
			continue
		}
		f, ok := normalize.FieldByName(name)
		switch {
		case f == normalize.FieldExtensions && ok:
			report(pointer, normalize.UnknownField, "set a single extension field: extensions.NAME")
		case !ok:
			report(pointer, normalize.UnknownField, "unknown field%s", near(name, fieldNames()))
		case f.ReadOnly() || f == normalize.FieldStatus:
			report(pointer, normalize.InvalidValue, "this field cannot be set")
		case !p.to.Creates(f):
			report(pointer, normalize.Unsupported, "%s does not support this field", p.to.Title)
		case value.Kind() == 'n' || !f.Type().Accepts(value):
			report(pointer, normalize.WrongType, "want %s, got %s", f.Type(), normalize.KindName(value.Kind()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.options.Maps)) {
		f, ok := normalize.FieldByName(name)
		switch {
		case !ok:
			report("/maps/"+name, normalize.UnknownField, "unknown field%s", near(name, fieldNames()))
			continue
		case f.ReadOnly() || f == normalize.FieldExtensions || !p.to.Creates(f):
			report("/maps/"+name, normalize.Unsupported, "%s does not support this field", p.to.Title)
			continue
		}
		for _, from := range slices.Sorted(maps.Keys(p.options.Maps[name])) {
			to := p.options.Maps[name][from]
			pointer := "/maps/" + name + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(from)
			wanted := f.Type()
			if wanted == normalize.TypeStrings {
				wanted = normalize.TypeString // of each of them
			}
			switch {
			case to.Kind() == 'n':
			case !wanted.Accepts(to):
				report(pointer, normalize.WrongType, "want %s or null, got %s", wanted, normalize.KindName(to.Kind()))
			case string(to) == `""`:
				report(pointer, normalize.InvalidValue, "is empty; use null to leave the field unset")
			}
		}
	}
	for i, name := range p.options.Transforms {
		if !slices.Contains(Transforms(), name) {
			report(fmt.Sprintf("/transforms/%d", i), normalize.InvalidValue, "must be one of %s", strings.Join(Transforms(), ", "))
		}
	}
	if a := p.options.Architecture; a != "" && !p.to.Creates(normalize.FieldArchitecture) {
		report("/architecture", normalize.Unsupported, "agents of %s have no architecture", p.to.Title)
	} else if a != "" {
		for _, v := range p.to.CheckValue(normalize.FieldArchitecture, quote(a)) {
			report("/architecture", v.Code, "%s", v.Message)
		}
	}
	return violations
}

// near returns a hint at the most similar name, empty if none is similar.
func near(name string, names []string) string {
	if n := normalize.Nearest(name, names); n != "" {
		return "; did you mean " + n + "?"
	}
	return ""
}

func fieldNames() (names []string) {
	for _, f := range normalize.AllFields() {
		names = append(names, f.Name())
	}
	return names
}
