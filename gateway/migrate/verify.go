package migrate

import (
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// Verdict is what a field of the target is like beside the plan.
type Verdict string

// What a field can be like.
const (
	Match         Verdict = "match"
	Mismatch      Verdict = "mismatch"       // it has another value
	NotPersisted  Verdict = "not_persisted"  // it was sent, and has none
	TargetDefault Verdict = "target_default" // it was not sent, and has one
)

// Verdicts is every verdict, in order.
func Verdicts() []Verdict { return []Verdict{Match, Mismatch, NotPersisted, TargetDefault} }

// Checked is one field of the target. No value is in it.
type Checked struct {
	Path    string  `json:"path"`
	Verdict Verdict `json:"verdict"`
}

// Differs reports whether the field is not as it was sent.
func (c Checked) Differs() bool { return c.Verdict == Mismatch || c.Verdict == NotPersisted }

// Name is what the difference is accepted by: "mismatch:/name".
func (c Checked) Name() string { return string(c.Verdict) + ":" + c.Path }

// Compare holds the target against the plan, field by field. What the vendor shows nowhere
// cannot be compared, and is left out.
func Compare(planned normalize.Change, target *normalize.Agent, of *adapters.Info) []Checked {
	checked := []Checked{}
	for _, f := range normalize.AllFields() {
		if f.ReadOnly() || f == normalize.FieldExtensions || f == normalize.FieldStatus || derived[f] || group(f) == "owner" || group(f) == "usage" {
			continue
		}
		want, sent := planned.Set[f]
		have := target.Value(f)
		shown := of.Rule(f).In&(adapters.InList|adapters.InGet) != 0 && !target.NotLoaded.Has(f) && !target.Unavailable.Has(f)
		switch {
		case !shown:
		case sent && normalize.Equal(want, have):
			checked = append(checked, Checked{f.Pointer(), Match})
		case sent && empty(have):
			checked = append(checked, Checked{f.Pointer(), NotPersisted})
		case sent:
			checked = append(checked, Checked{f.Pointer(), Mismatch})
		case !empty(have):
			checked = append(checked, Checked{f.Pointer(), TargetDefault})
		}
	}
	have := normalize.Members(target.Extensions)
	for _, name := range slices.Sorted(maps.Keys(planned.Extensions)) {
		pointer := normalize.ExtensionPointer(name)
		switch value, there := have[name]; {
		case !there: // some are written and never shown
		case normalize.Equal(planned.Extensions[name], value):
			checked = append(checked, Checked{pointer, Match})
		default:
			checked = append(checked, Checked{pointer, Mismatch})
		}
	}
	return checked
}

// Differences are the fields that are not as they were sent.
func Differences(checked []Checked) (paths []string) {
	for _, c := range checked {
		if c.Differs() {
			paths = append(paths, c.Path)
		}
	}
	return paths
}

// Delta is what has to be sent for an agent that was made by one plan to be as another
// plan has it. Gone are the fields that the new plan no longer sets, which no vendor
// documents how to clear.
func Delta(was, now normalize.Change) (delta normalize.Change, gone []string) {
	delta = normalize.Change{Set: map[normalize.Field]jsontext.Value{}, Extensions: map[string]jsontext.Value{}}
	for f, value := range now.Set {
		if before, ok := was.Set[f]; !ok || !normalize.Equal(before, value) {
			delta.Set[f] = value
		}
	}
	for name, value := range now.Extensions {
		if before, ok := was.Extensions[name]; !ok || !normalize.Equal(before, value) {
			delta.Extensions[name] = value
		}
	}
	for f := range was.Set {
		if _, ok := now.Set[f]; !ok {
			gone = append(gone, f.Pointer())
		}
	}
	slices.Sort(gone)
	return delta, gone
}
