package gateway

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"sync"
	"time"

	"net/url"

	"github.com/agentgw/agentgw/gateway/sqlstore"
	"github.com/agentgw/agentgw/normalize"
)

// routing is where names lead: what the store has, in memory, so that no read asks the
// store. It is not changed after it was made.
type routing struct {
	revision int64
	aliases  map[string]sqlstore.Alias // by name
	// shadows are migrations whose target is read along, by the id of their source.
	shadows map[string]sqlstore.Shadow
	// moving are agents that a migration may lead to or from.
	moving map[string]bool
	// superseded are the aliases whose name is an agent's id, by its backend.
	superseded map[string][]superseded
}

// superseded is an agent that an alias leads away from.
type superseded struct {
	native string
	by     sqlstore.Alias
}

// routingInterval is how often the store is asked whether another instance wrote to it.
// What this one writes holds at once.
const routingInterval = 500 * time.Millisecond

// router keeps routing as the store has it.
type router struct {
	gateway *Gateway
	store   *sqlstore.Store
	loading sync.Mutex
	stop    context.CancelFunc
	stopped chan struct{}
}

// follow keeps up with what others write, until close.
func (g *Gateway) follow(store *sqlstore.Store) *router {
	ctx, stop := context.WithCancel(context.Background())
	r := &router{gateway: g, store: store, stop: stop, stopped: make(chan struct{})}
	_ = r.refresh(ctx) // what is wrong is in the log; reads by their own ids go on
	go func() {
		defer close(r.stopped)
		ticks := time.NewTicker(routingInterval)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
				_ = r.refresh(ctx)
				g.shadowing.keep(ctx, store)
			}
		}
	}()
	return r
}

func (r *router) close() {
	r.stop()
	<-r.stopped
}

// refresh reads the routing anew if somebody wrote it.
func (r *router) refresh(ctx context.Context) error {
	r.loading.Lock()
	defer r.loading.Unlock()
	known := r.gateway.routing.Load()
	revision, err := r.store.Revision(ctx)
	r.gateway.storeUp.Store(err == nil)
	if err != nil || revision == known.revision {
		return err
	}
	routes, err := r.store.Routes(ctx)
	if err != nil {
		return err
	}
	next := newRouting(routes)
	r.gateway.routing.Store(next)
	if !maps.Equal(known.aliases, next.aliases) || !maps.Equal(known.shadows, next.shadows) {
		// What was answered by names that lead elsewhere now is not given again.
		r.gateway.remembered.clear()
		r.gateway.pages.clear()
	}
	return nil
}

func newRouting(routes sqlstore.Routes) *routing {
	r := &routing{
		revision: routes.Revision, aliases: make(map[string]sqlstore.Alias, len(routes.Aliases)), shadows: make(map[string]sqlstore.Shadow, len(routes.Shadows)),
		moving: make(map[string]bool, len(routes.Moving)), superseded: map[string][]superseded{},
	}
	for _, a := range routes.Aliases {
		r.aliases[a.Name] = a
		if id, err := normalize.ParseID(a.Name); err == nil {
			r.superseded[id.Backend] = append(r.superseded[id.Backend], superseded{id.Native, a})
		}
	}
	for _, s := range routes.Shadows {
		r.shadows[s.Source] = s
	}
	for _, id := range routes.Moving {
		r.moving[id] = true
	}
	return r
}

// rerouted has what this instance wrote hold from here on.
func (g *Gateway) rerouted(ctx context.Context) {
	if err := g.router.refresh(context.WithoutCancel(ctx)); err != nil {
		g.log.WarnContext(ctx, "what was written holds here a moment later", "error", err.Error())
	}
}

// ledElsewhere does the same, and waits until other instances have seen it: writes that
// are held meanwhile then change nothing that anybody still reads at the old place.
func (g *Gateway) ledElsewhere(ctx context.Context) {
	g.rerouted(ctx)
	if g.store.Shared() {
		sleep(ctx, 3*routingInterval/2)
	}
}

