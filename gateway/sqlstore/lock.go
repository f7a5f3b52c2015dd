package sqlstore

import (
	"context"
	"database/sql"
	"hash/fnv"
	"sync"

	"golang.org/x/sync/semaphore"
)

// locks are held by this process: any number shared, or one alone.
type locks struct {
	mu     *sync.Mutex
	byName map[string]*held
}

type held struct {
	users int // who have it, or wait for it
	seats *semaphore.Weighted
}

// everyone is more than can hold a lock at once.
const everyone = 1 << 30

func newLocks() locks { return locks{&sync.Mutex{}, map[string]*held{}} }

// acquire waits for a lock until ctx ends. Who wants it alone is let in before those that
// come later.
func (l locks) acquire(ctx context.Context, name string, seats int64) (release func(), err error) {
	l.mu.Lock()
	h := l.byName[name]
	if h == nil {
		h = &held{seats: semaphore.NewWeighted(everyone)}
		l.byName[name] = h
	}
	h.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if h.users--; h.users == 0 {
			delete(l.byName, name)
		}
	}
	if err := h.seats.Acquire(ctx, seats); err != nil {
		leave()
		return nil, err
	}
	return func() { h.seats.Release(seats); leave() }, nil
}

// Lock waits, until ctx ends, for a lock that all instances of the gateway know: with
// other sharers, or alone. With PostgreSQL it is one of the database's own (an advisory
// lock of its session), so that it ends with the process; a file is for one instance.
func (s *Store) Lock(ctx context.Context, name string, alone bool) (release func(), err error) {
	seats := int64(1)
	if alone {
		seats = everyone
	}
	here, err := s.locks.acquire(ctx, name, seats)
	if err != nil || !s.shared {
		return here, err
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		here()
		return nil, ErrUnavailable
	}
	lock, unlock := "SELECT pg_advisory_lock_shared($1)", "SELECT pg_advisory_unlock_shared($1)"
	if alone {
		lock, unlock = "SELECT pg_advisory_lock($1)", "SELECT pg_advisory_unlock($1)"
	}
	number := numberOf(name)
	if _, err := conn.ExecContext(ctx, lock, number); err != nil {
		_ = conn.Raw(func(any) error { return sql.ErrConnDone }) // perhaps it was locked: the session must end
		_ = conn.Close()
		here()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, ErrUnavailable
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, err := conn.ExecContext(ctx, unlock, number); err != nil {
			s.log.Warn("a lock of the store could not be given back", "error", reason(err)) // it ends with the connection
		}
		_ = conn.Close()
		here()
	}, nil
}

func numberOf(name string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("agentgw " + name)) // it never fails
	return int64(h.Sum64())
}
