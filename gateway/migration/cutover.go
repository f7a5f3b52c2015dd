package migration

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

// CutoverInput is the body of POST …/cutover.
type CutoverInput struct {
	// Activate: whether the target is activated; left out, if the source is at work.
	Activate *bool `json:"activate"`
}

// Cutover leads the source's ids to the target. While it does, writes to
// the source wait, and go to the target then; what was changed at the source since it was
// planned is taken over first. So a caller who reads and writes by the old id loses
// nothing, and sees nothing that is older than what it wrote.
func (s *Service) Cutover(ctx context.Context, r Request, body CutoverInput) (*View, error) {
	return s.runStep(ctx, r, migrate.StepCutover, func(ctx context.Context, m *migration) error {
		release, err := s.Aliases.LockExclusive(ctx, m.row.Source, m.row.Target)
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
			activate = *body.Activate && m.target.Info.CreatesInactive
		}
		detail := "the source's ids lead to " + m.row.Target
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
		s.Aliases.RefreshEverywhere(ctx) // before writes that waited go on
		return nil
	})
}

// checkNames reports an alias that the migration did not make of one of the source's ids,
// before anything is done; what is written holds it against the store once more.
func (m *migration) checkNames() error {
	for _, name := range m.doc.Names {
		if a, ok := m.service.Aliases.Lookup(name); ok && a.MigrationID != m.row.ID {
			return m.nameTakenProblem(name)
		}
	}
	return nil
}

func (m *migration) nameTakenProblem(name string) *problem.Problem {
	return problem.New(problem.CodeAliasConflict, "an alias that the migration did not make has one of the source's ids; look at /v1/aliases/%s", name)
}

