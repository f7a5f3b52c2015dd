package gateway

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/agentgw/agentgw/adapters"
)

// GetQuery is what is asked of one agent.
type GetQuery struct {
	ID       string // as it stands in the path
	Raw      bool
	Fresh    bool
	Original bool // ?resolve=none: no alias is followed
	// Led is where the same query led before, for as long as the routing is the same; nil for
	// one that is not asked again.
	Led *ledTo
}

// ledTo is where a query led. It is safe for concurrent use.
type ledTo struct{ last atomic.Pointer[ledBy] }

// ledBy is where a query led, by a routing.
type ledBy struct {
	lead
	routing uint64 // its number: of one that is over nothing is held on to
	key     string // of the cache
}

// leads is where the query leads.
func (g *Gateway) leads(caller *Caller, q GetQuery) (*ledBy, error) {
	routing := g.routing.Load().number
	if q.Led != nil {
		if known := q.Led.last.Load(); known != nil && known.routing == routing {
			return known, nil
		}
	}
	to, err := g.lead(caller, q.ID, q.Original)
	if err != nil {
		return nil, err
	}
	b := to.backend
	by := &ledBy{to, routing, cacheKey(b.principal(b.Credential), adapters.OpGet, to.native)}
	if q.Led != nil {
		q.Led.last.Store(by)
	}
	return by, nil
}

// get answers one agent in full view.
func (g *Gateway) get(ctx context.Context, caller *Caller, q GetQuery) (*response, error) {
	to, err := g.leads(caller, q)
	if err != nil {
		return nil, err
	}
	b := to.backend
	started := time.Now()
	result, err := b.Endpoint(ctx, Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: to.native, Fresh: q.Fresh, key: to.key})
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
		resolved(r, to.lead)
	}
	if g.shadow(caller, to.backend, result.Detail.Agent) {
		r.again = false // the next one is counted too
	}
	return r, nil
}
