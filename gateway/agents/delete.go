package agents

import (
	"context"
	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/problem"
)

// Delete deletes an agent for good.
func (s *Service) Delete(ctx context.Context, caller *auth.Caller, q WriteQuery) (*Result, error) {
	to, release, err := s.Aliases.Lock(ctx, caller, q.ID, q.IgnoreAliases)
	if err != nil {
		return nil, err
	}
	defer release()
	b, native := to.Backend, to.NativeID
	if to.Alias != "" {
		return nil, problem.New(problem.CodeAliasInTheWay, "%s is an alias of %s: delete that one by its own id, or the alias, or the agent that it stands for with ?resolve=none", to.Alias, to.ID)
	}
	if names := s.Aliases.PointingTo(caller, to.ID); len(names) > 0 && !q.IgnoreAliases {
		return nil, problem.New(problem.CodeAliasInTheWay, "%s lead to this agent: delete them first, or this one none the less with ?resolve=none", strings.Join(names, ", "))
	}
	if err := b.CheckSupport(adapters.OpDelete); err != nil {
		return nil, err
	}
	if q.DryRun {
		return dryRunDelete(ctx, b, native, q)
	}
	if len(q.IfMatch) > 0 {
		if _, err := s.readMatching(ctx, b, native, q.IfMatch); err != nil {
			return nil, err
		}
	}
	if _, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpDelete, Credential: b.Credential, NativeID: native}); err != nil {
		return nil, problem.FromBackend(b.Name, adapters.OpDelete, err)
	}
	return nil, nil
}