// activateAfterCutover does what a cutover left: it was told not to activate the target.
func (m *migration) activateAfterCutover(ctx context.Context, activate *bool) error {
	if activate == nil || !*activate || !m.target.Info.CreatesInactive {
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

// syncTarget has the target be as the source is now, with the same options, if nobody
// else changed the target. It gives the target.
func (m *migration) syncTarget(ctx context.Context) (*catalog.Detail, error) {
	source, err := m.readSource(ctx)
	if err != nil {
		return nil, err
	}
	target, err := m.readTarget(ctx)
	if err != nil {
		return nil, err
	}
	if p := m.doc.Pending; p != nil { // it was sent by a cutover before this one: was it done?
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
		return nil, problem.New(problem.CodeTargetDiverged, "%s is not as it was planned: %s", m.row.Target, strings.Join(different, ", "))
	}
	return target, nil
}

// usePlan has a plan be the migration's that the target has by now.
func (m *migration) usePlan(p pendingPlan, left string) {
	m.doc.Findings, m.doc.Change, m.doc.Activate, m.doc.SourceETag, m.doc.TargetETag = p.Findings, p.Change, p.Activate, p.SourceETag, left
}

// transferChanges sends the target what was changed at the source since it was planned.
func (m *migration) transferChanges(ctx context.Context, source, target *catalog.Detail) (*catalog.Detail, error) {
	plan, violations := migrate.Make(source.Agent, m.source.Info, m.target.Info, m.doc.Options)
	if len(violations) > 0 || plan.State() != migrate.Ready {
		return nil, problem.New(problem.CodePlanStale, "%s was changed since it was planned, so that it can no longer be moved as it was; roll back, and plan again", m.row.Source)
	}
	if p := lossesProblem(plan.Losses(), m.doc.Accepted); p != nil {
		stale := problem.New(problem.CodePlanStale, "%s was changed since it was planned: more would be lost than was accepted; roll back, and plan again", m.row.Source)
		stale.Errors = p.Errors
		return nil, stale
	}
	delta, gone := migrate.Delta(m.doc.Change.change(), plan.Change)
	if violations, verdicts := m.target.Info.CheckUpdate(delta, false); len(violations) > 0 || anyNotWritable(verdicts) || len(gone) > 0 {
		return nil, problem.New(problem.CodePlanStale, "%s was changed since it was planned, in a way that %s cannot be told of an agent that there is; roll back, and plan again", m.row.Source, m.target.Info.Title)
	}
	next := pendingPlan{SourceETag: source.ETag(), Findings: plan.Findings, Change: newStoredChange(plan.Change), Activate: plan.Activate}
	left := m.doc.TargetETag
	if !delta.Empty() {
		if !m.targetUnchanged(target) {
			return nil, problem.New(problem.CodeTargetDiverged, "%s was changed since it was left: what was changed at the source meanwhile is not written over it", m.row.Target)
		}
		m.doc.Pending = &next
		if err := m.save(ctx, migrate.StepCutover, "what was changed at the source since it was planned is sent to the target"); err != nil {
			return nil, err
		}
		if _, err := m.target.Endpoint(ctx, backend.Call{Op: adapters.OpUpdate, Credential: m.target.Credential, NativeID: m.targetID().Native, Change: delta}); err != nil {
			return nil, problem.FromBackend(m.target.Name, adapters.OpUpdate, err)
		}
		var err error
		if target, err = m.readTarget(ctx); err != nil {
			return nil, err
		}
		left = target.ETag()
	}
	m.usePlan(next, left)
	m.doc.Pending = nil
	return target, m.save(ctx, migrate.StepCutover, "what was changed at the source since it was planned was taken over")
}

func anyNotWritable(verdicts map[normalize.Field]adapters.Verdict) bool {
	for _, v := range verdicts {
		if v != adapters.Writable {
			return true
		}
	}
	return false
}

// setStatus gives the target a status. If the target was as we left it, it is so after
// that, too.
func (m *migration) setStatus(ctx context.Context, step migrate.Step, target *catalog.Detail, status string) error {
	ours := m.targetUnchanged(target)
	settle := func(now *catalog.Detail) {
		if m.doc.StatusSent, m.doc.StatusBefore = "", nil; ours {
			m.doc.TargetETag = now.ETag()
		}
	}
	if now := target.Agent.Status; now != nil && *now == status {
		settle(target)
		return nil
	}
	if m.doc.StatusSent == "" { // else the one before it is that of the target as it was left
		m.doc.StatusBefore = target.Agent.Status
	}
	m.doc.StatusSent = status
	if err := m.save(ctx, step, "the target is sent the status "+status); err != nil {
		return err
	}
	change := normalize.Change{Set: map[normalize.Field]jsontext.Value{normalize.FieldStatus: agents.MustMarshal(status)}}
	if _, err := m.target.Endpoint(ctx, backend.Call{Op: adapters.OpUpdate, Credential: m.target.Credential, NativeID: m.targetID().Native, Change: change}); err != nil {
		return problem.FromBackend(m.target.Name, adapters.OpUpdate, err)
	}
	if after, err := m.readTarget(ctx); err == nil {
		settle(after)
	}
	return nil
}

// RollbackInput is the body of POST …/rollback.
type RollbackInput struct {
	DeleteTarget bool `json:"delete_target"`
	// Abandon gives up a migration of which nobody can find out any more whether it made a
	// target.
	Abandon bool `json:"abandon"`
}

// Rollback leads the source's ids back to it, and has the target rest, or
// be deleted if nobody changed it. It can be sent again until all of that is done.
func (s *Service) Rollback(ctx context.Context, r Request, body RollbackInput) (*View, error) {
	return s.runStep(ctx, r, migrate.StepRollback, func(ctx context.Context, m *migration) error {
		if err := m.findCreatedTarget(ctx, body.Abandon); err != nil {
			return err
		}
		release, err := s.Aliases.LockExclusive(ctx, m.row.Source, m.row.Target)
		if err != nil {
			return err
		}
		defer release()
		if m.row.State == migrate.CutOver {
			if err := m.checkSourceUsable(ctx); err != nil {
				return err
			}
		}
		return m.rollback(ctx, body.DeleteTarget)
	})
}

// checkSourceUsable reports why ids cannot lead back to the source.
func (m *migration) checkSourceUsable(ctx context.Context) error {
	if err := m.service.Aliases.Sync(ctx); err != nil {
		return err
	}
	if on, moved := m.service.Aliases.Lookup(m.row.Target); moved {
		return problem.New(problem.CodeMigrationState, "%s was moved on to %s: roll that migration back first", m.row.Target, on.Target)
	}
	_, err := m.readSource(ctx)
	return err
}

// findCreatedTarget finds the target of an apply whose outcome is not known.
func (m *migration) findCreatedTarget(ctx context.Context, abandon bool) error {
	if m.row.State != migrate.OutcomeUnknown || m.row.Target != "" || len(m.row.Attempt) == 0 {
		return nil
	}
	try, err := m.loadAttempt()
	if err != nil {
		return err
	}
	if abandon {
		m.row.Attempt = nil
		m.warnings = append(m.warnings, problem.NewWarning("abandoned", "", m.target.Name, "it is not known whether there is a target; if there is, it has the planned name, and is nobody's"))
		return nil
	}
	agent, err := m.service.Agents.Reconcile(ctx, m.target, m.doc.Change.change(), try)
	if err != nil {
		return m.outcomeUnknown(ctx, err)
	}
	if agent != nil {
		m.row.Target = agent.ID
	}
	m.row.Attempt = nil
	return nil
}

func (m *migration) rollback(ctx context.Context, deleteTarget bool) error {
	var target *catalog.Detail
	if m.row.Target != "" {
		var err error
		if target, err = m.service.Agents.ReadFresh(ctx, m.target, m.targetID().Native); err != nil && problem.Of(err).Code != problem.CodeAgentNotFound {
			return err
		}
	}
	if deleteTarget && target != nil && !m.targetUnchanged(target) {
		return problem.New(problem.CodeTargetDiverged, "%s was changed since it was left, so it is not deleted; roll back without delete_target, or delete it by its own id", m.row.Target)
	}
	if target != nil && m.row.State == migrate.CutOver {
		m.warnNotCarriedBack(target)
	}
	// The way back first: if the process ends here, clients are with the source, and the
	// rest is done when this is sent again.
	led := m.row.State == migrate.CutOver
	m.row.State, m.row.ShadowPercent = migrate.RolledBack, 0
	if err := m.save(ctx, migrate.StepRollback, "the source's ids lead to it", func(c *sqlstore.MigrationChange) { c.RestoreAliases, c.SourceAccount = m.doc.Names, m.source.Account }); err != nil {
		return err
	}
	if led {
		m.service.Aliases.RefreshEverywhere(ctx)
	}
	switch {
	case target == nil:
		return nil
	case deleteTarget:
		return m.deleteTarget(ctx)
	}
	for _, status := range []string{normalize.StatusInactive, normalize.StatusArchived} {
		rule := m.target.Info.Rule(normalize.FieldStatus)
		if rule.In&adapters.InUpdate == 0 || len(m.target.Info.CheckValue(normalize.FieldStatus, agents.MustMarshal(status))) > 0 {
			continue
		}
		if err := m.setStatus(ctx, migrate.StepRollback, target, status); err != nil {
			return err
		}
		return m.save(ctx, migrate.StepRollback, "the target is "+status)
	}
	m.warnings = append(m.warnings, problem.NewWarning("still_at_work", "", m.target.Name, fmt.Sprintf("%s has no status: the target stays as it is; with delete_target it is deleted", m.target.Info.Title)))
	return nil
}

// warnNotCarriedBack names what was changed at the target only.
func (m *migration) warnNotCarriedBack(target *catalog.Detail) {
	if m.targetUnchanged(target) {
		return
	}
	said := len(m.warnings)
	for _, path := range migrate.Differences(migrate.Compare(m.doc.Change.change(), target.Agent, m.target.Info)) {
		m.warnings = append(m.warnings, problem.NewWarning("not_carried_back", path, m.source.Name, "it was changed at the target, and the source does not have that"))
	}
	if len(m.warnings) == said {
		m.warnings = append(m.warnings, problem.NewWarning("not_carried_back", "", m.source.Name, "the target was changed in fields that the plan has not, and the source does not have that"))
	}
}

// deleteTarget deletes the target, if no other alias leads to it.
func (m *migration) deleteTarget(ctx context.Context) error {
	if names := m.service.Aliases.PointingTo(m.request.Caller, m.row.Target); len(names) > 0 {
		return problem.New(problem.CodeAliasInTheWay, "the ids lead back, and the target is kept: %s lead to it; delete them, and roll back again", strings.Join(names, ", "))
	}
	_, err := m.target.Endpoint(ctx, backend.Call{Op: adapters.OpDelete, Credential: m.target.Credential, NativeID: m.targetID().Native})
	if err != nil && problem.FromBackend(m.target.Name, adapters.OpDelete, err).Code != problem.CodeAgentNotFound {
		return problem.FromBackend(m.target.Name, adapters.OpDelete, err)
	}
	return m.save(ctx, migrate.StepRollback, "the target was deleted")
}
