package gateway

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/migrate"
	"github.com/agentgw/agentgw/gateway/sqlstore"
	"github.com/agentgw/agentgw/normalize"
)

// cutoverBody is the body of POST …/cutover.
type cutoverBody struct {
	// Activate: whether the target is activated; left out, if the source is at work.
	Activate *bool `json:"activate"`
}

// handleCutoverMigration leads the source's ids to the target. While it does, writes to
// the source wait, and go to the target then; what was changed at the source since it was
// planned is taken over first. So a caller who reads and writes by the old id loses
// nothing, and sees nothing that is older than what it wrote.
func (g *Gateway) handleCutoverMigration(r *request) (*response, error) {
	var body cutoverBody
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	return g.do(r, migrate.StepCutover, func(ctx context.Context, m *migration) error {
		if m.row.State == migrate.CutOver {
			return nil
		}
		release, err := m.hold(ctx, m.row.Source)
		if err != nil {
			return err
		}
		defer release()
		target, err := m.bringUpToDate(ctx)
		if err != nil {
			return err
		}
		activate := m.doc.Activate
		if body.Activate != nil {
			activate = *body.Activate && m.target.Info.CreatesInactive
		}
		detail := "the source's ids lead to " + m.row.Target
		if activate {
			if err := m.setStatus(ctx, target, normalize.StatusActive); err != nil {
				return err
			}
			detail = "activated; " + detail
		}
		m.row.State, m.row.ShadowPercent = migrate.CutOver, 0
		if err := m.save(ctx, migrate.StepCutover, detail, m.lead); err != nil {
			return err
		}
		g.ledElsewhere(ctx) // before writes that waited go on
		return nil
	})
}

// hold waits until no write to these agents runs, and has others wait.
func (m *migration) hold(ctx context.Context, agents ...string) (release func(), err error) {
	var held []func()
	release = func() {
		for _, r := range held {
			r()
		}
	}
	for _, id := range agents {
		if id == "" {
			continue
		}
		r, err := m.gateway.store.Lock(ctx, movingLock(id), true)
		if err != nil {
			release()
			return nil, storeProblem(err)
		}
		held = append(held, r)
	}
	return release, nil
}

// bringUpToDate has the target be as the source is now, by the same wishes, if nobody
// else changed the target. It gives the target.
func (m *migration) bringUpToDate(ctx context.Context) (*catalog.Detail, error) {
	source, err := m.readSource(ctx)
	if err != nil {
		return nil, err
	}
	target, err := m.readTarget(ctx)
	if err != nil {
		return nil, err
	}
	if source.ETag() != m.doc.ETag {
		if target, err = m.takeOver(ctx, source, target); err != nil {
			return nil, err
		}
	}
	if different := migrate.Differences(migrate.Compare(m.doc.Change.change(), target.Agent, m.target.Info)); len(different) > 0 {
		return nil, newProblem(CodeTargetDiverged, "%s is not as it was planned: %s", m.row.Target, strings.Join(different, ", "))
	}
	return target, nil
}

// takeOver sends the target what was changed at the source since it was planned.
func (m *migration) takeOver(ctx context.Context, source, target *catalog.Detail) (*catalog.Detail, error) {
	plan, violations := migrate.Make(source.Agent, m.source.Info, m.target.Info, m.doc.Wishes)
	if len(violations) > 0 || plan.State() != migrate.Ready {
		return nil, newProblem(CodePlanStale, "%s was changed since it was planned, so that it can no longer be moved as it was; roll back, and plan again", m.row.Source)
	}
	if p := lossesProblem(plan.Losses(), m.doc.Accepted); p != nil {
		stale := newProblem(CodePlanStale, "%s was changed since it was planned: more would be lost than was accepted; roll back, and plan again", m.row.Source)
		stale.Errors = p.Errors
		return nil, stale
	}
	delta, gone := migrate.Delta(m.doc.Change.change(), plan.Change)
	if violations, verdicts := m.target.Info.CheckUpdate(delta, false); len(violations) > 0 || anyFixed(verdicts) || len(gone) > 0 {
		return nil, newProblem(CodePlanStale, "%s was changed since it was planned, in a way that %s cannot be told of an agent that there is; roll back, and plan again", m.row.Source, m.target.Info.Title)
	}
	if !delta.Empty() {
		if target.ETag() != m.doc.Left {
			return nil, newProblem(CodeTargetDiverged, "%s was changed since it was left: what was changed at the source meanwhile is not written over it", m.row.Target)
		}
		if _, err := m.target.Endpoint(ctx, Call{Op: adapters.OpUpdate, Credential: m.target.Credential, NativeID: m.targetID().Native, Change: delta}); err != nil {
			return nil, m.interrupted(ctx, plan, source, err)
		}
		var err error
		if target, err = m.readTarget(ctx); err != nil {
			return nil, m.interrupted(ctx, plan, source, err)
		}
	}
	m.take(plan)
	m.doc.ETag, m.doc.Left = source.ETag(), target.ETag()
	return target, m.save(ctx, migrate.StepCutover, "what was changed at the source since it was planned was taken over")
}

// interrupted notes that the target may be as it was, or as the source is now: either is
// ours to go on from.
func (m *migration) interrupted(ctx context.Context, plan migrate.Plan, source *catalog.Detail, err error) error {
	p := backendProblem(m.target.Name, adapters.OpUpdate, err)
	if p.Code != CodeWriteOutcomeUnknown {
		return p
	}
	if target, readErr := m.readTarget(ctx); readErr == nil && len(migrate.Differences(migrate.Compare(plan.Change, target.Agent, m.target.Info))) == 0 {
		m.take(plan)
		m.doc.ETag, m.doc.Left = source.ETag(), target.ETag()
		if saveErr := m.save(ctx, migrate.StepCutover, "what was changed at the source since it was planned was taken over"); saveErr != nil {
			return saveErr
		}
	}
	return p
}

