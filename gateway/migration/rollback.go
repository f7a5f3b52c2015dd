package migration

import (
	"context"
	"fmt"
	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
)

// RollbackInput is the body of POST …/rollback.
type RollbackInput struct {
	DeleteTarget bool `json:"delete_target"`
	// Abandon gives up a migration for which it cannot be determined whether its target was
	// created.
	Abandon bool `json:"abandon"`
}

// Rollback points the source's ids back to it, and deactivates the target, or deletes it if
// nobody has changed it. It can be repeated until all of that is done.
func (s *Service) Rollback(ctx context.Context, r Request, body RollbackInput) (*View, error) {
	return s.runStep(ctx, r, migrate.StepRollback, func(ctx context.Context, m *migration) error {
		if err := m.findCreatedTarget(ctx, body.Abandon); err != nil {
			return err
		}
		release, err := s.Aliases.LockExclusive(ctx, alias.Lock{Account: m.source.Account, ID: m.row.Source}, alias.Lock{Account: m.target.Account, ID: m.row.Target})
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

// findCreatedTarget looks for the target if the outcome of its create request is unknown.
// If abandon is set, it gives up the target instead.
func (m *migration) findCreatedTarget(ctx context.Context, abandon bool) error {
	if m.row.State != migrate.OutcomeUnknown || m.row.Target != "" || len(m.row.Attempt) == 0 {
		return nil
	}
	attempt, err := m.loadAttempt()
	if err != nil {
		return err
	}
	if abandon {
		m.row.Attempt = nil
		m.warnings = append(m.warnings, problem.NewWarning("abandoned", "", m.target.Name, "the target may exist: look for an agent with the planned name at the backend, and delete it if you find it"))
		return nil
	}
	agent, err := m.service.Agents.Reconcile(ctx, m.target, m.doc.Change.change(), attempt)
	if err != nil {
		return m.outcomeUnknown(ctx, err)
	}
	if agent != nil {
		m.row.Target = agent.ID
	}
	m.row.Attempt = nil
	return nil
}

// checkSourceUsable returns a problem if the ids cannot be pointed back to the source.
func (m *migration) checkSourceUsable(ctx context.Context) error {
	if err := m.service.Aliases.Sync(ctx); err != nil {
		return err
	}
	if next, moved := m.service.Aliases.OfAgent(m.target.Account, m.row.Target); moved {
		return problem.New(problem.CodeMigrationState, "%s was moved on to %s; roll back that migration first", m.row.Target, next.Target)
	}
	_, err := m.readSource(ctx)
	return err
}

// rollback points the ids back, and then deletes or deactivates the target.
func (m *migration) rollback(ctx context.Context, deleteTarget bool) error {
	var target *catalog.Detail
	if m.row.Target != "" {
		var err error
		if target, err = m.service.Agents.ReadFresh(ctx, m.target, m.targetID().Native); err != nil && problem.Of(err).Code != problem.CodeAgentNotFound {
			return err
		}
	}
	if deleteTarget && target != nil && !m.targetUnchanged(target) {
		return problem.New(problem.CodeTargetDiverged, "%s was changed by somebody else, so it is not deleted; roll back without deleting it, or delete it by its own id", m.row.Target)
	}
	if target != nil && m.row.State == migrate.CutOver {
		m.warnNotCarriedBack(target)
	}
	// The ids first: if the process ends here, clients use the source again, and a repeated
	// rollback does the rest.
	wasCutOver := m.row.State == migrate.CutOver
	m.row.State, m.row.ShadowPercent = migrate.RolledBack, 0
	if err := m.save(ctx, migrate.StepRollback, "the source's ids point back to it", func(c *sqlstore.MigrationChange) { c.RestoreAliases, c.SourceAccount = m.doc.Names, m.source.Account }); err != nil {
		return err
	}
	if wasCutOver {
		m.service.Aliases.RefreshEverywhere(ctx)
	}
	switch {
	case target == nil && m.row.Target != "":
		return m.forgetTarget(ctx, "the target no longer exists")
	case target == nil:
		return nil
	case deleteTarget:
		return m.deleteTarget(ctx)
	}
	if status := migrate.InactiveStatus(m.target.Info); status != "" {
		if err := m.setStatus(ctx, migrate.StepRollback, target, status); err != nil {
			return err
		}
		return m.save(ctx, migrate.StepRollback, "the target is "+status)
	}
	m.warnings = append(m.warnings, problem.NewWarning("still_at_work", "", m.target.Name, fmt.Sprintf("%s cannot deactivate agents: the target stays active; to delete it, roll back once more with delete_target (--delete-target)", m.target.Info.Title)))
	return nil
}

// warnNotCarriedBack warns of changes that were made at the target and are missing at the
// source.
func (m *migration) warnNotCarriedBack(target *catalog.Detail) {
	if m.targetUnchanged(target) {
		return
	}
	before := len(m.warnings)
	for _, path := range migrate.Differences(migrate.Compare(m.doc.Change.change(), target.Agent, m.target.Info)) {
		m.warnings = append(m.warnings, problem.NewWarning("not_carried_back", path, m.source.Name, "changed at the target: the source does not have this change"))
	}
	if len(m.warnings) == before {
		m.warnings = append(m.warnings, problem.NewWarning("not_carried_back", "", m.source.Name, "the target was changed in fields outside the plan: the source does not have these changes"))
	}
}

// deleteTarget deletes the target, unless other aliases point to it.
func (m *migration) deleteTarget(ctx context.Context) error {
	if names := m.service.Aliases.PointingTo(m.request.Caller, m.row.Target); len(names) > 0 {
		return problem.New(problem.CodeAliasInTheWay, "the source's ids point back to it, but the target was not deleted: the aliases %s point to it; delete them, and roll back again", strings.Join(names, ", "))
	}
	_, err := m.target.Endpoint(ctx, backend.Call{Op: adapters.OpDelete, Credential: m.target.Credential, NativeID: m.targetID().Native})
	if err != nil && problem.FromBackend(m.target.Name, adapters.OpDelete, err).Code != problem.CodeAgentNotFound {
		return problem.FromBackend(m.target.Name, adapters.OpDelete, err)
	}
	return m.forgetTarget(ctx, "the target was deleted")
}

// forgetTarget records that the target is gone. A rolled back migration that still has a
// target left one behind.
func (m *migration) forgetTarget(ctx context.Context, why string) error {
	why += ": " + m.row.Target
	m.row.Target = ""
	return m.save(ctx, migrate.StepRollback, why)
}
