package migration

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
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
	// Batch names the migrations that are planned together, so that later steps can select
	// them. A plan that replaces another one takes its migration out of the earlier batch.
	Batch string `json:"batch"`
	migrate.Options
}

// Plan plans a migration. It writes to no backend. If a migration of the same agent to the
// same backend was planned and never applied, its plan is replaced, and created is false.
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
		case !visible: // it belongs to another account
		case migrate.MayHaveTarget(row.State):
			return nil, false, problem.New(problem.CodeMigrationState, "migration %s of %s to %s is already in state %s; continue it, or roll it back first", row.ID, row.Source, row.TargetBackend, row.State)
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

// newPlan reads the source and plans its migration. The migration is not saved.
func (s *Service) newPlan(ctx context.Context, r Request, body PlanInput) (*migration, error) {
	if body.Source == "" || body.TargetBackend == "" {
		return nil, problem.InvalidField("/source", normalize.Required, "set source to the agent's id and target_backend to a backend")
	}
	if body.Batch != "" && !batchName.MatchString(body.Batch) {
		return nil, problem.InvalidField("/batch", normalize.InvalidValue, "must be 1 to 64 of a-z, 0-9, '.', '_' and '-', and begin with a letter or digit")
	}
	// A slug stands for the agent that it points to. An id stands for itself, so that an agent
	// that was moved is named below.
	_, notAnID := normalize.ParseID(body.Source)
	from, err := s.Aliases.Resolve(r.Caller, body.Source, notAnID == nil)
	if err != nil {
		return nil, err
	}
	m := &migration{service: s, request: r, source: from.Backend}
	var ok bool
	if m.target, ok = r.Caller.Backend(body.TargetBackend); !ok {
		return nil, problem.InvalidField("/target_backend", normalize.InvalidValue, auth.UnknownBackend(r.Caller, body.TargetBackend).Detail)
	}
	if err := m.target.CheckSupport(adapters.OpCreate); err != nil {
		return nil, err
	}
	if m.target.Name == m.source.Name {
		return nil, problem.InvalidField("/target_backend", normalize.InvalidValue, "must be another backend: the agent is already at "+m.target.Name)
	}
	detail, err := s.Agents.ReadFresh(ctx, m.source, from.NativeID)
	if err != nil {
		return nil, err
	}
	if a, ok := s.Aliases.OfAgent(m.source.Account, detail.Agent.ID); ok {
		where := "another agent"
		if s.Aliases.Visible(r.Caller, a) {
			where = a.Target
		}
		return nil, problem.New(problem.CodeMigrationState, "%s was already moved: it now points to %s", detail.Agent.ID, where)
	}
	plan, violations := migrate.Make(detail.Agent, m.source.Info, m.target.Info, body.Options)
	if len(violations) > 0 {
		return nil, problem.Invalid(m.target.Name, violations)
	}
	m.row = sqlstore.Migration{
		ID: "mig_" + strings.ToLower(ulid.Make().String()), State: plan.State(), Source: detail.Agent.ID, TargetBackend: m.target.Name,
		KeyID: r.Caller.KeyID, Batch: body.Batch, SourceCredential: m.source.Account, TargetCredential: m.target.Account, CreatedAt: alias.Now(),
	}
	m.doc = document{Options: body.Options, SourceETag: detail.ETag(), Names: append([]string{detail.Agent.ID}, detail.Agent.AlternateIDs...)}
	m.setPlan(plan)
	return m, nil
}

var batchName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// setPlan stores a plan in doc.
func (m *migration) setPlan(p migrate.Plan) {
	m.doc.Findings, m.doc.Change, m.doc.Activate, m.doc.Deactivate = p.Findings, newStoredChange(p.Change), p.Activate, p.Deactivate
}

// hash returns the plan hash: it identifies the plan, its options and the version of the
// source.
func (m *migration) hash() string {
	encoded, err := json.Marshal([]any{m.row.Source, m.row.TargetBackend, m.doc.SourceETag, m.doc.Options, m.doc.Findings, m.doc.Change, m.doc.Activate}, json.Deterministic(true))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:16])
}

// lossesProblem returns a problem that names each loss that is not accepted, nil if there is
// none.
func lossesProblem(losses []migrate.Finding, accepted []string) *problem.Problem {
	var missing []normalize.Violation
	for _, f := range losses {
		if !slices.Contains(accepted, f.Loss()) {
			missing = append(missing, normalize.Violation{Pointer: f.Path, Code: normalize.Unsupported, Message: fmt.Sprintf("%s; accept %q, or plan again with inputs or maps that avoid the loss", f.Message, f.Loss())})
		}
	}
	if len(missing) == 0 {
		return nil
	}
	p := problem.New(problem.CodeLossNotAccepted, "%d data losses are not accepted; errors lists them", len(missing))
	p.Errors = missing
	return p
}

// blockedProblem returns the problem of a plan that is not ready, with its blocking findings.
func blockedProblem(p migrate.Plan) *problem.Problem {
	blocked := problem.New(problem.CodeMigrationBlocked, "the plan is in state %s; errors lists what is missing or not possible", p.State())
	for _, f := range p.Findings {
		if f.Severity == migrate.Blocking {
			blocked.Errors = append(blocked.Errors, normalize.Violation{Pointer: f.Path, Code: normalize.Required, Message: f.Message})
		}
	}
	return blocked
}
