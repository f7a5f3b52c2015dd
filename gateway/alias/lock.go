package alias

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
)

// LockTarget resolves a name and takes a shared lock of the agent, so that no cutover or
// rollback changes what the name resolves to until release is called.
//
// The lock is local to this instance unless a migration of the agent is under way and other
// instances share the store.
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
		release, err := lock(ctx, Lock{found.Backend.Account, found.ID}.name(), false)
		if errors.Is(err, sqlstore.ErrUnavailable) { // another instance may be in a cutover
			return Target{}, nil, problem.StoreUnavailable(err)
		}
		if err != nil {
			p := problem.New(problem.CodeUpstreamUnavailable, "a migration is switching %s to another agent; try again", found.ID)
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
		release() // the name changed while this call waited for the lock
	}
}

// Lock names an agent of an account, or an alias of an owner, for LockExclusive. Accounts may
// number their agents alike, and must not wait for each other.
type Lock struct{ Account, ID string }

func (l Lock) name() string { return "agent " + l.Account + " " + l.ID }

// LockExclusive waits until no write to these agents runs, and blocks new ones until release
// is called. Locks without an ID are ignored.
func (s *Service) LockExclusive(ctx context.Context, locks ...Lock) (release func(), err error) {
	var names []string
	for _, l := range locks {
		if l.ID != "" {
			names = append(names, l.name())
		}
	}
	slices.Sort(names) // one order for all callers, so that they cannot deadlock
	var held []func()
	release = func() {
		for _, r := range held {
			r()
		}
	}
	for _, name := range slices.Compact(names) {
		r, err := s.Store.Lock(ctx, name, true)
		if err != nil {
			release()
			return nil, problem.StoreUnavailable(err)
		}
		held = append(held, r)
	}
	return release, nil
}

// locksOf returns the locks of an alias: its name, if that is an agent's id, and its target.
func locksOf(a sqlstore.Alias) []Lock {
	return []Lock{{sqlstore.AccountOf(a.Owner), a.Name}, {a.TargetAccount, a.Target}}
}
