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

// pointNamesToTarget has the source's names lead to the target.
func (m *migration) pointNamesToTarget(c *sqlstore.MigrationChange) {
	for _, name := range m.doc.Names {
		c.PutAliases = append(c.PutAliases, sqlstore.Alias{
			Name: name, Target: m.row.Target, KeyID: m.row.KeyID, MigrationID: m.row.ID,
			NameAccount: m.source.Account, TargetAccount: m.target.Account, UpdatedAt: alias.Now(),
		})
	}
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

// usePlan has a plan be the migration's that the target has by now.
func (m *migration) usePlan(p pendingPlan, left string) {
	m.doc.Findings, m.doc.Change, m.doc.Activate, m.doc.SourceETag, m.doc.TargetETag = p.Findings, p.Change, p.Activate, p.SourceETag, left
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
