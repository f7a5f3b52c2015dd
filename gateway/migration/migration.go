// Package migration moves agents between backends in steps: plan, apply, verify, shadow,
// cutover, rollback. What becomes of each field is decided in gateway/migration/plan.
//
// It may not know HTTP. Begin with [Service.Plan]; each step is a file.
package migration

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/catalog"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

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

func (m *migration) nameTakenProblem(name string) *problem.Problem {
	return problem.New(problem.CodeAliasConflict, "an alias that the migration did not make has one of the source's ids; look at /v1/aliases/%s", name)
}

// stepRunningProblem is the problem of two who do something with a migration at once.
func stepRunningProblem(row sqlstore.Migration) *problem.Problem {
	p := problem.New(problem.CodeMigrationState, "another step of migration %s is running; read it, and go on from there", row.ID)
	p.RetryAfter = time.Second
	return p
}

func (m *migration) readSource(ctx context.Context) (*catalog.Detail, error) {
	detail, err := m.service.Agents.ReadFresh(ctx, m.source, m.sourceID().Native)
	if err != nil && problem.Of(err).Code == problem.CodeAgentNotFound {
		return nil, problem.New(problem.CodePlanStale, "the source %s is no longer there", m.row.Source)
	}
	return detail, err
}

func (m *migration) readTarget(ctx context.Context) (*catalog.Detail, error) {
	detail, err := m.service.Agents.ReadFresh(ctx, m.target, m.targetID().Native)
	if err != nil && problem.Of(err).Code == problem.CodeAgentNotFound {
		return nil, problem.New(problem.CodeTargetDiverged, "the target %s is no longer there; roll back, and plan again", m.row.Target)
	}
	return detail, err
}
