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

// Verdict is the result of comparing a field of the target with the plan.
type Verdict string

// The verdicts on a field.
const (
	Match         Verdict = "match"
	Mismatch      Verdict = "mismatch"       // the target has another value
	NotPersisted  Verdict = "not_persisted"  // a value was sent, and the target has none
	TargetDefault Verdict = "target_default" // no value was sent, and the target has one
)

// Verdicts returns all verdicts in their documented order.
func Verdicts() []Verdict { return []Verdict{Match, Mismatch, NotPersisted, TargetDefault} }

// FieldResult is the result for one field. It contains no value of the field.
type FieldResult struct {
	Path    string  `json:"path"`
	Verdict Verdict `json:"verdict"`
}

// Differs reports whether the target does not have the value that was sent.
func (r FieldResult) Differs() bool { return r.Verdict == Mismatch || r.Verdict == NotPersisted }

// Name returns the name by which a difference is accepted, such as "mismatch:/name".
func (r FieldResult) Name() string { return string(r.Verdict) + ":" + r.Path }

// Compare compares the target agent with the planned change, field by field. Fields that the
// provider never shows are left out.
func Compare(planned normalize.Change, target *normalize.Agent, info *adapters.Info) []FieldResult {
	results := []FieldResult{}
	for _, f := range normalize.AllFields() {
		if f.ReadOnly() || f == normalize.FieldExtensions || f == normalize.FieldStatus || derived[f] || group(f) == "owner" || group(f) == "usage" {
			continue
		}
		want, sent := planned.Set[f]
		have := target.Value(f)
		shown := info.Rule(f).In&(adapters.InList|adapters.InGet) != 0 && !target.NotLoaded.Has(f) && !target.Unavailable.Has(f)
		switch {
		case !shown:
		case sent && normalize.Equal(want, have):
			results = append(results, FieldResult{f.Pointer(), Match})
		case sent && empty(have):
			results = append(results, FieldResult{f.Pointer(), NotPersisted})
		case sent:
			results = append(results, FieldResult{f.Pointer(), Mismatch})
		case !empty(have):
			results = append(results, FieldResult{f.Pointer(), TargetDefault})
		}
	}
	have := normalize.Members(target.Extensions)
	for _, name := range slices.Sorted(maps.Keys(planned.Extensions)) {
		pointer := normalize.ExtensionPointer(name)
		switch value, there := have[name]; {
		case !there: // some extension fields are accepted and never shown
		case normalize.Equal(planned.Extensions[name], value):
			results = append(results, FieldResult{pointer, Match})
		default:
			results = append(results, FieldResult{pointer, Mismatch})
		}
	}
	return results
}

// Tally describes results in a few words: "3 of 4 fields match (1 target_default)".
func Tally(results []FieldResult) string {
	count := map[Verdict]int{}
	for _, r := range results {
		count[r.Verdict]++
	}
	var others []string
	for _, v := range Verdicts()[1:] {
		if count[v] > 0 {
			others = append(others, fmt.Sprintf("%d %s", count[v], v))
		}
	}
	text := fmt.Sprintf("%d of %d fields match", count[Match], len(results))
	if len(others) > 0 {
		text += " (" + strings.Join(others, ", ") + ")"
	}
	return text
}

// Differences returns the paths of the fields that differ.
func Differences(results []FieldResult) (paths []string) {
	for _, r := range results {
		if r.Differs() {
			paths = append(paths, r.Path)
		}
	}
	return paths
}

// Delta returns the update that turns an agent created from one change into what another
// change describes. Removed are the fields that only the old change sets: no provider
// documents how to clear them.
func Delta(old, updated normalize.Change) (delta normalize.Change, removed []string) {
	delta = normalize.Change{Set: map[normalize.Field]jsontext.Value{}, Extensions: map[string]jsontext.Value{}}
	for f, value := range updated.Set {
		if before, ok := old.Set[f]; !ok || !normalize.Equal(before, value) {
			delta.Set[f] = value
		}
	}
	for name, value := range updated.Extensions {
		if before, ok := old.Extensions[name]; !ok || !normalize.Equal(before, value) {
			delta.Extensions[name] = value
		}
	}
	for f := range old.Set {
		if _, ok := updated.Set[f]; !ok {
			removed = append(removed, f.Pointer())
		}
	}
	slices.Sort(removed)
	return delta, removed
}
