package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/oklog/ulid/v2"

	"github.com/agentgw/agentgw/adapters"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

// migrationDocument is what a migration keeps beside its row. It holds prompts, so it is
// sealed.
type migrationDocument struct {
	Options  migrate.Options   `json:"options"`
	ETag     string            `json:"etag"` // of the source, when it was planned
	Findings []migrate.Finding `json:"findings"`
	Change   changeRecord      `json:"change"`
	Activate bool              `json:"activate"`
	// Names are the ids by which the source is found: its own, and alternate ones.
	Names []string `json:"names"`
	// Before is the source as it was when the target was made.
	Before   jsontext.Value `json:"before,omitzero"`
	Accepted []string       `json:"accepted,omitzero"`
	// Left is the target's entity tag as it was left; empty if that was not seen.
	Left string `json:"left,omitzero"`
	// Pending is what the target is just being sent, so that it is known for ours if the
	// process ends before that is written down; and so is a status, with the one before it.
	Pending      *pendingPlan `json:"pending,omitzero"`
	StatusSent   string       `json:"status_sent,omitzero"`
	StatusBefore *string      `json:"status_before,omitzero"`
	// Differing are fields whose difference was accepted: "mismatch:/name".
	Differing    []string      `json:"differing,omitzero"`
	Verification *verification `json:"verification,omitzero"`
}

