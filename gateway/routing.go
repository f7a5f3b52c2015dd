package gateway

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"net/url"

	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

// routing is where names lead: what the store has, in memory, so that no read asks the
// store. It is not changed after it was made.
type routing struct {
	number   uint64 // tells it from all others of this process
	revision int64
	aliases  map[string]sqlstore.Alias // by name
	// shadows are migrations whose target is read along, by the id of their source.
	shadows map[string][]sqlstore.Shadow
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
	loading chan struct{} // who loads has it
	stop    context.CancelFunc
	running sync.WaitGroup
}

// follow keeps up with what others write, until close.
func (g *Gateway) follow(store *sqlstore.Store) *router {
	ctx, stop := context.WithCancel(context.Background())
	r := &router{gateway: g, store: store, stop: stop, loading: make(chan struct{}, 1)}
	_ = r.refresh(ctx) // what is wrong is in the log; reads by their own ids go on
	r.each(ctx, func() { _ = r.refresh(ctx) })
	r.each(ctx, func() { g.shadowing.keep(ctx, store) })
	return r
}

// each does something in every interval, until ctx ends.
func (r *router) each(ctx context.Context, do func()) {
	r.running.Go(func() {
		ticks := time.NewTicker(routingInterval)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
				do()
			}
		}
	})
}

func (r *router) close() {
	r.stop()
	r.running.Wait()
}

// refresh reads the routing anew if somebody wrote it.
func (r *router) refresh(ctx context.Context) error {
	select {
	case r.loading <- struct{}{}:
		defer func() { <-r.loading }()
	case <-ctx.Done():
		return ctx.Err()
	}
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
	if !maps.Equal(known.aliases, next.aliases) || !maps.EqualFunc(known.shadows, next.shadows, slices.Equal) {
		r.gateway.forgetMoved(known, next)
	}
	return nil
}

// routings is how many there were in this process.
var routings atomic.Uint64

func newRouting(routes sqlstore.Routes) *routing {
	r := &routing{
		number: routings.Add(1), revision: routes.Revision, aliases: make(map[string]sqlstore.Alias, len(routes.Aliases)), shadows: make(map[string][]sqlstore.Shadow, len(routes.Shadows)),
		moving: make(map[string]bool, len(routes.Migrating)), superseded: map[string][]superseded{},
	}
	for _, a := range routes.Aliases {
		r.aliases[a.Name] = a
		if id, err := normalize.ParseID(a.Name); err == nil {
			r.superseded[id.Backend] = append(r.superseded[id.Backend], superseded{id.Native, a})
		}
	}
	for _, s := range routes.Shadows {
		r.shadows[s.Source] = append(r.shadows[s.Source], s)
	}
	for _, id := range routes.Migrating {
		r.moving[id] = true
	}
	return r
}

// forgetMoved drops what is kept of agents that names lead to, or led to before: another
// instance may have written to them.
func (g *Gateway) forgetMoved(before, now *routing) {
	principals := g.state.Load().keys.principals()
	drop := func(agent string) {
		id, err := normalize.ParseID(agent)
		if err != nil {
			return
		}
		for p := range principals {
			if p.backend.Name == id.Backend {
				g.cache.drop(p, id.Native)
			}
		}
	}
	changed := func(a, b map[string]sqlstore.Alias) {
		for name, alias := range a {
			if b[name].Target != alias.Target {
				drop(name)
				drop(alias.Target)
			}
		}
	}
	changed(before.aliases, now.aliases)
	changed(now.aliases, before.aliases)
}

// rerouted has what this instance wrote hold from here on. It is written already, so it is
// tried for a while.
func (g *Gateway) rerouted(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reroutePatience)
	defer cancel()
	for {
		err := g.router.refresh(ctx)
		if err == nil {
			return
		}
		if !sleep(ctx, reroutePatience/40) {
			g.log.WarnContext(ctx, "what was written holds here a moment later", "error", err.Error())
			return
		}
	}
}

// reroutePatience is how long it is tried to read what was just written.
const reroutePatience = 2 * time.Second

