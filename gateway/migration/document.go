package migration

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/normalize"
)

// document is the part of a migration that the store holds as one value. It contains
// prompts, so it is encrypted if store.encryption_key is set.
type document struct {
	Options    migrate.Options   `json:"options"`
	SourceETag string            `json:"etag"` // entity tag of the source as planned
	Findings   []migrate.Finding `json:"findings"`
	Change     storedChange      `json:"change"`
	Activate   bool              `json:"activate"`
	Deactivate string            `json:"deactivate,omitzero"` // status to set right after the create request
	// Names are the ids of the source, its own one and alternate ones, which the cutover
	// points to the target.
	Names []string `json:"names"`
	// SourceBefore is the source at the time the target was created.
	SourceBefore jsontext.Value `json:"before,omitzero"`
	Accepted     []string       `json:"accepted,omitzero"`
	// TargetETag is the target's entity tag after the last write of the migration; empty if
	// the target could not be read then.
	TargetETag string `json:"left,omitzero"`
	// Pending, or StatusSent with the status before it, is an update that was sent to the
	// target. If the process ends before the result is stored, the next step can tell this
	// update from a change that somebody else made.
	Pending      *pendingPlan `json:"pending,omitzero"`
	StatusSent   string       `json:"status_sent,omitzero"`
	StatusBefore *string      `json:"status_before,omitzero"`
	// AcceptedDifferences are the names of accepted differences, such as "mismatch:/name".
	AcceptedDifferences []string      `json:"differing,omitzero"`
	Verification        *verification `json:"verification,omitzero"`
}

// pendingPlan is a newer plan that replaces the migration's once the target matches it.
type pendingPlan struct {
	SourceETag string            `json:"etag"`
	Findings   []migrate.Finding `json:"findings"`
	Change     storedChange      `json:"change"`
	Activate   bool              `json:"activate"`
}

// plan returns the migration's plan.
func (d document) plan() migrate.Plan {
	return migrate.Plan{Findings: d.Findings, Change: d.Change.change(), Activate: d.Activate, Deactivate: d.Deactivate}
}

// verification is the result of comparing the target with the plan.
type verification struct {
	At            time.Time             `json:"at"`
	OK            bool                  `json:"ok"`
	SourceChanged bool                  `json:"source_changed"`
	TargetChanged bool                  `json:"target_changed"` // since the migration's last write
	Accepted      []string              `json:"accepted"`       // names of accepted differences
	Fields        []migrate.FieldResult `json:"fields"`
}

// storedChange is a change with field names instead of numbers, which may differ between
// versions of the gateway.
type storedChange struct {
	Set        map[string]jsontext.Value `json:"set"`
	Extensions map[string]jsontext.Value `json:"extensions"`
}

// newStoredChange converts a change to its stored form.
func newStoredChange(c normalize.Change) storedChange {
	r := storedChange{Set: map[string]jsontext.Value{}, Extensions: c.Extensions}
	for f, v := range c.Set {
		r.Set[f.Name()] = v
	}
	return r
}

// change converts a stored change back. Fields that this version does not know are left out.
func (r storedChange) change() normalize.Change {
	c := normalize.Change{Set: map[normalize.Field]jsontext.Value{}, Extensions: r.Extensions}
	for name, v := range r.Set {
		if f, ok := normalize.FieldByName(name); ok {
			c.Set[f] = v
		}
	}
	return c
}
