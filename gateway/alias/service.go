// Package alias resolves the ids and names in requests to agents, and writes aliases. It
// keeps the table of aliases in memory and follows the store.
//
// It may not know HTTP, nor what an agent holds. Begin with [Service.Resolve].
package alias

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

// errNoAlias is the same for an alias that is not there and one that the caller may not see.
var errNoAlias = problem.New(problem.CodeAliasNotFound, "no alias of this name points to an agent that the key can see")

// Available returns a problem if the store was never read: nothing is known of aliases then.
func (s *Service) Available() error {
	if s.Store == nil || s.table.Load().revision < 0 {
		return problem.StoreUnavailable(sqlstore.ErrUnavailable)
	}
	return nil
}

// List returns the aliases that the caller sees, by name.
func (s *Service) List(caller *auth.Caller) ([]sqlstore.Alias, error) {
	if err := s.Available(); err != nil {
		return nil, err
	}
	var list []sqlstore.Alias
	for _, a := range s.table.Load().aliases {
		if s.Visible(caller, a) {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b sqlstore.Alias) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Get returns the alias of a name as it stands in a path.
func (s *Service) Get(caller *auth.Caller, name string) (sqlstore.Alias, error) {
	if err := s.Available(); err != nil {
		return sqlstore.Alias{}, err
	}
	if name, _, err := parseName(name); err == nil {
		if a, ok := s.table.Load().aliases[name]; ok && s.Visible(caller, a) {
			return a, nil
		}
	}
	return sqlstore.Alias{}, errNoAlias
}

// Write is a write of one alias.
type Write struct {
	Caller *auth.Caller
	Name   string // as it stands in the path
	Target string // of a put: an agent's id, or a slug
	// Version is the one that is replaced or deleted; for a put, 0 for an alias that is not
	// there; for a delete, 0 for any.
	Version int64
	// Check is called with the current alias, which is zero if there is none.
	Check func(sqlstore.Alias) error
	Audit sqlstore.AuditEntry
}

// Put points an alias to an agent. No write to the agents involved runs meanwhile.
func (s *Service) Put(ctx context.Context, w Write) (sqlstore.Alias, error) {
	none := sqlstore.Alias{}
	name, _, err := parseName(w.Name)
	if err != nil {
		return none, problem.InvalidField("/name", normalize.InvalidValue, "the name in the path is "+err.Error())
	}
	if err := s.Available(); err != nil {
		return none, err
	}
	account, err := s.mayRedirect(ctx, w.Caller, name)
	if err != nil {
		return none, err
	}
	target, _, err := parseName(w.Target)
	if err != nil {
		return none, problem.InvalidField("/target", normalize.InvalidValue, err.Error())
	}
	to, err := s.Resolve(w.Caller, target, false)
	if err != nil {
		return none, err
	}
	if to.ID == name || target == name {
		return none, problem.New(problem.CodeAliasConflict, "%s would point back to itself", name)
	}
	if known, ok := s.table.Load().aliases[name]; ok && !s.Visible(w.Caller, known) {
		return none, problem.New(problem.CodeAliasConflict, "the name is taken")
	}
	if _, err := to.Backend.Endpoint(ctx, backend.Call{Op: adapters.OpGet, Credential: to.Backend.Credential, NativeID: to.NativeID}); err != nil {
		return none, problem.FromBackend(to.Backend.Name, adapters.OpGet, err)
	}
	release, err := s.LockExclusive(ctx, name, s.table.Load().aliases[name].Target)
	if err != nil {
		return none, err
	}
	defer release()
	if err := w.Check(s.table.Load().aliases[name]); err != nil {
		return none, err
	}
	put := sqlstore.Alias{Name: name, Target: to.ID, KeyID: w.Caller.KeyID, NameAccount: account, TargetAccount: to.Backend.Account, UpdatedAt: Now()}
	if to.Alias != "" {
		put.Target = to.Alias // the store resolves it, and knows that it did
	}
	alias, err := s.Store.PutAlias(ctx, put, w.Version, w.Audit)
	if err != nil {
		return none, aliasProblem(name, err)
	}
	s.Refresh(ctx)
	return alias, nil
}

// mayRedirect returns the account of the agent whose id the name is, if the caller may
// point that id elsewhere: it can read the agent, or an alias redirects it already.
func (s *Service) mayRedirect(ctx context.Context, caller *auth.Caller, name string) (account string, err error) {
	id, err := normalize.ParseID(name)
	if err != nil {
		return "", nil // a slug
	}
	b, ok := caller.Backend(id.Backend)
	if !ok {
		return "", errNoAgent
	}
	if known, ok := s.table.Load().aliases[name]; ok && s.Visible(caller, known) {
		return b.Account, nil
	}
	result, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: id.Native})
	if err != nil {
		return "", problem.FromBackend(b.Name, adapters.OpGet, err)
	}
	if agent := result.Detail.Agent; agent.ID != name {
		return "", problem.InvalidField("/name", normalize.InvalidValue, "the agent's own id is "+agent.ID+"; make the alias of that one")
	}
	return b.Account, nil
}

// Delete deletes an alias.
func (s *Service) Delete(ctx context.Context, w Write) error {
	a, err := s.Get(w.Caller, w.Name)
	if err != nil {
		return err
	}
	if err := w.Check(a); err != nil {
		return err
	}
	release, err := s.LockExclusive(ctx, a.Target)
	if err != nil {
		return err
	}
	defer release()
	found, err := s.Store.DeleteAlias(ctx, a.Name, w.Version, w.Audit)
	if err != nil {
		return aliasProblem(a.Name, err)
	}
	if !found {
		return errNoAlias
	}
	s.Refresh(ctx)
	return nil
}

func aliasProblem(name string, err error) *problem.Problem {
	switch {
	case errors.Is(err, sqlstore.ErrVersionMismatch):
		return problem.New(problem.CodeAliasConflict, "%s does not have the version that the request names; read it, and send its version (0 for an alias that does not exist)", name)
	case errors.Is(err, sqlstore.ErrCycle):
		return problem.New(problem.CodeAliasConflict, "%s would point back to itself", name)
	}
	return problem.StoreUnavailable(err)
}

// LockExclusive waits until no write to these agents runs, and keeps others waiting until
// release is called.
func (s *Service) LockExclusive(ctx context.Context, agents ...string) (release func(), err error) {
	slices.Sort(agents)
	var held []func()
	release = func() {
		for _, r := range held {
			r()
		}
	}
	for _, id := range slices.Compact(agents) {
		if id == "" {
			continue
		}
		r, err := s.Store.Lock(ctx, lockName(id), true)
		if err != nil {
			release()
			return nil, problem.StoreUnavailable(err)
		}
		held = append(held, r)
	}
	return release, nil
}

// Superseded returns the native ids of the agents of a backend that an alias supersedes.
func (s *Service) Superseded(caller *auth.Caller, backend string) (natives []string) {
	for _, superseded := range s.table.Load().superseded[backend] {
		if s.Visible(caller, superseded.alias) {
			natives = append(natives, superseded.nativeID)
		}
	}
	return natives
}

// Now is the time to the precision with which the store keeps it.
func Now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
