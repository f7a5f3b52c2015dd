package migration

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/normalize"
)

// document is what a migration keeps beside its row. It holds prompts, so it is
// sealed.
type document struct {
	Options    migrate.Options   `json:"options"`
	SourceETag string            `json:"etag"` // of the source, when it was planned
	Findings   []migrate.Finding `json:"findings"`
	Change     storedChange      `json:"change"`
	Activate   bool              `json:"activate"`
	// Names are the ids by which the source is found: its own, and alternate ones.
	Names []string `json:"names"`
	// SourceBefore is the source as it was when the target was made.
	SourceBefore jsontext.Value `json:"before,omitzero"`
	Accepted     []string       `json:"accepted,omitzero"`
	// TargetETag is the target's entity tag as it was left; empty if that was not seen.
	TargetETag string `json:"left,omitzero"`
	// Pending is what the target is just being sent, so that it is known for ours if the
	// process ends before that is written down; and so is a status, with the one before it.
	Pending      *pendingPlan `json:"pending,omitzero"`
	StatusSent   string       `json:"status_sent,omitzero"`
	StatusBefore *string      `json:"status_before,omitzero"`
	// AcceptedDifferences are fields whose difference was accepted: "mismatch:/name".
	AcceptedDifferences []string      `json:"differing,omitzero"`
	Verification        *verification `json:"verification,omitzero"`
}

// pendingPlan is a plan that takes the place of the one before it once the target has it.
type pendingPlan struct {
	SourceETag string            `json:"etag"`
	Findings   []migrate.Finding `json:"findings"`
	Change     storedChange      `json:"change"`
	Activate   bool              `json:"activate"`
}

func (d document) plan() migrate.Plan {
	return migrate.Plan{Findings: d.Findings, Change: d.Change.change(), Activate: d.Activate}
}

// verification is what the target was found to be like.
type verification struct {
	At            time.Time             `json:"at"`
	OK            bool                  `json:"ok"`
	SourceChanged bool                  `json:"source_changed"`
	TargetChanged bool                  `json:"target_changed"` // since it was left
	Accepted      []string              `json:"accepted"`       // differences, by name
	Fields        []migrate.FieldResult `json:"fields"`
}

// storedChange is a change as it is kept.
type storedChange struct {
	Set        map[string]jsontext.Value `json:"set"`
	Extensions map[string]jsontext.Value `json:"extensions"`
}

func newStoredChange(c normalize.Change) storedChange {
	r := storedChange{Set: map[string]jsontext.Value{}, Extensions: c.Extensions}
	for f, v := range c.Set {
		r.Set[f.Name()] = v
	}
	return r
}

func (r storedChange) change() normalize.Change {
	c := normalize.Change{Set: map[normalize.Field]jsontext.Value{}, Extensions: r.Extensions}
	for name, v := range r.Set {
		if f, ok := normalize.FieldByName(name); ok {
			c.Set[f] = v
		}
	}
	return c
}
