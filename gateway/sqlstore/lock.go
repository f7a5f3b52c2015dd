package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"hash/fnv"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Lock waits, until ctx ends, for a lock that all instances of the gateway know: with
// other sharers, or alone. Who wants it alone is let in before sharers that come later.
// With PostgreSQL it is one of the database's own (an advisory lock of a session), so that
// it ends with the process; a file is for one instance.
func (s *Store) Lock(ctx context.Context, name string, alone bool) (release func(), err error) {
	here, err := s.locks.acquire(ctx, name, alone)
	if err != nil {
		return here, err
	}
	if !s.shared {
		if s.file != "" && s.ready.Load() && s.usable(true) != nil {
			here()
			return nil, ErrUnavailable
		}
		return here, nil
	}
	if err := s.session.acquire(ctx, name, alone); err != nil {
		here()
		return nil, err
	}
	return func() {
		s.session.release(name, alone)
		here()
	}, nil
}

// LockHere is Lock among this process' own requests only: what no other instance can be at
// needs no more.
func (s *Store) LockHere(ctx context.Context, name string, alone bool) (release func(), err error) {
	return s.locks.acquire(ctx, name, alone)
}

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

func (l locks) acquire(ctx context.Context, name string, alone bool) (release func(), err error) {
	seats := int64(1)
	if alone {
		seats = everyone
	}
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

// session is one connection on which this instance holds all its advisory locks: what its
// own requests hold of them is settled by locks before. It never waits in the database, so
// that one who waits keeps nobody from giving back.
type session struct {
	store *Store

	mu   sync.Mutex
	conn *sql.Conn // nil: there is none yet, or it was lost
}

// lockPause is how long to wait between two attempts.
const lockPause = 10 * time.Millisecond

// How a lock is written in SQL: two numbers, the first of which says which of its two
// halves it is. Whoever wants it alone takes the door first, through which all others
// come, so that no stream of sharers keeps it out.
const (
	lockDoor = 1_094_795_585
	lockRoom = 1_094_795_586
)

func (s *session) acquire(ctx context.Context, name string, alone bool) error {
	mode := "_shared"
	if alone {
		mode = ""
	}
	if err := s.wait(ctx, lockDoor, name, mode); err != nil {
		return err
	}
	// Sharers leave the door open behind them; whoever is alone keeps it shut.
	err := s.wait(ctx, lockRoom, name, mode)
	if err != nil || !alone {
		s.give(lockDoor, name, mode)
	}
	return err
}

func (s *session) release(name string, alone bool) {
	if alone {
		s.give(lockRoom, name, "")
		s.give(lockDoor, name, "")
		return
	}
	s.give(lockRoom, name, "_shared")
}

func (s *session) wait(ctx context.Context, half int, name, mode string) error {
	for {
		got, err := s.try(ctx, half, name, mode)
		if err != nil || got {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

func (s *session) try(ctx context.Context, half int, name, mode string) (got bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.store.within(ctx, func(ctx context.Context) error {
		if s.conn == nil {
			conn, err := s.store.db.Conn(ctx)
			if err != nil {
				return err
			}
			s.conn = conn
		}
		// A session that shares a lock may take it again: each is given back by itself.
		err := s.conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock"+mode+"($1, $2)", half, number(name)).Scan(&got)
		if err != nil {
			s.drop() // perhaps it was taken: the session must end
		}
		return err
	})
	if ctx.Err() != nil && err != nil {
		return false, ctx.Err()
	}
	return got, err
}

func (s *session) give(half int, name, mode string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return // it ended, and its locks with it
	}
	err := s.store.within(context.Background(), func(ctx context.Context) error {
		_, err := s.conn.ExecContext(ctx, "SELECT pg_advisory_unlock"+mode+"($1, $2)", half, number(name))
		return err
	})
	if err != nil {
		s.drop()
	}
}

// drop ends the session. A connection that was given back to the pool would keep its locks.
func (s *session) drop() {
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn }) // driver.ErrBadConn: the pool closes it
	_ = s.conn.Close()
	s.conn = nil
}

func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.drop()
	}
}

func number(name string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // it never fails
	return int32(h.Sum32())
}
