package agents

import (
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/placement"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// patch is a validated merge patch.
type patch struct {
	placement.Placement
	// verdicts states for each field of the change whether the backend can write its value.
	verdicts map[normalize.Field]adapters.Verdict
	// roundTrip reports that the body is an agent that was read before: it may contain
	// read-only fields, as long as they are unchanged.
	roundTrip bool
	lenient   bool
}

// needsAgent reports whether the current agent is needed to validate or to apply the patch.
func (p patch) needsAgent() bool { return p.Change.Empty() || len(p.undecided()) > 0 }

// undecided returns the pointers of values that have to be compared with those of the current
// agent: whether they are allowed, or what is to be sent, depends on it.
func (p patch) undecided() []string {
	var pointers []string
	for _, f := range normalize.AllFields() {
		if v, sent := p.Change.Set[f]; sent && (p.verdicts[f] != adapters.Writable || v.Kind() == 'n') {
			pointers = append(pointers, f.Pointer())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Change.Extensions)) {
		v := p.Change.Extensions[name]
		rule, ok := p.Backend.Info.Extension(name)
		if p.roundTrip || !ok || rule.In&adapters.InUpdate == 0 || v.Kind() == 'n' || v.Kind() == '{' {
			pointers = append(pointers, normalize.ExtensionPointer(name))
		}
	}
	return pointers
}

// diff reduces the patch to what differs from the current agent. It returns an error if a value
// that differs cannot be written.
func (p patch) diff(current *normalize.Agent) (patch, error) {
	if p.roundTrip {
		p = p.withoutUnverifiable(current)
	}
	var violations []normalize.Violation
	p.Change, violations = p.compare(current)
	if violations = p.DropUnsupported(violations, p.lenient); len(violations) > 0 {
		return patch{}, problem.Invalid(p.Backend.Name, violations)
	}
	return p, nil
}

// withoutUnverifiable removes, with a warning each, read-only fields whose current value could not
// be read: it is not known whether the caller changed them.
func (p patch) withoutUnverifiable(current *normalize.Agent) patch {
	removed := map[string]bool{}
	for _, f := range normalize.AllFields() {
		if _, sent := p.Change.Set[f]; sent && current.NotLoaded.Has(f) && p.verdicts[f] != adapters.Writable {
			removed[f.Pointer()] = true
			p.Warnings = append(p.Warnings, problem.NewWarning("unverified", f.Pointer(), p.Backend.Name, "this field cannot be changed; it was ignored, because its current value could not be read to compare it"))
		}
	}
	p.Change = p.Change.Keep(func(pointer string, _ jsontext.Value) bool { return !removed[pointer] })
	return p
}

// compare returns the values that differ from the current agent and can be written, and a
// violation for each that differs and cannot.
func (p patch) compare(current *normalize.Agent) (normalize.Change, []normalize.Violation) {
	changed := normalize.Change{Set: map[normalize.Field]jsontext.Value{}, Extensions: map[string]jsontext.Value{}}
	var violations []normalize.Violation
	for _, f := range normalize.AllFields() {
		value, sent := p.Change.Set[f]
		if !sent || normalize.Equal(value, current.Value(f)) {
			continue
		}
		found, writable := p.checkField(f, value)
		if writable {
			changed.Set[f] = value
		}
		violations = append(violations, found...)
	}
	have := normalize.Members(current.Extensions)
	for _, name := range slices.Sorted(maps.Keys(p.Change.Extensions)) {
		merged, err := normalize.MergePatch(have[name], p.Change.Extensions[name])
		if err != nil {
			violations = append(violations, normalize.Violation{Pointer: normalize.ExtensionPointer(name), Code: normalize.InvalidValue, Message: "cannot be merged with the current value"})
			continue
		}
		if normalize.Equal(merged, have[name]) || merged.Kind() == 'n' && have[name] == nil {
			continue
		}
		if found := p.Backend.Info.CheckExtension(name, merged, adapters.InUpdate); len(found) > 0 {
			violations = append(violations, found...)
			continue
		}
		changed.Extensions[name] = merged
	}
	return changed, violations
}

// checkField returns whether a value that differs from the current one is to be sent, and the
// violations if it cannot be written.
func (p patch) checkField(f normalize.Field, value jsontext.Value) (found []normalize.Violation, writable bool) {
	info := p.Backend.Info
	switch p.verdicts[f] {
	case adapters.NotShown: // null for a field that the backend does not have
		return nil, false
	case adapters.ReadOnly:
		return []normalize.Violation{{Pointer: f.Pointer(), Code: normalize.Unsupported, Message: "this field is read-only at " + info.Title}}, false
	case adapters.FixedLater:
		return []normalize.Violation{{Pointer: f.Pointer(), Code: normalize.Immutable, Message: info.Title + " does not allow this field to be changed after creation"}}, false
	case adapters.OutOfLimit:
		return info.CheckValue(f, value), false
	}
	if value.Kind() == 'n' {
		return []normalize.Violation{{Pointer: f.Pointer(), Code: normalize.InvalidValue, Message: info.Title + " does not document that this field can be cleared"}}, false
	}
	return nil, true
}
