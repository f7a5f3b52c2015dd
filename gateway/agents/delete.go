package agents

import (
	"context"
	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/problem"
)

// Delete deletes an agent at its backend. It refuses ids that are aliases, and agents that aliases
// point to, unless the query ignores aliases. The result is nil except for a dry run.
func (s *Service) Delete(ctx context.Context, caller *auth.Caller, q WriteQuery) (*Result, error) {
	to, release, err := s.Aliases.LockTarget(ctx, caller, q.ID, q.IgnoreAliases)
	if err != nil {
		return nil, err
	}
	defer release()
	b, nativeID := to.Backend, to.NativeID
	if to.Alias != "" {
		return nil, problem.New(problem.CodeAliasInTheWay, "%s is an alias of %s; delete that agent by its own id, delete the alias, or add ?resolve=none to delete the agent that originally had the id %s", to.Alias, to.ID, to.Alias)
	}
	if names := s.Aliases.PointingTo(caller, to.ID); len(names) > 0 && !q.IgnoreAliases {
		return nil, problem.New(problem.CodeAliasInTheWay, "aliases point to this agent: %s; delete them first, or add ?resolve=none to delete the agent anyway", strings.Join(names, ", "))
	}
	if err := b.CheckSupport(adapters.OpDelete); err != nil {
		return nil, err
	}
	if q.DryRun {
		return dryRunDelete(ctx, b, nativeID, q)
	}
	endTurn, err := s.takeTurn(ctx, b, nativeID)
	if err != nil {
		return nil, err
	}
	defer endTurn()
	if len(q.IfMatch) > 0 {
		if _, err := s.readMatching(ctx, b, nativeID, q.IfMatch); err != nil {
			return nil, err
		}
	}
	if _, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpDelete, Credential: b.Credential, NativeID: nativeID}); err != nil {
		return nil, b.Problem(adapters.OpDelete, nativeID, err)
	}
	return &Result{Agent: Ref{ID: to.ID}}, nil
}
