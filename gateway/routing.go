package gateway

import (
	"context"
	"errors"
	"log/slog"
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

// pollInterval is how often the store is polled for what other instances wrote. What this
// instance writes holds at once.
const pollInterval = 500 * time.Millisecond

// aliasService resolves and writes aliases. Resolving reads a table in memory, which follows
// the store. It is safe for concurrent use.
type aliasService struct {
	aliasOptions
	table   atomic.Pointer[routing]
	up      atomic.Bool   // the store answered the last poll
	loading chan struct{} // held by whoever reads the store
	stop    context.CancelFunc
	running sync.WaitGroup
}

// aliasOptions are what an aliasService is made of.
type aliasOptions struct {
	Store *sqlstore.Store // nil: there are no aliases
	Log   *slog.Logger
	// Keys returns the current keys.
	Keys func() *keyring
	// OnChange is called with the ids of agents whose aliases another instance may have
	// changed: it may have written to the agents, too.
	OnChange func(agents []string)
}

// newAliasService reads the table and follows the store until Close.
func newAliasService(o aliasOptions) *aliasService {
	s := &aliasService{aliasOptions: o, loading: make(chan struct{}, 1), stop: func() {}}
	s.table.Store(&routing{revision: -1})
	if o.Store == nil {
		return s
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	_ = s.refresh(ctx) // the store logs what is wrong; reads by id work meanwhile
	s.running.Go(func() { poll(ctx, func() { _ = s.refresh(ctx) }) })
	return s
}

// poll calls do in each pollInterval until ctx ends.
func poll(ctx context.Context, do func()) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			do()
		}
	}
}

// Close stops following the store.
func (s *aliasService) Close() {
	s.stop()
	s.running.Wait()
}

