package alias

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

	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

// Table is where names lead: what the store has, in memory, so that no read asks the
// store. It is not changed after it was made.
type Table struct {
	Generation uint64 // tells it from all others of this process
	revision   int64
	aliases    map[string]sqlstore.Alias // by name
	// Shadows are migrations whose target is read along, by the id of their source.
	shadows map[string][]sqlstore.Shadow
	// migrating are agents that a migration may lead to or from.
	migrating map[string]bool
	// superseded are the aliases whose name is an agent's id, by its backend.
	superseded map[string][]superseded
}

// superseded is an agent that an alias leads away from.
type superseded struct {
	nativeID string
	alias    sqlstore.Alias
}

// pollInterval is how often the store is polled for what other instances wrote. What this
// instance writes holds at once.
const pollInterval = 500 * time.Millisecond

// Service resolves and writes aliases. Resolving reads a table in memory, which follows
// the store. It is safe for concurrent use.
type Service struct {
	Options
	table   atomic.Pointer[Table]
	storeUp atomic.Bool   // the store answered the last poll
	polling chan struct{} // held by whoever reads the store
	stop    context.CancelFunc
	running sync.WaitGroup
}

// Options are what an aliasService is made of.
type Options struct {
	Store *sqlstore.Store // nil: there are no aliases
	Log   *slog.Logger
	// Keys returns the current keys.
	Keys func() *auth.Keyring
	// OnChange is called with the ids of agents whose aliases another instance may have
	// changed: it may have written to the agents, too.
	OnChange func(agents []string)
}

