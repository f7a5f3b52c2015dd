package gateway

import (
	"context"
	"time"

	"github.com/agentgw/agentgw/adapters"
)

// GetQuery is what is asked of one agent.
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
	b, native := to.backend, to.native
	started := time.Now()
	result, err := b.Endpoint(ctx, Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: native, Fresh: q.Fresh})
	if err != nil {
		return nil, backendProblem(b.Name, adapters.OpGet, err)
	}
	body := result.Detail.Answer()
	if q.Raw {
		body = result.Detail.AnswerWithRaw()
	}
	made := &struct {
		response
		only [1]part
	}{}
	made.only[0] = part{backend: b, cache: result.Cache, took: time.Since(started), of: result.of}
	r := &made.response
	*r = response{status: 200, body: body, etag: result.Detail.ETag(), read: true, about: aboutAgent(result.Detail.Agent), parts: made.only[:], oldest: result.Fetched, again: !q.Raw}
	if to.from != "" {
		resolved(r, to)
	}
	if g.shadow(caller, to.backend, result.Detail.Agent) {
		r.again = false // the next one is counted too
	}
	return r, nil
}
