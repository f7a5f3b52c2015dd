// Package migration moves agents between backends in steps: plan, apply, verify, shadow,
// cutover, rollback. What becomes of each field is decided in gateway/migration/plan.
//
// It may not know HTTP. Begin with [Service.Plan]; each step is a file.
package migration

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/oklog/ulid/v2"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/auth"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/telemetry"
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

func (d document) plan() migrate.Plan {
	return migrate.Plan{Findings: d.Findings, Change: d.Change.change(), Activate: d.Activate}
}

// Service moves agents between backends. It is safe for concurrent use.
type Service struct {
	Options
	shadows *shadowReader
}

// Options are what a migrationService is made of.
type Options struct {
	Log       *slog.Logger
	Telemetry *telemetry.Telemetry
	Store     *sqlstore.Store // nil: there are no migrations
	Cipher    Cipher
	Aliases   *alias.Service
	Agents    *agents.Service
	// Keys returns the current keys.
	Keys func() *auth.Keyring
}

func New(o Options) *Service {
	s := &Service{Options: o}
	s.shadows = newShadowReader(s)
	return s
}

// Close ends the shadow reads.
func (s *Service) Close() { s.shadows.close() }

// Request is a request for a step of a migration.
type Request struct {
	Caller    *auth.Caller
	ID        string // of the migration; empty for a plan
	RequestID string
}

// migration is one that a step is done with.
type migration struct {
	service        *Service
	request        Request
	row            sqlstore.Migration
	doc            document
	source, target auth.CallerBackend
	warnings       []problem.Warning
	undecryptable  bool // its document cannot be decrypted
}

// sourceID and targetID are the agents'.
func (m *migration) sourceID() normalize.ID { return alias.ParseStoredID(m.row.Source) }
func (m *migration) targetID() normalize.ID { return alias.ParseStoredID(m.row.Target) }

// save writes what a step came to, with a line of the trail, even if the caller's time is
// up. change may say more that is written with it.
func (m *migration) save(ctx context.Context, step migrate.Step, detail string, change ...func(*sqlstore.MigrationChange)) error {
	encoded, err := json.Marshal(m.doc)
	if err != nil {
		return err
	}
	m.row.Document = m.service.Cipher.Seal(m.row.ID, encoded)
	m.row.UpdatedAt = alias.Now()
	by := sqlstore.AuditEntry{At: alias.Now(), KeyID: m.request.Caller.KeyID, RequestID: m.request.RequestID, Step: string(step), Detail: detail}
	write := sqlstore.MigrationChange{Migration: m.row, Audit: by}
	for _, more := range change {
		more(&write)
	}
	written, err := m.service.Store.WriteMigration(context.WithoutCancel(ctx), write)
	if errors.Is(err, sqlstore.ErrVersionMismatch) {
		return m.nameTakenProblem(m.row.Source)
	}
	if errors.Is(err, sqlstore.ErrConflict) {
		return stepRunningProblem(m.row)
	}
	if err != nil {
		return problem.StoreUnavailable(err)
	}
	m.row = written
	return nil
}

// stepRunningProblem is the problem of two who do something with a migration at once.
func stepRunningProblem(row sqlstore.Migration) *problem.Problem {
	p := problem.New(problem.CodeMigrationState, "another step of migration %s is running; read it, and go on from there", row.ID)
	p.RetryAfter = time.Second
	return p
}

// stepLockTimeout is how long a step waits for another one of the same migration.
const stepLockTimeout = time.Second