// New reads the table and follows the store until Close.
func New(o Options) *Service {
	s := &Service{Options: o, polling: make(chan struct{}, 1), stop: func() {}}
	s.table.Store(&Table{revision: -1})
	if o.Store == nil {
		return s
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	_ = s.poll(ctx) // the store logs what is wrong; reads by id work meanwhile
	s.running.Go(func() { Poll(ctx, func() { _ = s.poll(ctx) }) })
	return s
}

// Poll calls do in each pollInterval until ctx ends.
func Poll(ctx context.Context, do func()) {
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
func (s *Service) Close() {
	s.stop()
	s.running.Wait()
}

// poll reads the table again if somebody wrote to it.
func (s *Service) poll(ctx context.Context) error {
	select {
	case s.polling <- struct{}{}:
		defer func() { <-s.polling }()
	case <-ctx.Done():
		return ctx.Err()
	}
	known := s.table.Load()
	revision, err := s.Store.Revision(ctx)
	s.storeUp.Store(err == nil)
	if err != nil || revision == known.revision {
		return err
	}
	routes, err := s.Store.Routes(ctx)
	if err != nil {
		return err
	}
	next := newTable(routes)
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

// Shadows returns the migrations that read their target beside this source agent.
func (t *Table) Shadows(source string) []sqlstore.Shadow { return t.shadows[source] }

// Lookup returns the alias of a name in its stored form, visible to a caller or not.
func (s *Service) Lookup(name string) (alias sqlstore.Alias, ok bool) {
	alias, ok = s.table.Load().aliases[name]
	return alias, ok
}

// Current returns the table of the moment.
func (s *Service) Current() *Table { return s.table.Load() }

// State reports whether the store can be read, and the number of aliases.
func (s *Service) State() (up bool, aliases int) {
	return s.storeUp.Load(), len(s.table.Load().aliases)
}

// lastGeneration is how many there were in this process.
var lastGeneration atomic.Uint64

func newTable(routes sqlstore.Routes) *Table {
	r := &Table{
		Generation: lastGeneration.Add(1), revision: routes.Revision, aliases: make(map[string]sqlstore.Alias, len(routes.Aliases)), shadows: make(map[string][]sqlstore.Shadow, len(routes.Shadows)),
		migrating: make(map[string]bool, len(routes.Migrating)), superseded: map[string][]superseded{},
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
		r.migrating[id] = true
	}
	return r
}

// Refresh has what this instance wrote hold from here on. It is written already, so it is
// tried for a while.
func (s *Service) Refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
	defer cancel()
	for {
		err := s.poll(ctx)
		if err == nil {
			return
		}
		if !backend.Sleep(ctx, refreshTimeout/40) {
			s.Log.WarnContext(ctx, "what was written holds here a moment later", "error", err.Error())
			return
		}
	}
}

// refreshTimeout is how long it is tried to read what was just written.
const refreshTimeout = 2 * time.Second

// RefreshEverywhere does the same, and waits until other instances have seen it: writes that
// are held meanwhile then change nothing that anybody still reads at the old place.
func (s *Service) RefreshEverywhere(ctx context.Context) {
	s.Refresh(ctx)
	if s.Store.Shared() {
		backend.Sleep(context.WithoutCancel(ctx), 3*pollInterval/2)
	}
}

// slug is a name of an alias that is no agent's id.
var slug = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

// Target is where a name leads.
type Target struct {
	Backend  auth.CallerBackend
	NativeID string
	ID       string // the agent's
	Alias    string // the name, if an alias led here; else empty
}

var errNoAgent = problem.New(problem.CodeAgentNotFound, "no agent with this id on the backends that the key maps to")

// Resolve finds the backend and the agent that a name in a path leads to: by an alias, unless
// the original is asked for. What does not parse, what the key does not map to, and what is
// not there are the same to a caller.
func (s *Service) Resolve(caller *auth.Caller, name string, original bool) (Target, error) {
	name, id, err := parseName(name)
	if err != nil {
		return Target{}, errNoAgent
	}
	of, from := name, ""
	if !original {
		if s.neverLoaded() && slug.MatchString(name) {
			return Target{}, problem.StoreUnavailable(sqlstore.ErrUnavailable)
		}
		if a, ok := s.table.Load().aliases[name]; ok && s.SameNamespace(caller, a) {
			if !s.Visible(caller, a) {
				return Target{}, errNoAgent
			}
			of, id, from = a.Target, ParseStoredID(a.Target), name
		}
	}
	b, ok := caller.Backend(id.Backend) // a slug that leads nowhere has none
	if !ok {
		return Target{}, errNoAgent
	}
	return Target{Backend: b, NativeID: id.Native, ID: of, Alias: from}, nil
}

// parseName is a name as it is kept, of one that stands in a path: an agent's id, which is given
// taken apart, too, or a slug.
func parseName(text string) (name string, id normalize.ID, err error) {
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

// Visible reports whether an alias is there for a caller: its target is at a backend that the
// key maps to, and both ends are of the caller's accounts.
func (s *Service) Visible(caller *auth.Caller, a sqlstore.Alias) bool {
	_, ok := caller.Backend(ParseStoredID(a.Target).Backend)
	return ok && s.sameAccount(caller, a.KeyID, a.Target, a.TargetAccount) && s.SameNamespace(caller, a)
}

// SameNamespace reports whether the name of an alias means to a caller what it meant to the key
// that made it: an agent's id is of an account at its backend, and another account may have
// an agent of that id, too.
func (s *Service) SameNamespace(caller *auth.Caller, a sqlstore.Alias) bool {
	return s.sameAccount(caller, a.KeyID, a.Name, a.NameAccount)
}

// sameAccount reports whether a caller is of an account at an agent's backend: it was
// written down when the key made the alias, and is the one that the key has by now if its
// credential was renewed. If the key is gone and nobody has that account any more, the
// backend says whose the agent is.
func (s *Service) sameAccount(caller *auth.Caller, key, agent, account string) bool {
	id, err := normalize.ParseID(agent)
	if err != nil {
		return true // a slug
	}
	mine, ok := caller.Backend(id.Backend)
	if !ok || mine.Account == account || caller.KeyID == key {
		return true
	}
	keys := s.Keys()
	if maker := keys.Caller(key); maker != nil {
		if theirs, ok := maker.Backend(id.Backend); ok {
			return theirs.Account == mine.Account
		}
	}
	return account == "" || !keys.HasAccount(account)
}

// LockTarget keeps an agent from being moved to another backend while it is written, and finds
// where the name leads once it is certain. Release it when the write is over.
func (s *Service) LockTarget(ctx context.Context, caller *auth.Caller, name string, original bool) (found Target, release func(), err error) {
	for {
		if err := s.Sync(ctx); err != nil {
			return Target{}, nil, err
		}
		if found, err = s.Resolve(caller, name, original); err != nil {
			return Target{}, nil, err
		}
		if s.Store == nil {
			return found, func() {}, nil
		}
		lock := s.Store.LockLocal
		if s.Store.Shared() && s.table.Load().migrating[found.ID] {
			lock = s.Store.Lock
		}
		release, err := lock(ctx, lockName(found.ID), false)
		if errors.Is(err, sqlstore.ErrUnavailable) { // somebody else may be moving it
			return Target{}, nil, problem.StoreUnavailable(err)
		}
		if err != nil {
			p := problem.New(problem.CodeUpstreamUnavailable, "the agent is just being moved to another backend")
			p.RetryAfter = time.Second
			return Target{}, nil, p
		}
		if err := s.Sync(ctx); err != nil {
			release()
			return Target{}, nil, err
		}
		again, err := s.Resolve(caller, name, original)
		if err == nil && again.ID == found.ID {
			return again, release, nil
		}
		release() // it was moved meanwhile
	}
}

// Sync has the routing be that of all instances. Only writes ask for it, and only where
// there may be several. A store that is away keeps nobody from writing to an agent by its
// id, unless that may lead elsewhere, which hold finds out.
func (s *Service) Sync(ctx context.Context) error {
	if s.Store == nil {
		return nil
	}
	if s.neverLoaded() { // the id may be an alias for all that is known
		return problem.StoreUnavailable(sqlstore.ErrUnavailable)
	}
	if !s.Store.Shared() {
		return nil
	}
	if err := s.poll(ctx); err != nil && ctx.Err() != nil {
		p := problem.New(problem.CodeUpstreamTimeout, "the request ended before it was known where the id leads")
		return p
	}
	return nil
}

// neverLoaded reports whether nothing is known of aliases, though there may be some: the
// store was away from the start.
func (s *Service) neverLoaded() bool {
	return s.Store != nil && s.table.Load().revision < 0 && !s.Store.FileMissing()
}

func lockName(agent string) string { return "agent " + agent }

// PointingTo are the aliases that lead to an agent, as far as the caller sees them.
func (s *Service) PointingTo(caller *auth.Caller, agent string) (names []string) {
	for name, a := range s.table.Load().aliases {
		if a.Target == agent && s.Visible(caller, a) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// ParseStoredID reads an id that was written by us.
func ParseStoredID(text string) normalize.ID {
	id, err := normalize.ParseID(text)
	if err != nil {
		return normalize.ID{}
	}
	return id
}
