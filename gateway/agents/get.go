package agents

import (
	"context"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/problem"
)

// GetQuery selects one agent.
type GetQuery struct {
	ID            string // from the request's path: an agent id or an alias
	IncludeRaw    bool
	NoCache       bool
	IgnoreAliases bool // resolve=none
}

// Get returns one agent in full view.
func (s *Service) Get(ctx context.Context, caller *auth.Caller, q GetQuery) (*Result, error) {
	to, err := s.Aliases.Resolve(caller, q.ID, q.IgnoreAliases)
	if err != nil {
		return nil, err
	}
	b := to.Backend
	started := time.Now()
	result, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: to.NativeID, NoCache: q.NoCache})
	if err != nil {
		return nil, b.Problem(adapters.OpGet, to.NativeID, err)
	}
	body := result.Detail.Body()
	if q.IncludeRaw {
		body = result.Detail.BodyWithRaw()
	}
	r := &Result{
		Body: body, ETag: result.Detail.ETag(), IsRead: true, Agent: refOf(result.Detail.Agent), ReadAt: result.Fetched, Cacheable: !q.IncludeRaw,
		Sources: []Source{{Backend: b, Cache: result.Cache, Duration: time.Since(started), Dependencies: result.Dependencies}},
	}
	if odd := result.Detail.Agent.Warnings; len(odd) > 0 {
		r.addMember("warnings", problem.BoundedWarnings(problem.FromProvider(b.Name, odd), problem.MaxWarnings))
	}
	if to.Alias != "" {
		r.addResolvedFrom(to)
	}
	if s.OnRead(caller, to.Backend, result.Detail.Agent) {
		r.Cacheable = false
	}
	return r, nil
}