// refresh reads the table again if somebody wrote to it.
func (s *aliasService) refresh(ctx context.Context) error {
	select {
	case s.loading <- struct{}{}:
		defer func() { <-s.loading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	known := s.table.Load()
	revision, err := s.Store.Revision(ctx)
	s.up.Store(err == nil)
	if err != nil || revision == known.revision {
		return err
	}
	routes, err := s.Store.Routes(ctx)
	if err != nil {
		return err
	}
	next := newRouting(routes)
	s.table.Store(next)
	if !maps.Equal(known.aliases, next.aliases) {
		s.OnChange(changedAgents(known.aliases, next.aliases))
	}
	return nil
}

// changedAgents returns the names and targets of aliases that differ.
func changedAgents(before, now map[string]sqlstore.Alias) (agents []string) {
	changed := func(a, b map[string]sqlstore.Alias) {
		for name, alias := range a {
			if b[name].Target != alias.Target {
				agents = append(agents, name, alias.Target)
			}
		}
	}
	changed(before, now)
	changed(now, before)
	return agents
}

// Current returns the table of the moment.
func (s *aliasService) Current() *routing { return s.table.Load() }

// State reports whether the store can be read, and the number of aliases.
func (s *aliasService) State() (up bool, aliases int) {
	return s.up.Load(), len(s.table.Load().aliases)
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

// rerouted has what this instance wrote hold from here on. It is written already, so it is
// tried for a while.
func (s *aliasService) rerouted(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reroutePatience)
	defer cancel()
	for {
		err := s.refresh(ctx)
		if err == nil {
			return
		}
		if !sleep(ctx, reroutePatience/40) {
			s.Log.WarnContext(ctx, "what was written holds here a moment later", "error", err.Error())
			return
		}
	}
}

// reroutePatience is how long it is tried to read what was just written.
const reroutePatience = 2 * time.Second

// ledElsewhere does the same, and waits until other instances have seen it: writes that
// are held meanwhile then change nothing that anybody still reads at the old place.
func (s *aliasService) ledElsewhere(ctx context.Context) {
	s.rerouted(ctx)
	if s.Store.Shared() {
		sleep(context.WithoutCancel(ctx), 3*pollInterval/2)
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
func (s *aliasService) lead(caller *Caller, name string, original bool) (lead, error) {
	name, id, err := nameOf(name)
	if err != nil {
		return lead{}, errNoAgent
	}
	of, from := name, ""
	if !original {
		if s.neverRouted() && slug.MatchString(name) {
			return lead{}, storeProblem(sqlstore.ErrUnavailable)
		}
		if a, ok := s.table.Load().aliases[name]; ok && s.concerns(caller, a) {
			if !s.sees(caller, a) {
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
func (s *aliasService) sees(caller *Caller, a sqlstore.Alias) bool {
	_, ok := caller.Backend(mustID(a.Target).Backend)
	return ok && s.sameAccount(caller, a.KeyID, a.Target, a.TargetAccount) && s.concerns(caller, a)
}

// concerns reports whether the name of an alias means to a caller what it meant to the key
// that made it: an agent's id is of an account at its backend, and another account may have
// an agent of that id, too.
func (s *aliasService) concerns(caller *Caller, a sqlstore.Alias) bool {
	return s.sameAccount(caller, a.KeyID, a.Name, a.NameAccount)
}

// sameAccount reports whether a caller is of an account at an agent's backend: it was
// written down when the key made the alias, and is the one that the key has by now if its
// credential was renewed. If the key is gone and nobody has that account any more, the
// backend says whose the agent is.
func (s *aliasService) sameAccount(caller *Caller, key, agent, account string) bool {
	id, err := normalize.ParseID(agent)
	if err != nil {
		return true // a slug
	}
	mine, ok := caller.Backend(id.Backend)
	if !ok || mine.account == account || caller.KeyID == key {
		return true
	}
	keys := s.Keys()
	if maker := keys.byID[key]; maker != nil {
		if theirs, ok := maker.Backend(id.Backend); ok {
			return theirs.account == mine.account
		}
	}
	return account == "" || !keys.accounts[account]
}

// hold keeps an agent from being moved to another backend while it is written, and finds
// where the name leads once it is certain. Release it when the write is over.
func (s *aliasService) hold(ctx context.Context, caller *Caller, name string, original bool) (found lead, release func(), err error) {
	for {
		if err := s.latest(ctx); err != nil {
			return lead{}, nil, err
		}
		if found, err = s.lead(caller, name, original); err != nil {
			return lead{}, nil, err
		}
		if s.Store == nil {
			return found, func() {}, nil
		}
		lock := s.Store.LockLocal
		if s.Store.Shared() && s.table.Load().moving[found.id] {
			lock = s.Store.Lock
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
		if err := s.latest(ctx); err != nil {
			release()
			return lead{}, nil, err
		}
		again, err := s.lead(caller, name, original)
		if err == nil && again.id == found.id {
			return again, release, nil
		}
		release() // it was moved meanwhile
	}
}

// latest has the routing be that of all instances. Only writes ask for it, and only where
// there may be several. A store that is away keeps nobody from writing to an agent by its
// id, unless that may lead elsewhere, which hold finds out.
func (s *aliasService) latest(ctx context.Context) error {
	if s.Store == nil {
		return nil
	}
	if s.neverRouted() { // the id may be an alias for all that is known
		return storeProblem(sqlstore.ErrUnavailable)
	}
	if !s.Store.Shared() {
		return nil
	}
	if err := s.refresh(ctx); err != nil && ctx.Err() != nil {
		p := newProblem(CodeUpstreamTimeout, "the request ended before it was known where the id leads")
		return p
	}
	return nil
}

// neverRouted reports whether nothing is known of aliases, though there may be some: the
// store was away from the start.
func (s *aliasService) neverRouted() bool {
	return s.Store != nil && s.table.Load().revision < 0 && !s.Store.FileMissing()
}

func movingLock(agent string) string { return "agent " + agent }

// leadingTo are the aliases that lead to an agent, as far as the caller sees them.
func (s *aliasService) leadingTo(caller *Caller, agent string) (names []string) {
	for name, a := range s.table.Load().aliases {
		if a.Target == agent && s.sees(caller, a) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
