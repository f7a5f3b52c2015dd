package migration

import (
	"context"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

// CutoverInput is the body of POST …/cutover.
type CutoverInput struct {
	// Activate says whether to activate the target; nil means as planned: if the source was
	// active.
	Activate *bool `json:"activate"`
}

// Cutover points the source's ids to the target. Before that, it transfers what was changed
// at the source since it was planned. Writes to the source wait meanwhile, and go to the
// target afterwards: a client that uses the old id loses no write, and reads nothing older
// than its own writes.
func (s *Service) Cutover(ctx context.Context, r Request, body CutoverInput) (*View, error) {
	return s.runStep(ctx, r, migrate.StepCutover, func(ctx context.Context, m *migration) error {
		release, err := s.Aliases.LockExclusive(ctx, alias.Lock{Account: m.source.Account, ID: m.row.Source}, alias.Lock{Account: m.target.Account, ID: m.row.Target})
		if err != nil {
			return err
		}
		defer release()
		if m.row.State == migrate.CutOver {
			return m.activateAfterCutover(ctx, body.Activate)
		}
		if err := m.checkNames(); err != nil {
			return err
		}
		target, err := m.syncTarget(ctx)
		if err != nil {
			return err
		}
		activate := m.doc.Activate
		if body.Activate != nil {
			activate = *body.Activate && migrate.InactiveStatus(m.target.Info) != ""
		}
		detail := "the source's ids point to " + m.row.Target
		if activate {
			if err := m.setStatus(ctx, migrate.StepCutover, target, normalize.StatusActive); err != nil {
				return err
			}
			detail = "activated; " + detail
		}
		m.row.State, m.row.ShadowPercent = migrate.CutOver, 0
		if err := m.save(ctx, migrate.StepCutover, detail, m.pointNamesToTarget); err != nil {
			return err
		}
		s.Aliases.RefreshEverywhere(ctx) // before the lock is released and waiting writes continue
		return nil
	})
}

// checkNames returns a problem if an id of the source is an alias that the migration did not
// create. It is checked before anything is sent; the store checks it again in the
// transaction.
func (m *migration) checkNames() error {
	for _, name := range m.doc.Names {
		if a, ok := m.service.Aliases.OfAgent(m.source.Account, name); ok && a.MigrationID != m.row.ID {
			return m.nameTakenProblem(name)
		}
	}
	return nil
}

// pointNamesToTarget adds aliases from the source's ids to the target.
func (m *migration) pointNamesToTarget(c *sqlstore.MigrationChange) {
	for _, name := range m.doc.Names {
		c.PutAliases = append(c.PutAliases, sqlstore.Alias{
			Owner: sqlstore.AccountOwner(m.source.Account), Name: name, Target: m.row.Target, KeyID: m.row.KeyID, MigrationID: m.row.ID,
			TargetAccount: m.target.Account, UpdatedAt: alias.Now(),
		})
	}
}

// activateAfterCutover activates the target if the cutover did not.
func (m *migration) activateAfterCutover(ctx context.Context, activate *bool) error {
	if activate == nil || !*activate || migrate.InactiveStatus(m.target.Info) == "" {
		return nil
	}
	target, err := m.readTarget(ctx)
	if err != nil {
		return err
	}
	if now := target.Agent.Status; now != nil && *now == normalize.StatusActive {
		return nil
	}
	if err := m.setStatus(ctx, migrate.StepCutover, target, normalize.StatusActive); err != nil {
		return err
	}
	return m.save(ctx, migrate.StepCutover, "activated")
}

// syncTarget transfers changes of the source since it was planned to the target, with the
// options of the plan, and returns the target. It is an error if the target differs from the
// plan.
func (m *migration) syncTarget(ctx context.Context) (*catalog.Detail, error) {
	source, err := m.readSource(ctx)
	if err != nil {
		return nil, err
	}
	target, err := m.readTarget(ctx)
	if err != nil {
		return nil, err
	}
	if p := m.doc.Pending; p != nil { // an earlier cutover sent it; it may have been applied
		m.doc.Pending = nil
		if !m.targetUnchanged(target) && len(migrate.Differences(migrate.Compare(p.Change.change(), target.Agent, m.target.Info))) == 0 {
			m.usePlan(*p, target.ETag())
		}
	}
	if source.ETag() != m.doc.SourceETag {
		if target, err = m.transferChanges(ctx, source, target); err != nil {
			return nil, err
		}
	}
	if different := m.differences(migrate.Compare(m.doc.Change.change(), target.Agent, m.target.Info)); len(different) > 0 {
		return nil, problem.New(problem.CodeTargetDiverged, "%s differs from the plan in %s; verify it, and accept the differences or roll back", m.row.Target, strings.Join(different, ", "))
	}
	return target, nil
}

// transferChanges plans the source again, and sends the target what differs from the old plan.
func (m *migration) transferChanges(ctx context.Context, source, target *catalog.Detail) (*catalog.Detail, error) {
	plan, violations := migrate.Make(source.Agent, m.source.Info, m.target.Info, m.doc.Options)
	if len(violations) > 0 || plan.State() != migrate.Ready {
		return nil, problem.New(problem.CodePlanStale, "%s has changed since it was planned, and the options no longer fit; roll back, and plan again", m.row.Source)
	}
	if p := lossesProblem(plan.Losses(), m.doc.Accepted); p != nil {
		stale := problem.New(problem.CodePlanStale, "%s has changed since it was planned, and would lose more than was accepted; roll back, and plan again", m.row.Source)
		stale.Errors = p.Errors
		return nil, stale
	}
	delta, removed := migrate.Delta(m.doc.Change.change(), plan.Change)
	if violations, verdicts := m.target.Info.CheckUpdate(delta, false); len(violations) > 0 || anyNotWritable(verdicts) || len(removed) > 0 {
		return nil, problem.New(problem.CodePlanStale, "%s has changed since it was planned, and %s cannot update an existing agent in that way; roll back, and plan again", m.row.Source, m.target.Info.Title)
	}
	next := pendingPlan{SourceETag: source.ETag(), Findings: plan.Findings, Change: newStoredChange(plan.Change), Activate: plan.Activate}
	etag := m.doc.TargetETag
	if !delta.Empty() {
		if !m.targetUnchanged(target) {
			return nil, problem.New(problem.CodeTargetDiverged, "%s was changed by somebody else since it was applied; the changes of the source are not written over that", m.row.Target)
		}
		m.doc.Pending = &next
		if err := m.save(ctx, migrate.StepCutover, "sending changes of the source to the target"); err != nil {
			return nil, err
		}
		if _, err := m.target.Endpoint(ctx, backend.Call{Op: adapters.OpUpdate, Credential: m.target.Credential, NativeID: m.targetID().Native, Change: delta}); err != nil {
			return nil, problem.FromBackend(m.target.Name, adapters.OpUpdate, err)
		}
		var err error
		if target, err = m.readTarget(ctx); err != nil {
			return nil, err
		}
		etag = target.ETag()
	}
	m.usePlan(next, etag)
	m.doc.Pending = nil
	return target, m.save(ctx, migrate.StepCutover, "transferred changes of the source")
}

// usePlan replaces the migration's plan by one that the target matches now, and its entity tag.
func (m *migration) usePlan(p pendingPlan, targetETag string) {
	m.doc.Findings, m.doc.Change, m.doc.Activate, m.doc.SourceETag, m.doc.TargetETag = p.Findings, p.Change, p.Activate, p.SourceETag, targetETag
}

// anyNotWritable reports whether an update would be refused for any field.
func anyNotWritable(verdicts map[normalize.Field]adapters.Verdict) bool {
	for _, v := range verdicts {
		if v != adapters.Writable {
			return true
		}
	}
	return false
}

// setStatus sets the target's status. If nobody else had changed the target, its new entity
// tag is stored.
func (m *migration) setStatus(ctx context.Context, step migrate.Step, target *catalog.Detail, status string) error {
	unchanged := m.targetUnchanged(target)
	finish := func(now *catalog.Detail) {
		if m.doc.StatusSent, m.doc.StatusBefore = "", nil; unchanged {
			m.doc.TargetETag = now.ETag()
		}
	}
	if now := target.Agent.Status; now != nil && *now == status {
		finish(target)
		return nil
	}
	if m.doc.StatusSent == "" { // else StatusBefore is that of the interrupted call
		m.doc.StatusBefore = target.Agent.Status
	}
	m.doc.StatusSent = status
	during := []func(*sqlstore.MigrationChange){}
	if step == migrate.StepApply {
		during = append(during, creating)
	}
	if err := m.save(ctx, step, "setting the target's status to "+status, during...); err != nil {
		return err
	}
	change := normalize.Change{Set: map[normalize.Field]jsontext.Value{normalize.FieldStatus: agents.MustMarshal(status)}}
	if _, err := m.target.Endpoint(ctx, backend.Call{Op: adapters.OpUpdate, Credential: m.target.Credential, NativeID: m.targetID().Native, Change: change}); err != nil {
		return problem.FromBackend(m.target.Name, adapters.OpUpdate, err)
	}
	if after, err := m.readTarget(ctx); err == nil {
		finish(after)
	}
	return nil
}