func anyFixed(verdicts map[normalize.Field]adapters.Verdict) bool {
	for _, v := range verdicts {
		if v != adapters.Writable {
			return true
		}
	}
	return false
}

// setStatus gives the target a status. If the target was as we left it, it is so after
// that, too.
func (m *migration) setStatus(ctx context.Context, target *catalog.Detail, status string) error {
	if now := target.Agent.Status; now != nil && *now == status {
		return nil
	}
	change := normalize.Change{Set: map[normalize.Field]jsontext.Value{normalize.FieldStatus: encoded(status)}}
	_, err := m.target.Endpoint(ctx, Call{Op: adapters.OpUpdate, Credential: m.target.Credential, NativeID: m.targetID().Native, Change: change})
	if err != nil {
		return backendProblem(m.target.Name, adapters.OpUpdate, err)
	}
	if ours := target.ETag() == m.doc.Left; ours {
		m.doc.Left = ""
		if after, err := m.readTarget(ctx); err == nil {
			m.doc.Left = after.ETag()
		}
	}
	return nil
}

// rollbackBody is the body of POST …/rollback.
type rollbackBody struct {
	DeleteTarget bool `json:"delete_target"`
}

// handleRollbackMigration leads the source's ids back to it, and has the target rest, or
// be deleted if nobody changed it. It can be sent again until all of that is done.
func (g *Gateway) handleRollbackMigration(r *request) (*response, error) {
	var body rollbackBody
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	return g.do(r, migrate.StepRollback, func(ctx context.Context, m *migration) error {
		if err := m.findLost(ctx); err != nil {
			return err
		}
		release, err := m.hold(ctx, m.row.Source, m.row.Target)
		if err != nil {
			return err
		}
		defer release()
		if m.row.State == migrate.CutOver {
			if _, err := m.readSource(ctx); err != nil {
				if problemOf(err).Code == CodeAgentNotFound {
					return newProblem(CodeMigrationState, "%s is no longer there: its ids cannot lead back to it", m.row.Source)
				}
				return err
			}
		}
		return m.rollback(ctx, body.DeleteTarget)
	})
}

// findLost finds the target of an apply whose outcome is not known.
func (m *migration) findLost(ctx context.Context) error {
	if m.row.State != migrate.OutcomeUnknown || m.row.Target != "" || len(m.row.Attempt) == 0 {
		return nil
	}
	try, err := m.attempt()
	if err != nil {
		return err
	}
	agent, err := m.gateway.reconcile(ctx, m.target, m.doc.Change.change(), try)
	if err != nil {
		return m.unknown(ctx, err)
	}
	if agent != nil {
		m.row.Target = agent.ID
	}
	m.row.Attempt = nil
	return nil
}

func (m *migration) rollback(ctx context.Context, deleteTarget bool) error {
	g := m.gateway
	var target *catalog.Detail
	if m.row.Target != "" {
		var err error
		if target, err = m.readTarget(ctx); err != nil && problemOf(err).Code != CodeAgentNotFound {
			return err
		}
	}
	if deleteTarget && target != nil && target.ETag() != m.doc.Left {
		return newProblem(CodeTargetDiverged, "%s was changed since it was left, so it is not deleted; roll back without delete_target, or delete it by its own id", m.row.Target)
	}
	if target != nil {
		for _, path := range migrate.Differences(migrate.Compare(m.doc.Change.change(), target.Agent, m.target.Info)) {
			m.warnings = append(m.warnings, warning("not_carried_back", path, m.source.Name, "it was changed at the target, and the source does not have that"))
		}
	}
	// The way back first: if the process ends here, clients are with the source, and the
	// rest is done when this is sent again.
	m.row.State, m.row.ShadowPercent = migrate.RolledBack, 0
	if err := m.save(ctx, migrate.StepRollback, "the source's ids lead to it again", func(c *sqlstore.Change) { c.Unlead = m.doc.Names }); err != nil {
		return err
	}
	g.ledElsewhere(ctx)
	if target == nil {
		return nil
	}
	if deleteTarget {
		_, err := m.target.Endpoint(ctx, Call{Op: adapters.OpDelete, Credential: m.target.Credential, NativeID: m.targetID().Native})
		if err != nil && problemOf(backendProblem(m.target.Name, adapters.OpDelete, err)).Code != CodeAgentNotFound {
			return backendProblem(m.target.Name, adapters.OpDelete, err)
		}
		return m.save(ctx, migrate.StepRollback, "the target was deleted")
	}
	for _, status := range []string{normalize.StatusInactive, normalize.StatusArchived} {
		rule := m.target.Info.Rule(normalize.FieldStatus)
		if rule.In&adapters.InUpdate == 0 || len(m.target.Info.CheckValue(normalize.FieldStatus, encoded(status))) > 0 {
			continue
		}
		if err := m.setStatus(ctx, target, status); err != nil {
			return err
		}
		return m.save(ctx, migrate.StepRollback, "the target is "+status)
	}
	m.warnings = append(m.warnings, warning("still_at_work", "", m.target.Name, fmt.Sprintf("%s has no status: the target stays as it is; with delete_target it is deleted", m.target.Info.Title)))
	return nil
}

// shadowed reports whether reads of the source read the target along at that time.
func shadowed(s sqlstore.Shadow, now time.Time) bool { return s.Percent > 0 && now.Before(s.Until) }
