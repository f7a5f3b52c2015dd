package gateway

import (
	"context"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// GetQuery is what is asked of one agent.
type GetQuery struct {
	ID    string // as it stands in the path
	Raw   bool
	Fresh bool
}

// get answers one agent in full view.
func (g *Gateway) get(ctx context.Context, caller *Caller, q GetQuery) (*response, error) {
	b, native, err := locate(caller, q.ID)
	if err != nil {
		return nil, err
	}
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
	return r, nil
}

// locate finds the backend that an id names. What does not parse, and what the
// key does not map to, are the same to a caller: not there.
func locate(caller *Caller, id string) (CallerBackend, string, error) {
	parsed, err := normalize.ParseID(id)
	if err == nil {
		if b, ok := caller.Backend(parsed.Backend); ok {
			return b, parsed.Native, nil
		}
	}
	return CallerBackend{}, "", newProblem(CodeAgentNotFound, "no agent with this id on the backends that the key maps to")
}
