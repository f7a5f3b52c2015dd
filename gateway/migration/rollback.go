package migration

import (
	"context"
	"fmt"
	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

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
