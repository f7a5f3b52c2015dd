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
	ID       string // as it stands in the path
	Raw      bool
	Fresh    bool
	Original bool // ?resolve=none: no alias is followed
}

// Get answers one agent in full view.
func (s *Service) Get(ctx context.Context, caller *auth.Caller, q GetQuery) (*Result, error) {
	to, err := s.Aliases.Resolve(caller, q.ID, q.Original)
	if err != nil {
		return nil, err
	}
	b := to.Backend
	started := time.Now()
	result, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: to.NativeID, NoCache: q.Fresh})
	if err != nil {
		return nil, problem.FromBackend(b.Name, adapters.OpGet, err)
	}
	body := result.Detail.Body()
	if q.Raw {
		body = result.Detail.BodyWithRaw()
	}
	r := &Result{
		Body: body, ETag: result.Detail.ETag(), Read: true, Agent: refTo(result.Detail.Agent), ReadAt: result.Fetched, Cacheable: !q.Raw,
		Parts: []Part{{Backend: b, Cache: result.Cache, Took: time.Since(started), Dependencies: result.Dependencies}},
	}
	if to.Alias != "" {
		r.resolvedFrom(to)
	}
	if s.OnRead(caller, to.Backend, result.Detail.Agent) {
		r.Cacheable = false // every read counts as a shadow read
	}
	return r, nil
}
