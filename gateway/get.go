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
func (g *Gateway) get(ctx context.Context, caller *Caller, q GetQuery) (*response, error) {
	to, err := g.lead(caller, q.ID, q.Original)
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
	r := &response{
		status: 200, body: body, etag: result.Detail.ETag(), read: true, about: refTo(result.Detail.Agent), oldest: result.Fetched, cacheable: !q.Raw,
		parts: []part{{backend: b, cache: result.Cache, took: time.Since(started), dependencies: result.dependencies}},
	}
	if to.from != "" {
		resolved(r, to)
	}
	if g.shadow(caller, to.backend, result.Detail.Agent) {
		r.cacheable = false // every read counts as a shadow read
	}
	return r, nil
}