// runStep does a step of the migration that the path names, alone.
func (s *Service) runStep(ctx context.Context, r Request, step migrate.Step, work func(context.Context, *migration) error) (*View, error) {
	result := "error"
	defer func() { s.Telemetry.CountMigrationStep(string(step), result) }()
	if err := s.Aliases.Available(); err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, stepLockTimeout)
	release, err := s.Store.Lock(waiting, "migration "+r.ID, true)
	cancel()
	if err != nil && errors.Is(err, sqlstore.ErrUnavailable) {
		return nil, problem.StoreUnavailable(err)
	} else if err != nil {
		return nil, stepRunningProblem(sqlstore.Migration{ID: normalize.Shorten(r.ID)})
	}
	defer release()
	m, err := s.find(ctx, r)
	if err != nil {
		return nil, err
	}
	if m.undecryptable {
		return nil, problem.New(problem.CodeMigrationState, "what migration %s keeps of its agents was sealed with another store.encryption_key; start the gateway with that one", m.row.ID)
	}
	if plan := m.doc.plan(); step == migrate.StepApply && (m.row.State == migrate.MissingInput || m.row.State == migrate.Blocked) {
		return nil, blockedProblem(plan)
	}
	if !migrate.Allowed(step, m.row.State) {
		return nil, problem.New(problem.CodeMigrationState, "migration %s is %s: it cannot be given %s now; what can follow is %s", m.row.ID, m.row.State, step, stepsText(migrate.Next(m.row.State)))
	}
	if err := work(ctx, m); err != nil {
		return nil, err
	}
	result = "ok"
	s.Aliases.Refresh(ctx)
	return m.view(ctx)
}

func stepsText(steps []migrate.Step) string {
	if len(steps) == 0 {
		return "nothing"
	}
	var words []string
	for _, s := range steps {
		words = append(words, string(s))
	}
	return strings.Join(words, " or ")
}

// find reads the one that the path names, if the caller sees it.
func (s *Service) find(ctx context.Context, r Request) (*migration, error) {
	row, found, err := s.Store.Migration(ctx, r.ID)
	if err != nil {
		return nil, problem.StoreUnavailable(err)
	}
	if found {
		if m, ok := s.openRow(r, row); ok {
			return m, nil
		}
	}
	return nil, problem.New(problem.CodeMigrationNotFound, "no migration of this id is of agents that the key can see")
}

// openRow reads a migration's document; false if the caller may not see it: the key maps to
// both backends, and is the one that planned it, or has the credentials that it was
// planned with, or those that the planner has now.
func (s *Service) openRow(r Request, row sqlstore.Migration) (m *migration, visible bool) {
	m = &migration{service: s, request: r, row: row}
	ok := false
	if m.source, ok = r.Caller.Backend(m.sourceID().Backend); !ok {
		return nil, false
	}
	if m.target, ok = r.Caller.Backend(row.TargetBackend); !ok {
		return nil, false
	}
	same := m.source.Account == row.SourceCredential && m.target.Account == row.TargetCredential
	if planner := s.Keys().Caller(row.KeyID); planner != nil && !same {
		s, hasSource := planner.Backend(m.source.Name)
		t, hasTarget := planner.Backend(m.target.Name)
		same = hasSource && hasTarget && s.Credential.ID() == m.source.Credential.ID() && t.Credential.ID() == m.target.Credential.ID()
	}
	if !same && row.KeyID != r.Caller.KeyID {
		return nil, false
	}
	document, err := s.Cipher.Open(row.ID, row.Document)
	if err == nil {
		err = json.Unmarshal(document, &m.doc)
	}
	m.undecryptable = err != nil
	return m, true
}

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

// Get returns a migration.
func (s *Service) Get(ctx context.Context, r Request) (*View, error) {
	if err := s.Aliases.Available(); err != nil {
		return nil, err
	}
	m, err := s.find(ctx, r)
	if err != nil {
		return nil, err
	}
	return m.view(ctx)
}

// List returns a page of the migrations that the caller sees, the newest first, and the
// cursor of the next page; empty for none.
func (s *Service) List(ctx context.Context, r Request, q sqlstore.MigrationQuery) (list []Summary, next string, err error) {
	if err := s.Aliases.Available(); err != nil {
		return nil, "", err
	}
	limit := q.Limit
	list = []Summary{}
	for {
		q.Limit = limit + 1
		rows, err := s.Store.Migrations(ctx, q)
		if err != nil {
			return nil, "", problem.StoreUnavailable(err)
		}
		for _, row := range rows {
			if len(list) == limit {
				return list, q.After, nil
			}
			q.After = row.ID
			if m, visible := s.openRow(r, row); visible {
				list = append(list, m.summary())
			}
		}
		if len(rows) < q.Limit {
			return list, "", nil
		}
	}
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
