package migration

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/oklog/ulid/v2"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/auth"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

// PlanInput is the body of POST /v1/migrations.
type PlanInput struct {
	Source        string `json:"source"`
	TargetBackend string `json:"target_backend"`
	migrate.Options
}

// Plan plans a migration: it writes to no backend. A plan of the same agent to the same
// backend that was never applied is replaced; created reports that there was none.
func (s *Service) Plan(ctx context.Context, r Request, in PlanInput) (v *View, created bool, err error) {
	result := "error"
	defer func() { s.Telemetry.CountMigrationStep(string(migrate.StepPlan), result) }()
	if err := s.Aliases.Available(); err != nil {
		return nil, false, err
	}
	m, err := s.newPlan(ctx, r, in)
	if err != nil {
		return nil, false, err
	}
	release, err := s.Store.Lock(ctx, "plan "+m.row.Source+" "+m.row.TargetBackend, true)
	if err != nil {
		return nil, false, problem.StoreUnavailable(err)
	}
	defer release()
	created = true
	known, err := s.Store.Migrations(ctx, sqlstore.MigrationQuery{Source: m.row.Source, TargetBackend: m.row.TargetBackend})
	if err != nil {
		return nil, false, problem.StoreUnavailable(err)
	}
	for _, row := range known {
		_, visible := s.openRow(r, row)
		switch {
		case !visible: // another account's
		case migrate.MayHaveTarget(row.State):
			return nil, false, problem.New(problem.CodeMigrationState, "migration %s of %s to %s is %s already; continue it, or roll it back first", row.ID, row.Source, row.TargetBackend, row.State)
		case created && migrate.Allowed(migrate.StepPlan, row.State):
			m.row.ID, m.row.Version, m.row.CreatedAt, created = row.ID, row.Version, row.CreatedAt, false
		}
	}
	m.row.PlanHash = m.hash()
	if err := m.save(ctx, migrate.StepPlan, "plan "+m.row.PlanHash); err != nil {
		return nil, false, err
	}
	result = "ok"
	v, err = m.view(ctx)
	return v, created, err
}

// newPlan reads the source and makes the plan.
func (s *Service) newPlan(ctx context.Context, r Request, body PlanInput) (*migration, error) {
	if body.Source == "" || body.TargetBackend == "" {
		return nil, problem.InvalidField("/source", normalize.Required, "name the agent as source, and the backend as target_backend")
	}
	from, err := s.Aliases.Resolve(r.Caller, body.Source, true)
	if err != nil {
		return nil, err
	}
	if _, err := normalize.ParseID(body.Source); err != nil {
		return nil, problem.InvalidField("/source", normalize.InvalidValue, "name the agent by its own id")
	}
	m := &migration{service: s, request: r, source: from.Backend}
	var ok bool
	if m.target, ok = r.Caller.Backend(body.TargetBackend); !ok {
		return nil, auth.UnknownBackend(r.Caller, body.TargetBackend)
	}
	if err := m.target.CheckSupport(adapters.OpCreate); err != nil {
		return nil, err
	}
	if m.target.Name == m.source.Name {
		return nil, problem.InvalidField("/target_backend", normalize.InvalidValue, "the agent is there already")
	}
	detail, err := s.Agents.ReadFresh(ctx, m.source, from.NativeID)
	if err != nil {
		return nil, err
	}
	if a, ok := s.Aliases.Lookup(detail.Agent.ID); ok && s.Aliases.SameNamespace(r.Caller, a) {
		where := "elsewhere"
		if s.Aliases.Visible(r.Caller, a) {
			where = "to " + a.Target
		}
		return nil, problem.New(problem.CodeMigrationState, "%s was moved already: it now points %s", detail.Agent.ID, where)
	}
	plan, violations := migrate.Make(detail.Agent, m.source.Info, m.target.Info, body.Options)
	if len(violations) > 0 {
		return nil, problem.Invalid(m.target.Name, violations)
	}
	m.row = sqlstore.Migration{
		ID: "mig_" + strings.ToLower(ulid.Make().String()), State: plan.State(), Source: detail.Agent.ID, TargetBackend: m.target.Name,
		KeyID: r.Caller.KeyID, SourceCredential: m.source.Account, TargetCredential: m.target.Account, CreatedAt: alias.Now(),
	}
	m.doc = document{Options: body.Options, SourceETag: detail.ETag(), Names: append([]string{detail.Agent.ID}, detail.Agent.AlternateIDs...)}
	m.take(plan)
	return m, nil
}

// take has a plan be the migration's.
func (m *migration) take(p migrate.Plan) {
	m.doc.Findings, m.doc.Change, m.doc.Activate = p.Findings, newStoredChange(p.Change), p.Activate
}

// hash tells a plan from every other one.
func (m *migration) hash() string {
	whole, err := json.Marshal([]any{m.row.Source, m.row.TargetBackend, m.doc.SourceETag, m.doc.Options, m.doc.Findings, m.doc.Change, m.doc.Activate}, json.Deterministic(true))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(whole)
	return hex.EncodeToString(sum[:16])
}

func lossesProblem(losses []migrate.Finding, accepted []string) *problem.Problem {
	var missing []normalize.Violation
	for _, f := range losses {
		if !slices.Contains(accepted, f.Loss()) {
			missing = append(missing, normalize.Violation{Pointer: f.Path, Code: normalize.Unsupported, Message: fmt.Sprintf("%s; accept %q, or give it a place", f.Message, f.Loss())})
		}
	}
	if len(missing) == 0 {
		return nil
	}
	p := problem.New(problem.CodeLossNotAccepted, "%d of what the agent has would be lost and is not accepted", len(missing))
	p.Errors = missing
	return p
}

// blockedProblem is the problem of a plan that is not ready.
func blockedProblem(p migrate.Plan) *problem.Problem {
	problem := problem.New(problem.CodeMigrationBlocked, "the plan is %s", p.State())
	for _, f := range p.Findings {
		if f.Severity == migrate.Blocking {
			problem.Errors = append(problem.Errors, normalize.Violation{Pointer: f.Path, Code: normalize.Required, Message: f.Message})
		}
	}
	return problem
}