// ledElsewhere does the same, and waits until other instances have seen it: writes that
// are held meanwhile then change nothing that anybody still reads at the old place.
func (g *Gateway) ledElsewhere(ctx context.Context) {
	g.rerouted(ctx)
	if g.store.Shared() {
		sleep(context.WithoutCancel(ctx), 3*routingInterval/2)
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
	name, id, err := nameOf(name)
	if err != nil {
		return lead{}, errNoAgent
	}
	of, from := name, ""
	if !original {
		if g.neverRouted() && slug.MatchString(name) {
			return lead{}, storeProblem(sqlstore.ErrUnavailable)
		}
		if a, ok := g.routing.Load().aliases[name]; ok && g.concerns(caller, a) {
			if !g.sees(caller, a) {
				return lead{}, errNoAgent
			}
			of, id, from = a.Target, mustID(a.Target), name
		}
	}
	b, ok := caller.Backend(id.Backend) // a slug that leads nowhere has none
	if !ok {
		return lead{}, errNoAgent
	}
	return lead{backend: b, native: id.Native, id: of, from: from}, nil
}

// nameOf is a name as it is kept, of one that stands in a path: an agent's id, which is given
// taken apart, too, or a slug.
func nameOf(text string) (name string, id normalize.ID, err error) {
	if plain, err := url.PathUnescape(text); err == nil {
		if id, err := normalize.ParseID(text); err == nil { // it can be written in one way only
			return plain, id, nil
		}
		if slug.MatchString(plain) {
			return plain, normalize.ID{}, nil
		}
	}
	return "", normalize.ID{}, errors.New("neither an agent's id nor a slug of a-z, 0-9 and -")
}

// sees reports whether an alias is there for a caller: its target is at a backend that the
// key maps to, and both ends are of the caller's accounts.
func (g *Gateway) sees(caller *Caller, a sqlstore.Alias) bool {
	_, ok := caller.Backend(mustID(a.Target).Backend)
	return ok && g.sameAccount(caller, a.KeyID, a.Target, a.TargetAccount) && g.concerns(caller, a)
}

// concerns reports whether the name of an alias means to a caller what it meant to the key
// that made it: an agent's id is of an account at its backend, and another account may have
// an agent of that id, too.
func (g *Gateway) concerns(caller *Caller, a sqlstore.Alias) bool {
	return g.sameAccount(caller, a.KeyID, a.Name, a.NameAccount)
}

// sameAccount reports whether a caller is of an account at an agent's backend: it was
// written down when the key made the alias, and is the one that the key has by now if its
// credential was renewed. If the key is gone and nobody has that account any more, the
// backend says whose the agent is.
func (g *Gateway) sameAccount(caller *Caller, key, agent, account string) bool {
	id, err := normalize.ParseID(agent)
	if err != nil {
		return true // a slug
	}
	mine, ok := caller.Backend(id.Backend)
	if !ok || mine.account == account || caller.KeyID == key {
		return true
	}
	keys := g.state.Load().keys
	if maker := keys.byID[key]; maker != nil {
		if theirs, ok := maker.Backend(id.Backend); ok {
			return theirs.account == mine.account
		}
	}
	return account == "" || !keys.accounts[account]
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
		lock := g.store.LockLocal
		if g.store.Shared() && g.routing.Load().moving[found.id] {
			lock = g.store.Lock
		}
		release, err := lock(ctx, movingLock(found.id), false)
		if errors.Is(err, sqlstore.ErrUnavailable) { // somebody else may be moving it
			return lead{}, nil, storeProblem(err)
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
// there may be several. A store that is away keeps nobody from writing to an agent by its
// id, unless that may lead elsewhere, which hold finds out.
func (g *Gateway) latest(ctx context.Context) error {
	if g.store == nil {
		return nil
	}
	if g.neverRouted() { // the id may be an alias for all that is known
		return storeProblem(sqlstore.ErrUnavailable)
	}
	if !g.store.Shared() {
		return nil
	}
	if err := g.router.refresh(ctx); err != nil && ctx.Err() != nil {
		p := newProblem(CodeUpstreamTimeout, "the request ended before it was known where the id leads")
		return p
	}
	return nil
}

// neverRouted reports whether nothing is known of aliases, though there may be some: the
// store was away from the start.
func (g *Gateway) neverRouted() bool {
	return g.store != nil && g.routing.Load().revision < 0 && !g.store.FileMissing()
}

func movingLock(agent string) string { return "agent " + agent }
