package migration

import (
	"context"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/backend"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// Summary is a migration in a list.
type Summary struct {
	Object        string               `json:"object"`
	ID            string               `json:"id"`
	State         string               `json:"state"`
	SourceName    *string              `json:"source_name"` // null if the source has no name
	Source        string               `json:"source"`
	TargetBackend string               `json:"target_backend"`
	Target        *string              `json:"target"` // null until it is created, and after it was deleted
	Batch         *string              `json:"batch"`  // null for none
	KeyID         string               `json:"key_id"` // key that planned it
	Version       int64                `json:"version"`
	PlanHash      string               `json:"plan_hash"`
	Counts        map[migrate.Kind]int `json:"counts"`
	Losses        []string             `json:"losses"` // names to use in accept
	Next          []migrate.Step       `json:"next"`
	CreatedAt     time.Time            `json:"created_at"`
	UpdatedAt     time.Time            `json:"updated_at"`
}

// View is a migration with all details.
type View struct {
	Summary
	Plan         planView          `json:"plan"`
	Accepted     []string          `json:"accepted"`
	Verification *verification     `json:"verification"`
	Shadow       *shadowView       `json:"shadow"`
	Manual       []migrate.Finding `json:"manual"`
	Warnings     []problem.Warning `json:"warnings"`
	AuditLog     []auditEntry      `json:"trail"`
}

type planView struct {
	SourceETag string            `json:"source_etag"`
	Options    migrate.Options   `json:"options"`
	Findings   []migrate.Finding `json:"findings"`
	// Agent is the body of the equivalent POST /v1/agents. Requests are the HTTP requests to
	// the provider; there are none until the plan is ready.
	Agent    jsontext.Value         `json:"agent"`
	Requests []agents.DryRunRequest `json:"requests"`
	Activate bool                   `json:"activate"`
}

// shadowView is the state and the result of shadow reads.
type shadowView struct {
	Percent     int64            `json:"percent"`
	Until       time.Time        `json:"until"`
	Reads       int64            `json:"reads"`
	Differences map[string]int64 `json:"differences"` // by the field's JSON pointer
	Note        string           `json:"note"`
}

const shadowNote = "compares the configuration only, not how the agent behaves in a conversation"

// auditEntry is an entry of the audit log, which the API calls trail.
type auditEntry struct {
	At        time.Time `json:"at"`
	Step      string    `json:"step"`
	State     string    `json:"state"`
	KeyID     string    `json:"key_id"`
	RequestID string    `json:"request_id"`
	Detail    string    `json:"detail"`
}

// summary returns the migration as lists show it.
func (m *migration) summary() Summary {
	plan := m.doc.plan()
	s := Summary{
		Object: "migration", ID: m.row.ID, State: m.row.State, Source: m.row.Source, TargetBackend: m.row.TargetBackend, KeyID: m.row.KeyID,
		Version: m.row.Version, PlanHash: m.row.PlanHash, Counts: plan.Count(), Losses: []string{}, Next: migrate.Next(m.row.State),
		CreatedAt: m.row.CreatedAt, UpdatedAt: m.row.UpdatedAt,
	}
	s.SourceName, s.Target, s.Batch = orNull(plan.SourceName()), orNull(m.row.Target), orNull(m.row.Batch)
	for _, kind := range migrate.Kinds() {
		s.Counts[kind] += 0
	}
	for _, f := range plan.Losses() {
		s.Losses = append(s.Losses, f.Loss())
	}
	if s.Next == nil {
		s.Next = []migrate.Step{}
	}
	return s
}

// orNull returns nil for an empty text.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// view returns the migration with its plan, its audit log and its shadow reads. It ignores
// the cancellation of ctx where it reads the store: the step is done.
func (m *migration) view(ctx context.Context) (*View, error) {
	v := &View{
		Summary: m.summary(), Accepted: m.doc.Accepted, Verification: m.doc.Verification, Warnings: problem.BoundedWarnings(m.warnings, problem.MaxWarnings),
		Plan: planView{SourceETag: m.doc.SourceETag, Options: m.doc.Options, Findings: m.doc.Findings, Agent: createBody(m.target.Name, m.doc.Change.change()), Activate: m.doc.Activate},
	}
	for _, f := range m.doc.Findings {
		if f.Kind == migrate.Manual && f.Severity == migrate.Warn {
			v.Manual = append(v.Manual, f)
		}
	}
	if plan := m.doc.plan(); plan.State() == migrate.Ready && !m.undecryptable { // adapters expect a valid change
		requests, err := agents.DryRunRequests(ctx, m.target, []backend.Call{{Op: adapters.OpCreate, Change: plan.Change}})
		if err != nil {
			return nil, problem.FromBackend(m.target.Name, adapters.OpCreate, err)
		}
		v.Plan.Requests = requests
	}
	entries, err := m.service.Store.AuditLog(context.WithoutCancel(ctx), m.row.ID)
	if err != nil {
		return nil, problem.StoreUnavailable(err)
	}
	for _, a := range entries {
		v.AuditLog = append(v.AuditLog, auditEntry{At: a.At, Step: a.Step, State: a.State, KeyID: a.KeyID, RequestID: a.RequestID, Detail: a.Detail})
	}
	if !m.row.ShadowUntil.IsZero() {
		v.Shadow = &shadowView{Percent: m.row.ShadowPercent, Until: m.row.ShadowUntil, Differences: map[string]int64{}, Note: shadowNote}
		counts, err := m.service.Store.ShadowCounts(context.WithoutCancel(ctx), m.row.ID)
		if err != nil {
			return nil, problem.StoreUnavailable(err)
		}
		for _, c := range counts {
			if c.Field == "" {
				v.Shadow.Reads += c.Count
			} else {
				v.Shadow.Differences[c.Field] += c.Count
			}
		}
	}
	return v, nil
}

// createBody returns the body of POST /v1/agents that has the effect of a change.
func createBody(backend string, c normalize.Change) jsontext.Value {
	groups := map[string]jsontext.Value{}
	body := normalize.AppendMember(nil, "backend", agents.MustMarshal(backend))
	for _, f := range normalize.AllFields() {
		value, ok := c.Set[f]
		if !ok {
			continue
		}
		if group, leaf, nested := strings.Cut(f.Name(), "."); nested {
			groups[group] = normalize.AppendMember(groups[group], leaf, value)
			continue
		}
		body = normalize.AppendMember(body, f.Name(), value)
	}
	if len(c.Extensions) > 0 {
		groups["extensions"] = agents.MustMarshal(c.Extensions)
	}
	more, err := json.Marshal(groups, json.Deterministic(true))
	if err != nil {
		return body
	}
	for name, value := range normalize.Members(more) {
		body = normalize.AppendMember(body, name, value)
	}
	if err := body.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false)); err != nil {
		return body
	}
	return body
}
