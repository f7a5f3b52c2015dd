// Package migration moves agents between backends in steps: plan, apply, verify, shadow,
// cutover, rollback. Package gateway/migration/plan decides what becomes of each field.
//
// It may not know HTTP. Begin with [Service.Plan]; each step has a file.
package migration

import (
	"context"
	"errors"
	"fmt"
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

// Service moves agents between backends. It is safe for concurrent use; the steps of one
// migration run one at a time, on all instances.
type Service struct {
	Options
	shadows *shadowReader
}

// Options are the dependencies of a Service.
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

// New returns a Service. Close it to end the shadow reads.
func New(o Options) *Service {
	s := &Service{Options: o}
	s.shadows = newShadowReader(s)
	return s
}

// Close cancels the shadow reads and waits for those that are running.
func (s *Service) Close() { s.shadows.close() }

// Request identifies the caller of a step and the migration.
type Request struct {
	Caller    *auth.Caller
	ID        string // of the migration; empty for a plan
	RequestID string
}

// migration is a migration during one request.
type migration struct {
	service        *Service
	request        Request
	row            sqlstore.Migration
	doc            document
	source, target auth.CallerBackend
	warnings       []problem.Warning
	undecryptable  bool // doc is empty: it was encrypted with another key
}

func (m *migration) sourceID() normalize.ID { return alias.ParseStoredID(m.row.Source) }

func (m *migration) targetID() normalize.ID { return alias.ParseStoredID(m.row.Target) }

// stepLockTimeout is how long a step waits for another step of the same migration.
const stepLockTimeout = time.Second

// runStep runs a step of a migration under the migration's lock, if the migration's state
// allows the step, and returns the resulting view.
func (s *Service) runStep(ctx context.Context, r Request, step migrate.Step, work func(context.Context, *migration) error) (*View, error) {
	result := "error"
	defer func() { s.Telemetry.CountMigrationStep(string(step), result) }()
	if err := s.Aliases.Available(); err != nil {
		return nil, err
	}
	lockCtx, cancel := context.WithTimeout(ctx, stepLockTimeout)
	release, err := s.Store.Lock(lockCtx, "migration "+r.ID, true)
	cancel()
	if err != nil && errors.Is(err, sqlstore.ErrUnavailable) {
		return nil, problem.StoreUnavailable(err)
	} else if err != nil {
		return nil, stepRunningProblem(normalize.Shorten(r.ID))
	}
	defer release()
	m, err := s.find(ctx, r)
	if err != nil {
		return nil, err
	}
	if m.undecryptable {
		return nil, problem.New(problem.CodeMigrationState, "migration %s was encrypted with another store.encryption_key; start the gateway with that key", m.row.ID)
	}
	if plan := m.doc.plan(); step == migrate.StepApply && (m.row.State == migrate.MissingInput || m.row.State == migrate.Blocked) {
		return nil, blockedProblem(plan)
	}
	if !migrate.Allowed(step, m.row.State) {
		return nil, problem.New(problem.CodeMigrationState, "migration %s is in state %s, which does not allow %s; allowed: %s", m.row.ID, m.row.State, step, stepsText(migrate.Next(m.row.State)))
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
		return "none"
	}
	var names []string
	for _, s := range steps {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// find returns the migration with the request's id. It is the same problem if there is none
// and if the caller cannot see it.
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
	return nil, problem.New(problem.CodeMigrationNotFound, "no migration with this id moves agents that the key can see")
}

// openRow decrypts a migration's document. visible is false if the caller cannot see the
// migration. A key can see it if it maps to both backends, and either planned it, or has the
// credentials that it was planned with, or those that the planning key has now.
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

// save writes the migration and an entry of its audit log in one transaction, which the
// changes can add to. It ignores the cancellation of ctx: what was done must be recorded.
func (m *migration) save(ctx context.Context, step migrate.Step, detail string, changes ...func(*sqlstore.MigrationChange)) error {
	encoded, err := json.Marshal(m.doc)
	if err != nil {
		return err
	}
	m.row.Document = m.service.Cipher.Seal(m.row.ID, encoded)
	m.row.UpdatedAt = alias.Now()
	entry := sqlstore.AuditEntry{At: alias.Now(), KeyID: m.request.Caller.KeyID, RequestID: m.request.RequestID, Step: string(step), Detail: detail}
	write := sqlstore.MigrationChange{Migration: m.row, Audit: entry}
	for _, change := range changes {
		change(&write)
	}
	written, err := m.service.Store.WriteMigration(context.WithoutCancel(ctx), write)
	if errors.Is(err, sqlstore.ErrVersionMismatch) {
		return m.nameTakenProblem(m.row.Source)
	}
	if errors.Is(err, sqlstore.ErrConflict) {
		return stepRunningProblem(m.row.ID)
	}
	if p := limitProblem(err); p != nil {
		return p
	}
	if err != nil {
		return problem.StoreUnavailable(err)
	}
	m.row = written
	return nil
}

// creating has the audit log show "creating" for an entry that is saved while a create request
// is on its way. The stored state is outcome_unknown meanwhile: it holds if the process ends.
func creating(c *sqlstore.MigrationChange) { c.Audit.State = migrate.Creating }

// limitProblem returns the problem of what the store does not keep for one key; nil if it is none.
func limitProblem(err error) *problem.Problem {
	switch {
	case errors.Is(err, sqlstore.ErrTooMany):
		return problem.New(problem.CodeValidationFailed, "this key has reached a limit of the store: %d migrations, 1 GiB of their documents, or 1,000 steps of one migration that change nothing; ask the operator to remove old migrations", sqlstore.MaxMigrationsPerKey)
	case errors.Is(err, sqlstore.ErrTooLarge):
		return problem.New(problem.CodeValidationFailed, "the migration is larger than %d bytes with the agents that it keeps", sqlstore.MaxDocumentBytes)
	}
	return nil
}

// checkAccept returns a problem if a list of names to accept is longer than any migration needs.
func checkAccept(names []string) error {
	for i, name := range names {
		if i >= maxAccept || len(name) > maxAcceptBytes {
			return problem.InvalidField(fmt.Sprintf("/accept/%d", i), normalize.TooLong, fmt.Sprintf("at most %d names of %d bytes each can be accepted", maxAccept, maxAcceptBytes))
		}
	}
	return nil
}

const (
	maxAccept      = 200
	maxAcceptBytes = 256
)

// nameTakenProblem returns the problem of an id of the source that is an alias already.
func (m *migration) nameTakenProblem(name string) *problem.Problem {
	return problem.New(problem.CodeAliasConflict, "%s, an id of the source, is already an alias that this migration did not create; see GET /v1/aliases/%s", name, name)
}

// stepRunningProblem returns the problem of a step while another step is running.
func stepRunningProblem(id string) *problem.Problem {
	p := problem.New(problem.CodeMigrationState, "another step of migration %s is running; read the migration when it is done", id)
	p.RetryAfter = time.Second
	return p
}

// readSource reads the source agent from its backend, not from the cache.
func (m *migration) readSource(ctx context.Context) (*catalog.Detail, error) {
	detail, err := m.service.Agents.ReadFresh(ctx, m.source, m.sourceID().Native)
	if err != nil && problem.Of(err).Code == problem.CodeAgentNotFound {
		return nil, problem.New(problem.CodePlanStale, "the source %s no longer exists", m.row.Source)
	}
	return detail, err
}

// readTarget reads the target agent from its backend, not from the cache.
func (m *migration) readTarget(ctx context.Context) (*catalog.Detail, error) {
	detail, err := m.service.Agents.ReadFresh(ctx, m.target, m.targetID().Native)
	if err != nil && problem.Of(err).Code == problem.CodeAgentNotFound {
		return nil, problem.New(problem.CodeTargetDiverged, "the target %s no longer exists; roll back, and plan again", m.row.Target)
	}
	return detail, err
}
