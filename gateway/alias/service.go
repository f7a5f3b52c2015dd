// Package alias resolves the ids and names in requests to agents, and writes aliases. It
// keeps the table of aliases in memory and polls the store for changes.
//
// It may not know HTTP, nor what an agent holds. Begin with [Service.Resolve].
package alias

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
)

const (
	// pollInterval is how often the store is polled for writes of other instances. Writes
	// of this instance take effect at once.
	pollInterval = 500 * time.Millisecond
	// refreshTimeout bounds how long Refresh retries.
	refreshTimeout = 2 * time.Second
)

// Service resolves and writes aliases. Resolving reads a table in memory. It is safe for
// concurrent use.
type Service struct {
	Options
	table   atomic.Pointer[Table]
	storeUp atomic.Bool   // the last poll succeeded
	polling chan struct{} // semaphore: one poll at a time
	stop    context.CancelFunc
	running sync.WaitGroup
}

// Options are the dependencies of a Service.
type Options struct {
	Store *sqlstore.Store // nil: there are no aliases
	Log   *slog.Logger
	// Keys returns the current keys.
	Keys func() *auth.Keyring
	// OnChange is called with the names and targets of aliases that changed in the store.
	// Another instance may have written to these agents as well.
	OnChange func(agents []string)
}

// New reads the aliases and polls the store until Close. It succeeds even if the store is
// unavailable.
func New(o Options) *Service {
	s := &Service{Options: o, polling: make(chan struct{}, 1), stop: func() {}}
	s.table.Store(&Table{revision: -1})
	if o.Store == nil {
		return s
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	_ = s.poll(ctx) // the store logs its errors; reads by id work without it
	s.running.Go(func() { Poll(ctx, func() { _ = s.poll(ctx) }) })
	return s
}

// Close stops polling the store, and waits for a poll that is running.
func (s *Service) Close() {
	s.stop()
	s.running.Wait()
}

// Poll calls do every half second until ctx ends.
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

// poll replaces the table if the store has another revision.
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

// Current returns the current table.
func (s *Service) Current() *Table { return s.table.Load() }

// State reports whether the store can be read, and the number of aliases.
func (s *Service) State() (up bool, aliases int) {
	return s.storeUp.Load(), len(s.table.Load().aliases)
}

// Available returns a problem if there is no store, or it could not be read yet.
func (s *Service) Available() error {
	if s.Store == nil || s.table.Load().revision < 0 {
		return problem.StoreUnavailable(sqlstore.ErrUnavailable)
	}
	return nil
}

// neverLoaded reports whether the store may hold aliases and could not be read since the
// start.
func (s *Service) neverLoaded() bool {
	return s.Store != nil && s.table.Load().revision < 0 && !s.Store.FileMissing()
}

// Refresh reads the table after a write of this instance. It ignores the cancellation of
// ctx, because the write is done, and retries for two seconds.
func (s *Service) Refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
	defer cancel()
	for {
		err := s.poll(ctx)
		if err == nil {
			return
		}
		if !backend.Sleep(ctx, refreshTimeout/40) {
			s.Log.WarnContext(ctx, "aliases not refreshed after a write: it takes effect at the next successful poll of the store", "error", err.Error())
			return
		}
	}
}

// RefreshEverywhere refreshes the table and waits until other instances have polled the
// store, too. The caller holds the locks of the agents meanwhile: writes that wait for them
// then resolve to the new target on every instance.
func (s *Service) RefreshEverywhere(ctx context.Context) {
	s.Refresh(ctx)
	if s.Store.Shared() {
		backend.Sleep(context.WithoutCancel(ctx), 3*pollInterval/2)
	}
}

// Sync makes the table as new as the store's, where other instances may have written to the
// store. If the store is unavailable, the table stays as it is: writes by id keep working,
// and LockTarget refuses those to agents that are being migrated.
func (s *Service) Sync(ctx context.Context) error {
	if s.Store == nil {
		return nil
	}
	if s.neverLoaded() { // any id may be an alias
		return problem.StoreUnavailable(sqlstore.ErrUnavailable)
	}
	if !s.Store.Shared() {
		return nil
	}
	if err := s.poll(ctx); err != nil && ctx.Err() != nil {
		return problem.New(problem.CodeUpstreamTimeout, "the request timed out while the gateway was reading the aliases from the store")
	}
	return nil
}

// Now returns the time with the precision of the store: milliseconds.
func Now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
