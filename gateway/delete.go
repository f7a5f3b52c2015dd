package gateway

import (
	"context"
	"strings"

	"github.com/agentgw/agentgw/adapters"
)

// remove deletes an agent for good.
func (s *agentService) remove(ctx context.Context, caller *Caller, q WriteQuery) (*AgentResult, error) {
	to, release, err := s.Aliases.hold(ctx, caller, q.ID, q.Original)
	if err != nil {
		return nil, err
	}
	defer release()
	b, native := to.backend, to.native
	if to.from != "" {
		return nil, newProblem(CodeAliasInTheWay, "%s is an alias of %s: delete that one by its own id, or the alias, or the agent that it stands for with ?resolve=none", to.from, to.id)
	}
	if names := s.Aliases.leadingTo(caller, to.id); len(names) > 0 && !q.Original {
		return nil, newProblem(CodeAliasInTheWay, "%s lead to this agent: delete them first, or this one none the less with ?resolve=none", strings.Join(names, ", "))
	}
	if err := b.can(adapters.OpDelete); err != nil {
		return nil, err
	}
	if q.DryRun {
		return dryDelete(ctx, b, native, q)
	}
	if len(q.IfMatch) > 0 {
		if _, err := s.current(ctx, b, native, q.IfMatch); err != nil {
			return nil, err
		}
	}
	if _, err := b.Endpoint(ctx, Call{Op: adapters.OpDelete, Credential: b.Credential, NativeID: native}); err != nil {
		return nil, backendProblem(b.Name, adapters.OpDelete, err)
	}
	return nil, nil
}
