package alias

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/normalize"
)

// errNoAlias is the same for an alias that does not exist and one that the caller cannot see.
var errNoAlias = problem.New(problem.CodeAliasNotFound, "no alias of this name points to an agent that the key can see")

// List returns the aliases that the caller can see, by name. No two have the same name.
func (s *Service) List(caller *auth.Caller) ([]sqlstore.Alias, error) {
	if err := s.Available(); err != nil {
		return nil, err
	}
	var list []sqlstore.Alias
	for _, a := range s.table.Load().aliases {
		if first, ok := s.lookup(caller, a.Name); ok && first.Owner == a.Owner && s.Visible(caller, a) {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b sqlstore.Alias) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Get returns the alias that a path names.
func (s *Service) Get(caller *auth.Caller, name string) (sqlstore.Alias, error) {
	if err := s.Available(); err != nil {
		return sqlstore.Alias{}, err
	}
	if name, _, err := parseName(name); err == nil {
		if a, ok := s.lookup(caller, name); ok && s.Visible(caller, a) {
			return a, nil
		}
	}
	return sqlstore.Alias{}, errNoAlias
}

// Write is a request to put or delete an alias.
type Write struct {
	Caller *auth.Caller
	Name   string // as in the path
	Target string // for Put: an agent's id, or a slug
	// Version is the expected version. For Put, 0 means that the alias must not exist; for
	// Delete, 0 means any version.
	Version int64
	// CurrentVersion stands for the version that the alias has, after Check; it replaces a
	// Version of 0. Put only.
	CurrentVersion bool
	// Check is called with the current alias, the zero Alias if there is none. Its error
	// cancels the write.
	Check func(sqlstore.Alias) error
	Audit sqlstore.AuditEntry
}

// Put creates or changes an alias. No write to the agents involved runs meanwhile. If the alias
// has the target already, it changes nothing, whatever the version, so that a client may put the
// same again; changed is false then.
func (s *Service) Put(ctx context.Context, w Write) (put sqlstore.Alias, changed bool, err error) {
	none := sqlstore.Alias{}
	name, _, err := parseName(w.Name)
	if err != nil {
		return none, false, problem.InvalidField("/name", normalize.InvalidValue, "the name in the path is "+err.Error())
	}
	if err := s.Available(); err != nil {
		return none, false, err
	}
	if err := s.checkName(ctx, w.Caller, name); err != nil {
		return none, false, err
	}
	target, _, err := parseName(w.Target)
	if err != nil {
		return none, false, problem.InvalidField("/target", normalize.InvalidValue, err.Error())
	}
	to, err := s.Resolve(w.Caller, target, false)
	if err != nil {
		return none, false, err
	}
	if to.ID == name || target == name {
		return none, false, cycleProblem(name)
	}
	owner := ownersOf(w.Caller, name)[0]
	if known, ok := s.lookup(w.Caller, name); ok {
		if !s.Visible(w.Caller, known) {
			return none, false, problem.New(problem.CodeAliasConflict, "the name %s is taken; choose another", name)
		}
		owner = known.Owner
	}
	if _, err := to.Backend.Endpoint(ctx, backend.Call{Op: adapters.OpGet, Credential: to.Backend.Credential, NativeID: to.NativeID}); err != nil {
		return none, false, to.Backend.Problem(adapters.OpGet, to.NativeID, err)
	}
	current, _ := s.lookup(w.Caller, name)
	release, err := s.LockExclusive(ctx, append(locksOf(current), Lock{sqlstore.AccountOf(owner), name})...)
	if err != nil {
		return none, false, err
	}
	defer release()
	current, _ = s.lookup(w.Caller, name) // it may have changed before the lock was taken
	if err := w.Check(current); err != nil {
		return none, false, err
	}
	if w.CurrentVersion && w.Version == 0 {
		w.Version = current.Version
	}
	if current.Name != "" && current.Target == to.ID && current.TargetAccount == to.Backend.Account {
		return current, false, nil
	}
	put = sqlstore.Alias{Owner: owner, Name: name, Target: to.ID, KeyID: w.Caller.KeyID, TargetAccount: to.Backend.Account, UpdatedAt: Now()}
	if to.Alias != "" {
		put.Target, put.TargetOwner = to.Alias, to.owner // the store resolves it in the transaction
	}
	alias, err := s.Store.PutAlias(ctx, put, w.Version, w.Audit)
	if err != nil {
		return none, false, s.writeProblem(ctx, w, name, err)
	}
	s.recordAccounts(context.WithoutCancel(ctx), alias)
	s.Refresh(ctx)
	return alias, true, nil
}

// checkName checks that the caller may use a name for an alias. If the name is an agent's id,
// the caller must be able to read that agent, or the alias that has the name already.
func (s *Service) checkName(ctx context.Context, caller *auth.Caller, name string) error {
	id, err := normalize.ParseID(name)
	if err != nil {
		return nil // a slug
	}
	b, ok := caller.Backend(id.Backend)
	if !ok {
		return auth.AgentNotFound(caller, name)
	}
	if known, ok := s.lookup(caller, name); ok && s.Visible(caller, known) {
		return nil
	}
	result, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: id.Native})
	if err != nil {
		return b.Problem(adapters.OpGet, id.Native, err)
	}
	if agent := result.Detail.Agent; agent.ID != name {
		return problem.InvalidField("/name", normalize.InvalidValue, name+" is an alternate id of "+agent.ID+"; use "+agent.ID+" as the name")
	}
	return nil
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
	release, err := s.LockExclusive(ctx, Lock{a.TargetAccount, a.Target})
	if err != nil {
		return err
	}
	defer release()
	found, err := s.Store.DeleteAlias(ctx, a.Owner, a.Name, w.Version, w.Audit)
	if err != nil {
		return s.writeProblem(ctx, w, a.Name, err)
	}
	if !found {
		return errNoAlias
	}
	s.Refresh(ctx)
	return nil
}

// writeProblem returns the problem for an error of the store.
func (s *Service) writeProblem(ctx context.Context, w Write, name string, err error) *problem.Problem {
	switch {
	case errors.Is(err, sqlstore.ErrVersionMismatch):
		s.Refresh(ctx) // another instance may have changed it
		current, ok := s.lookup(w.Caller, name)
		if !ok {
			return problem.New(problem.CodeAliasConflict, "%s has no version %d: it does not exist; leave out the version to create it", name, w.Version)
		}
		return problem.New(problem.CodeAliasConflict, "%s has version %d and points to %s; send \"version\": %d to replace it", name, current.Version, current.Target, current.Version)
	case errors.Is(err, sqlstore.ErrCycle):
		return cycleProblem(name)
	case errors.Is(err, sqlstore.ErrTooMany):
		return problem.InvalidField("/name", normalize.InvalidValue, fmt.Sprintf("this key has %d aliases, which is the limit; delete those that are not needed", sqlstore.MaxAliasesPerKey))
	}
	return problem.StoreUnavailable(err)
}

func cycleProblem(name string) *problem.Problem {
	return problem.New(problem.CodeAliasConflict, "%s would point back to itself; choose another target", name)
}