// pendingPlan is a plan that takes the place of the one before it once the target has it.
type pendingPlan struct {
	ETag     string            `json:"etag"`
	Findings []migrate.Finding `json:"findings"`
	Change   changeRecord      `json:"change"`
	Activate bool              `json:"activate"`
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

// changeRecord is a change as it is kept.
type changeRecord struct {
	Set        map[string]jsontext.Value `json:"set"`
	Extensions map[string]jsontext.Value `json:"extensions"`
}

func recordOf(c normalize.Change) changeRecord {
	r := changeRecord{Set: map[string]jsontext.Value{}, Extensions: c.Extensions}
	for f, v := range c.Set {
		r.Set[f.Name()] = v
	}
	return r
}

func (r changeRecord) change() normalize.Change {
	c := normalize.Change{Set: map[normalize.Field]jsontext.Value{}, Extensions: r.Extensions}
	for name, v := range r.Set {
		if f, ok := normalize.FieldByName(name); ok {
			c.Set[f] = v
		}
	}
	return c
}

func (d migrationDocument) plan() migrate.Plan {
	return migrate.Plan{Findings: d.Findings, Change: d.Change.change(), Activate: d.Activate}
}

// migration is one that a step is done with.
type migration struct {
	gateway        *Gateway
	request        *request
	row            sqlstore.Migration
	doc            migrationDocument
	source, target CallerBackend
	warnings       []Warning
	sealed         bool // its document cannot be opened
}

// sourceID and targetID are the agents'.
func (m *migration) sourceID() normalize.ID { return mustID(m.row.Source) }
func (m *migration) targetID() normalize.ID { return mustID(m.row.Target) }

// mustID reads an id that was written by us.
func mustID(text string) normalize.ID {
	id, err := normalize.ParseID(text)
	if err != nil {
		return normalize.ID{}
	}
	return id
}

// save writes what a step came to, with a line of the trail, even if the caller's time is
// up. change may say more that is written with it.
func (m *migration) save(ctx context.Context, step migrate.Step, detail string, change ...func(*sqlstore.MigrationChange)) error {
	encoded, err := json.Marshal(m.doc)
	if err != nil {
		return err
	}
	m.row.Document = m.gateway.vault.seal(m.row.ID, encoded)
	m.row.UpdatedAt = now()
	by := m.request.audit()
	by.Step, by.Detail = string(step), detail
	write := sqlstore.MigrationChange{Migration: m.row, Audit: by}
	for _, more := range change {
		more(&write)
	}
	written, err := m.gateway.store.WriteMigration(context.WithoutCancel(ctx), write)
	if errors.Is(err, sqlstore.ErrVersionMismatch) {
		return m.notFree(m.row.Source)
	}
	if errors.Is(err, sqlstore.ErrConflict) {
		return m.gateway.busy(m.row)
	}
	if err != nil {
		return storeProblem(err)
	}
	m.row = written
	return nil
}

// busy is the problem of two who do something with a migration at once.
func (g *Gateway) busy(row sqlstore.Migration) *Problem {
	p := newProblem(CodeMigrationState, "another step of migration %s is running; read it, and go on from there", row.ID)
	p.RetryAfter = time.Second
	return p
}

// stepPatience is how long a step waits for another one of the same migration.
const stepPatience = time.Second

// do does a step of the migration that the path names, alone.
func (g *Gateway) do(r *request, step migrate.Step, work func(context.Context, *migration) error) (*response, error) {
	result := "error"
	defer func() { g.telemetry.CountMigrationStep(string(step), result) }()
	if err := g.needsStore(); err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(r.ctx, stepPatience)
	release, err := g.store.Lock(waiting, "migration "+r.id, true)
	cancel()
	if err != nil && errors.Is(err, sqlstore.ErrUnavailable) {
		return nil, storeProblem(err)
	} else if err != nil {
		return nil, g.busy(sqlstore.Migration{ID: normalize.Shorten(r.id)})
	}
	defer release()
	m, err := g.migration(r)
	if err != nil {
		return nil, err
	}
	if m.sealed {
		return nil, newProblem(CodeMigrationState, "what migration %s keeps of its agents was sealed with another store.encryption_key; start the gateway with that one", m.row.ID)
	}
	if plan := m.doc.plan(); step == migrate.StepApply && (m.row.State == migrate.MissingInput || m.row.State == migrate.Blocked) {
		return nil, stuck(plan)
	}
	if !migrate.Allowed(step, m.row.State) {
		return nil, newProblem(CodeMigrationState, "migration %s is %s: it cannot be given %s now; what can follow is %s", m.row.ID, m.row.State, step, stepsText(migrate.Next(m.row.State)))
	}
	if err := work(r.ctx, m); err != nil {
		return nil, err
	}
	result = "ok"
	g.rerouted(r.ctx)
	return m.answer(200)
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

// migration reads the one that the path names, if the caller sees it.
func (g *Gateway) migration(r *request) (*migration, error) {
	row, found, err := g.store.Migration(r.ctx, r.id)
	if err != nil {
		return nil, storeProblem(err)
	}
	if found {
		if m, ok := g.open(r, row); ok {
			return m, nil
		}
	}
	return nil, newProblem(CodeMigrationNotFound, "no migration of this id is of agents that the key can see")
}

// open reads a migration's document; false if the caller may not see it: the key maps to
// both backends, and is the one that planned it, or has the credentials that it was
// planned with, or those that the planner has now.
func (g *Gateway) open(r *request, row sqlstore.Migration) (m *migration, visible bool) {
	m = &migration{gateway: g, request: r, row: row}
	ok := false
	if m.source, ok = r.caller.Backend(m.sourceID().Backend); !ok {
		return nil, false
	}
	if m.target, ok = r.caller.Backend(row.TargetBackend); !ok {
		return nil, false
	}
	same := m.source.account == row.SourceCredential && m.target.account == row.TargetCredential
	if planner := g.state.Load().keys.byID[row.KeyID]; planner != nil && !same {
		s, hasSource := planner.Backend(m.source.Name)
		t, hasTarget := planner.Backend(m.target.Name)
		same = hasSource && hasTarget && s.Credential.ID() == m.source.Credential.ID() && t.Credential.ID() == m.target.Credential.ID()
	}
	if !same && row.KeyID != r.caller.KeyID {
		return nil, false
	}
	document, err := g.vault.open(row.ID, row.Document)
	if err == nil {
		err = json.Unmarshal(document, &m.doc)
	}
	m.sealed = err != nil
	return m, true
}

// planBody is the body of POST /v1/migrations.
type planBody struct {
	Source        string `json:"source"`
	TargetBackend string `json:"target_backend"`
	migrate.Options
}

// handlePlanMigration plans: it writes to no backend. A plan of the same agent to the same
// backend that nothing came of is replaced.
func (g *Gateway) handlePlanMigration(r *request) (answer *response, err error) {
	result := "error"
	defer func() { g.telemetry.CountMigrationStep(string(migrate.StepPlan), result) }()
	var body planBody
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	if err := g.needsStore(); err != nil {
		return nil, err
	}
	m, err := g.planned(r, body)
	if err != nil {
		return nil, err
	}
	release, err := g.store.Lock(r.ctx, "plan "+m.row.Source+" "+m.row.TargetBackend, true)
	if err != nil {
		return nil, storeProblem(err)
	}
	defer release()
	status := 201
	known, err := g.store.Migrations(r.ctx, sqlstore.MigrationQuery{Source: m.row.Source, TargetBackend: m.row.TargetBackend})
	if err != nil {
		return nil, storeProblem(err)
	}
	for _, row := range known {
		_, visible := g.open(r, row)
		switch {
		case !visible: // another account's
		case migrate.MayHaveTarget(row.State):
			return nil, newProblem(CodeMigrationState, "migration %s of %s to %s is %s already; go on with it, or roll it back first", row.ID, row.Source, row.TargetBackend, row.State)
		case status == 201 && migrate.Allowed(migrate.StepPlan, row.State):
			m.row.ID, m.row.Version, m.row.CreatedAt, status = row.ID, row.Version, row.CreatedAt, 200
		}
	}
	m.row.PlanHash = m.hash()
	if err := m.save(r.ctx, migrate.StepPlan, "plan "+m.row.PlanHash); err != nil {
		return nil, err
	}
	result = "ok"
	if answer, err = m.answer(status); err == nil && status == 201 {
		answer.header("Location", "/v1/migrations/"+m.row.ID)
	}
	return answer, err
}

// planned reads the source and makes the plan.
func (g *Gateway) planned(r *request, body planBody) (*migration, error) {
	if body.Source == "" || body.TargetBackend == "" {
		return nil, invalidMember("/source", normalize.Required, "name the agent as source, and the backend as target_backend")
	}
	from, err := g.lead(r.caller, body.Source, true)
	if err != nil {
		return nil, err
	}
	if _, err := normalize.ParseID(body.Source); err != nil {
		return nil, invalidMember("/source", normalize.InvalidValue, "name the agent by its own id")
	}
	m := &migration{gateway: g, request: r, source: from.backend}
	var ok bool
	if m.target, ok = r.caller.Backend(body.TargetBackend); !ok {
		return nil, unknownBackend(r.caller, body.TargetBackend)
	}
	if err := m.target.can(adapters.OpCreate); err != nil {
		return nil, err
	}
	if m.target.Name == m.source.Name {
		return nil, invalidMember("/target_backend", normalize.InvalidValue, "the agent is there already")
	}
	detail, err := g.freshly(r.ctx, m.source, from.native)
	if err != nil {
		return nil, err
	}
	if a, ok := g.routing.Load().aliases[detail.Agent.ID]; ok && g.concerns(r.caller, a) {
		where := "elsewhere"
		if g.sees(r.caller, a) {
			where = "to " + a.Target
		}
		return nil, newProblem(CodeMigrationState, "%s was moved already: it leads %s", detail.Agent.ID, where)
	}
	plan, violations := migrate.Make(detail.Agent, m.source.Info, m.target.Info, body.Options)
	if len(violations) > 0 {
		return nil, validationProblem(m.target.Name, violations)
	}
	m.row = sqlstore.Migration{
		ID: "mig_" + strings.ToLower(ulid.Make().String()), State: plan.State(), Source: detail.Agent.ID, TargetBackend: m.target.Name,
		KeyID: r.caller.KeyID, SourceCredential: m.source.account, TargetCredential: m.target.account, CreatedAt: now(),
	}
	m.doc = migrationDocument{Options: body.Options, ETag: detail.ETag(), Names: append([]string{detail.Agent.ID}, detail.Agent.AlternateIDs...)}
	m.take(plan)
	return m, nil
}

// take has a plan be the migration's.
func (m *migration) take(p migrate.Plan) {
	m.doc.Findings, m.doc.Change, m.doc.Activate = p.Findings, recordOf(p.Change), p.Activate
}

// hash tells a plan from every other one.
func (m *migration) hash() string {
	whole, err := json.Marshal([]any{m.row.Source, m.row.TargetBackend, m.doc.ETag, m.doc.Options, m.doc.Findings, m.doc.Change, m.doc.Activate}, json.Deterministic(true))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(whole)
	return hex.EncodeToString(sum[:16])
}

func (g *Gateway) handleMigration(r *request) (*response, error) {
	if err := g.needsStore(); err != nil {
		return nil, err
	}
	m, err := g.migration(r)
	if err != nil {
		return nil, err
	}
	return m.answer(200)
}

// migrationID is what a migration is called; a page's cursor is the last one's.
var migrationID = regexp.MustCompile(`^mig_[0-9a-z]{26}$`)

// handleMigrations lists them, the newest first.
func (g *Gateway) handleMigrations(r *request) (*response, error) {
	if err := g.needsStore(); err != nil {
		return nil, err
	}
	q := sqlstore.MigrationQuery{Source: r.query["source"], SourceBackend: r.query["source_backend"], TargetBackend: r.query["target_backend"], After: r.query["cursor"]}
	if _, err := normalize.ParseID(q.Source); q.Source != "" && err != nil {
		return nil, newProblem(CodeInvalidParameter, "source=%q is no agent's id", normalize.Shorten(q.Source))
	}
	for name, backend := range map[string]string{"source_backend": q.SourceBackend, "target_backend": q.TargetBackend} {
		if _, ok := r.caller.Backend(backend); backend != "" && !ok {
			p := unknownBackend(r.caller, backend)
			p.Detail = name + ": " + p.Detail
			return nil, p
		}
	}
	if q.After != "" && !migrationID.MatchString(q.After) {
		return nil, newProblem(CodeCursorInvalid, "cursor is not one that this gateway gave")
	}
	var err error
	if q.States, err = r.values("state"); err != nil {
		return nil, err
	}
	for _, state := range q.States {
		if !slices.Contains(migrate.States(), state) {
			return nil, newProblem(CodeInvalidParameter, "state=%q is not one of %s", normalize.Shorten(state), strings.Join(migrate.States(), ", "))
		}
	}
	limit, err := r.limit()
	if err != nil {
		return nil, err
	}
	list := struct {
		Object     string             `json:"object"`
		Data       []migrationSummary `json:"data"`
		NextCursor *string            `json:"next_cursor"`
	}{Object: "list", Data: []migrationSummary{}}
	for more := true; more && len(list.Data) < limit; {
		q.Limit = limit + 1
		rows, err := g.store.Migrations(r.ctx, q)
		if err != nil {
			return nil, storeProblem(err)
		}
		more = len(rows) == q.Limit
		for _, row := range rows {
			if len(list.Data) == limit {
				more = true
				break
			}
			q.After = row.ID
			if m, visible := g.open(r, row); visible {
				list.Data = append(list.Data, m.summary())
			}
		}
		if more && len(list.Data) == limit {
			list.NextCursor = &q.After
		}
	}
	return jsonResponse(list)
}

func lossesProblem(losses []migrate.Finding, accepted []string) *Problem {
	var missing []normalize.Violation
	for _, f := range losses {
		if !slices.Contains(accepted, f.Loss()) {
			missing = append(missing, normalize.Violation{Pointer: f.Path, Code: normalize.Unsupported, Message: fmt.Sprintf("%s; accept %q, or give it a place", f.Message, f.Loss())})
		}
	}
	if len(missing) == 0 {
		return nil
	}
	p := newProblem(CodeLossNotAccepted, "%d of what the agent has would be lost and is not accepted", len(missing))
	p.Errors = missing
	return p
}

// stuck is the problem of a plan that is not ready.
func stuck(p migrate.Plan) *Problem {
	problem := newProblem(CodeMigrationBlocked, "the plan is %s", p.State())
	for _, f := range p.Findings {
		if f.Severity == migrate.Blocking {
			problem.Errors = append(problem.Errors, normalize.Violation{Pointer: f.Path, Code: normalize.Required, Message: f.Message})
		}
	}
	return problem
}
