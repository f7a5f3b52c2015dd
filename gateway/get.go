package gateway

import (
	"context"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
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
	r := &response{status: 200, body: body, etag: result.Detail.ETag(), read: true, about: aboutAgent(result.Detail.Agent),
		parts: []part{{backend: b, cache: result.Cache, took: time.Since(started), of: result.of}}, oldest: result.Fetched, again: !q.Raw}
	if to.from != "" {
		resolved(r, to)
	}
	if g.shadow(caller, to.backend, result.Detail.Agent) {
		r.again = false // the next one is counted too
	}
	return r, nil
}

// locate finds the backend that an id names, whatever alias there is. What does not
// parse, and what the key does not map to, are the same to a caller: not there.
func locate(caller *Caller, id string) (CallerBackend, string, error) {
	parsed, err := normalize.ParseID(id)
	if err == nil {
		if b, ok := caller.Backend(parsed.Backend); ok {
			return b, parsed.Native, nil
		}
	}
	return CallerBackend{}, "", errNoAgent
}
