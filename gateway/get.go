package gateway

import (
	"context"
	"time"

	"github.com/agentgw/agentgw/adapters"
)

// GetQuery selects one agent.
type GetQuery struct {
	ID       string // as it stands in the path
	Raw      bool
	Fresh    bool
	Original bool // ?resolve=none: no alias is followed
}

// get answers one agent in full view.
func (s *agentService) get(ctx context.Context, caller *Caller, q GetQuery) (*AgentResult, error) {
	to, err := s.Aliases.lead(caller, q.ID, q.Original)
	if err != nil {
		return nil, err
	}
	b := to.backend
	started := time.Now()
	result, err := b.Endpoint(ctx, Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: to.native, Fresh: q.Fresh})
	if err != nil {
		return nil, backendProblem(b.Name, adapters.OpGet, err)
	}
	body := result.Detail.Body()
	if q.Raw {
		body = result.Detail.BodyWithRaw()
	}
	r := &AgentResult{
		Body: body, ETag: result.Detail.ETag(), Read: true, Agent: refTo(result.Detail.Agent), ReadAt: result.Fetched, Cacheable: !q.Raw,
		Parts: []part{{backend: b, cache: result.Cache, took: time.Since(started), dependencies: result.dependencies}},
	}
	if to.from != "" {
		r.resolvedFrom(to)
	}
	if s.OnRead(caller, to.backend, result.Detail.Agent) {
		r.Cacheable = false // every read counts as a shadow read
	}
	return r, nil
}
