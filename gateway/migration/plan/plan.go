// Package plan decides what becomes of an agent's fields when it is migrated to another
// provider. A plan has exactly one finding for each field of the source agent, and one for
// each field that the target requires and the source lacks.
//
// It is pure: it imports adapters and normalize only, does no I/O, and knows neither HTTP
// nor the store. Differences between providers are in their adapters.Info.
//
// Begin reading at Make. plan.go has its result, planner.go the decision for each field,
// translate.go the translation of values, compare.go the comparison of a created target
// with its plan, and states.go the states and steps of a migration.
package plan

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/normalize"
)

// Kind classifies what becomes of a field.
type Kind string

// The kinds of findings.
const (
	Exact       Kind = "exact"        // the target has the same value
	Approximate Kind = "approximate"  // the target has a similar value; the message says how it differs
	Manual      Kind = "manual"       // a map must translate the value, or a person must set it up
	NeedsInput  Kind = "needs_input"  // the target requires a value, and the source has none that it accepts
	Unsupported Kind = "unsupported"  // the target does not support the field: its value is lost
	NotMigrated Kind = "not_migrated" // specific to the source agent: usage, timestamps, owner
)

// Kinds returns all kinds in their documented order.
func Kinds() []Kind {
	return []Kind{Exact, Approximate, Manual, NeedsInput, Unsupported, NotMigrated}
}

// Severity says whether a finding has to be resolved or accepted before the migration.
type Severity string

// The severities of findings, in ascending order.
const (
	Info     Severity = "info"
	Warn     Severity = "warn"
	DataLoss Severity = "data_loss" // must be accepted explicitly
	Blocking Severity = "blocking"  // cannot be accepted
)

// Severities returns all severities in ascending order.
func Severities() []Severity { return []Severity{Info, Warn, DataLoss, Blocking} }

// Finding says what becomes of one field. Path is a JSON pointer (RFC 6901) into the source
// agent. The finding includes all values below it.
type Finding struct {
	Path     string   `json:"path"`
	Kind     Kind     `json:"kind"`
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	// Fix is the option of a plan that resolves the finding: "maps." or "inputs." and the
	// field's name, or "architecture". It is empty if none does.
	Fix  string         `json:"fix,omitzero"`
	From jsontext.Value `json:"from,omitzero"` // the source value
	To   jsontext.Value `json:"to,omitzero"`   // the target value
}

// Loss returns the name by which a data loss is accepted, such as "data_loss:/avatar".
func (f Finding) Loss() string { return string(f.Severity) + ":" + f.Path }

// Plan says how an agent is migrated.
type Plan struct {
	Findings []Finding
	// Change is the content of the create request to the target.
	Change normalize.Change
	// Activate reports that the target stays inactive until the cutover activates it.
	Activate bool
	// Deactivate is the status to set right after the create request, because the provider
	// creates agents active; empty for none.
	Deactivate string
}

// SourceName returns the name of the source agent, empty if it has none.
func (p Plan) SourceName() string {
	for _, f := range p.Findings {
		switch {
		case f.Path != normalize.FieldName.Pointer():
		case f.From != nil:
			return textOf(f.From)
		default: // an input has the same value, or the source has no name
			return textOf(f.To)
		}
	}
	return ""
}

// State returns Ready if the plan can be applied, MissingInput if inputs or maps can make
// it applicable, else Blocked.
func (p Plan) State() string {
	state := Ready
	for _, f := range p.Findings {
		if f.Severity != Blocking {
			continue
		}
		if f.Kind != NeedsInput && f.Kind != Manual {
			return Blocked
		}
		state = MissingInput
	}
	return state
}

// Count returns the number of findings of each kind.
func (p Plan) Count() map[Kind]int {
	count := map[Kind]int{}
	for _, f := range p.Findings {
		count[f.Kind]++
	}
	return count
}

// Losses returns the findings that must be accepted.
func (p Plan) Losses() []Finding {
	return slices.DeleteFunc(slices.Clone(p.Findings), func(f Finding) bool { return f.Severity != DataLoss })
}
