package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"hash/fnv"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Lock acquires a named lock, shared or exclusive, that is respected by all instances of
// the gateway. It waits until ctx ends. A waiting exclusive lock is granted before shared
// locks that are requested later.
//
// In PostgreSQL it is an advisory lock of a session, which the database releases if the
// process ends. A SQLite file has one writing instance, so the lock is local to the process
// and fails with ErrUnavailable if this process is not the writer.
func (s *Store) Lock(ctx context.Context, name string, exclusive bool) (release func(), err error) {
	releaseLocal, err := s.locks.acquire(ctx, name, exclusive)
	if err != nil {
		return nil, err
	}
	if !s.shared {
		if s.file != "" && s.ready.Load() && s.checkFile(true) != nil {
			releaseLocal()
			return nil, ErrUnavailable
		}
		return releaseLocal, nil
	}
	if err := s.advisory.acquire(ctx, name, exclusive); err != nil {
		releaseLocal()
		return nil, err
	}
	return func() {
		s.advisory.release(name, exclusive)
		releaseLocal()
	}, nil
}

// LockLocal is Lock among the requests of this process only. It is for names that no other
// instance uses.
func (s *Store) LockLocal(ctx context.Context, name string, exclusive bool) (release func(), err error) {
	return s.locks.acquire(ctx, name, exclusive)
}

// localLocks are named reader-writer locks of this process whose acquisition can be
// canceled. A lock exists only while it is held or waited for.
type localLocks struct {
	mu     *sync.Mutex
	byName map[string]*localLock
}

type localLock struct {
	users     int // holders and waiters
	semaphore *semaphore.Weighted
}

// exclusiveWeight is the weight of an exclusive lock: all that the semaphore has. A shared
// lock has weight 1.
const exclusiveWeight = 1 << 30

func newLocalLocks() localLocks { return localLocks{&sync.Mutex{}, map[string]*localLock{}} }

func (l localLocks) acquire(ctx context.Context, name string, exclusive bool) (release func(), err error) {
	weight := int64(1)
	if exclusive {
		weight = exclusiveWeight
	}
	l.mu.Lock()
	lock := l.byName[name]
	if lock == nil {
		lock = &localLock{semaphore: semaphore.NewWeighted(exclusiveWeight)}
		l.byName[name] = lock
	}
	lock.users++
	l.mu.Unlock()
	unreference := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if lock.users--; lock.users == 0 {
			delete(l.byName, name)
		}
	}
	if err := lock.semaphore.Acquire(ctx, weight); err != nil {
		unreference()
		return nil, err
	}
	return func() { lock.semaphore.Release(weight); unreference() }, nil
}

// advisoryLocks holds all PostgreSQL advisory locks of this instance on one connection.
// localLocks have already settled which of the instance's own requests holds a lock. It
// polls instead of waiting in the database: a blocked connection could not release other
// locks.
type advisoryLocks struct {
	store *Store

	mu   sync.Mutex
	conn *sql.Conn // nil before the first lock and after the connection was lost
}

// lockPollInterval is the time between two attempts to acquire an advisory lock.
const lockPollInterval = 10 * time.Millisecond

// A named lock is two advisory locks, told apart by their class, the first of the two
// numbers of an advisory lock. Every request passes the turnstile before the main lock; an
// exclusive holder keeps the turnstile, so a stream of shared locks cannot starve it.
const (
	turnstileClass = 1_094_795_585
	mainClass      = 1_094_795_586
)

// Suffixes of the names of PostgreSQL's advisory lock functions.
const (
	sharedMode    = "_shared"
	exclusiveMode = ""
)

func (l *advisoryLocks) acquire(ctx context.Context, name string, exclusive bool) error {
	mode := sharedMode
	if exclusive {
		mode = exclusiveMode
	}
	if err := l.poll(ctx, turnstileClass, name, mode); err != nil {
		return err
	}
	err := l.poll(ctx, mainClass, name, mode)
	if err != nil || !exclusive {
		l.unlock(turnstileClass, name, mode)
	}
	return err
}

func (l *advisoryLocks) release(name string, exclusive bool) {
	if exclusive {
		l.unlock(mainClass, name, exclusiveMode)
		l.unlock(turnstileClass, name, exclusiveMode)
		return
	}
	l.unlock(mainClass, name, sharedMode)
}

// poll tries to acquire a lock until it succeeds or ctx ends.
func (l *advisoryLocks) poll(ctx context.Context, class int, name, mode string) error {
	for {
		acquired, err := l.try(ctx, class, name, mode)
		if err != nil || acquired {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPollInterval):
		}
	}
}

func (l *advisoryLocks) try(ctx context.Context, class int, name, mode string) (acquired bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err = l.store.read(ctx, func(ctx context.Context) error {
		if l.conn == nil {
			conn, err := l.store.db.Conn(ctx)
			if err != nil {
				return err
			}
			l.conn = conn
		}
		// A session can acquire a shared lock several times, and releases it as often.
		err := l.conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock"+mode+"($1, $2)", class, lockNumber(name)).Scan(&acquired)
		if err != nil {
			l.closeConn() // it may hold the lock
		}
		return err
	})
	if ctx.Err() != nil && err != nil {
		return false, ctx.Err()
	}
	return acquired, err
}

func (l *advisoryLocks) unlock(class int, name, mode string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return // the session has ended, and its locks with it
	}
	err := l.store.read(context.Background(), func(ctx context.Context) error {
		_, err := l.conn.ExecContext(ctx, "SELECT pg_advisory_unlock"+mode+"($1, $2)", class, lockNumber(name))
		return err
	})
	if err != nil {
		l.closeConn()
	}
}

// closeConn ends the session and so releases its locks. A connection that is only returned
// to the pool would keep them. The caller must hold l.mu.
func (l *advisoryLocks) closeConn() {
	_ = l.conn.Raw(func(any) error { return driver.ErrBadConn }) // makes the pool close the connection
	_ = l.conn.Close()
	l.conn = nil
}

func (l *advisoryLocks) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.closeConn()
	}
}

// lockNumber hashes a name to the second number of an advisory lock. Names that collide
// share a lock, which costs concurrency only.
func lockNumber(name string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return int32(h.Sum32())
}