// slug is a name of an alias that is no agent's id.
var slug = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

// lead is where a name leads.
type lead struct {
	backend CallerBackend
	native  string
	id      string // the agent's
	from    string // the name, if an alias led here; else empty
}

var errNoAgent = newProblem(CodeAgentNotFound, "no agent with this id on the backends that the key maps to")

// lead finds the backend and the agent that a name in a path leads to: by an alias, unless
// the original is asked for. What does not parse, what the key does not map to, and what is
// not there are the same to a caller.
func (g *Gateway) lead(caller *Caller, name string, original bool) (lead, error) {
	name, err := nameOf(name)
	if err != nil {
		return lead{}, errNoAgent
	}
	id, from := name, ""
	if !original {
		if a, ok := g.routing.Load().aliases[name]; ok {
			if !g.sees(caller, a) {
				return lead{}, errNoAgent
			}
			id, from = a.Target, name
		}
	}
	b, native, err := locate(caller, id)
	if err != nil {
		return lead{}, err
	}
	return lead{backend: b, native: native, id: id, from: from}, nil
}

// nameOf is a name as it is kept, of one that stands in a path: an agent's id, or a slug.
func nameOf(text string) (string, error) {
	if id, err := normalize.ParseID(text); err == nil {
		return id.String(), nil
	}
	if plain, err := url.PathUnescape(text); err == nil && slug.MatchString(plain) {
		return plain, nil
	}
	return "", errors.New("neither an agent's id nor a slug of a-z, 0-9 and -")
}

// sees reports whether an alias is there for a caller: its target is at a backend that the
// key maps to, with the credential that the key which made it has there. If that key is
// gone, the backend says whose the agent is.
func (g *Gateway) sees(caller *Caller, a sqlstore.Alias) bool {
	target, err := normalize.ParseID(a.Target)
	if err != nil {
		return false
	}
	b, ok := caller.Backend(target.Backend)
	if !ok || a.KeyID == caller.KeyID {
		return ok
	}
	maker := g.state.Load().keys.byID[a.KeyID]
	if maker == nil {
		return true
	}
	theirs, ok := maker.Backend(target.Backend)
	return !ok || theirs.Credential.ID() == b.Credential.ID()
}

// hold keeps an agent from being moved to another backend while it is written, and finds
// where the name leads once it is certain. Release it when the write is over.
func (g *Gateway) hold(ctx context.Context, caller *Caller, name string, original bool) (found lead, release func(), err error) {
	for {
		if err := g.latest(ctx); err != nil {
			return lead{}, nil, err
		}
		if found, err = g.lead(caller, name, original); err != nil {
			return lead{}, nil, err
		}
		if g.store == nil {
			return found, func() {}, nil
		}
		lock := g.store.LockHere
		if g.routing.Load().moving[found.id] {
			lock = g.store.Lock
		}
		release, err := lock(ctx, movingLock(found.id), false)
		if errors.Is(err, sqlstore.ErrUnavailable) { // then nobody moves it
			return found, func() {}, nil
		}
		if err != nil {
			p := newProblem(CodeUpstreamUnavailable, "the agent is just being moved to another backend")
			p.RetryAfter = time.Second
			return lead{}, nil, p
		}
		if err := g.latest(ctx); err != nil {
			release()
			return lead{}, nil, err
		}
		again, err := g.lead(caller, name, original)
		if err == nil && again.id == found.id {
			return again, release, nil
		}
		release() // it was moved meanwhile
	}
}

// latest has the routing be that of all instances. Only writes ask for it, and only where
// there may be several; if the store is away, nobody else can have changed it.
func (g *Gateway) latest(ctx context.Context) error {
	if g.store == nil || !g.store.Shared() {
		return nil
	}
	if err := g.router.refresh(ctx); err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}

func movingLock(agent string) string { return "agent " + agent }
