package agents

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// maxDetailsPerSource bounds how many agents one request fetches in full from one backend. The
// others stay in basic view, and the source is partial. Fetched details are cached, so repeating
// the request makes progress.
const maxDetailsPerSource = 1000

// loadQueryDetails loads the agents, on whichever page, that have not loaded a field of the
// query's filters or order.
func (s *Service) loadQueryDetails(ctx context.Context, sources []Source, q ListQuery) {
	needed := q.Fields()
	s.forEachListed(ctx, sources, func(source *Source, _ int) {
		var rows []int
		for i := range source.snapshot.Len() {
			// An agent that another filter excludes need not be loaded.
			if source.snapshot.FieldSets(i).NotLoaded&needed != 0 && !q.ExcludesAt(source.snapshot, i) {
				rows = append(rows, i)
			}
		}
		if len(rows) > 0 {
			s.loadDetails(ctx, source, rows, q.NoCache)
		}
		if source.snapshot != nil && len(source.details) > 0 {
			source.snapshot = source.snapshot.With(source.details)
		}
	})
}

// loadPageDetails loads the agents on the page that have fields not loaded. It reports whether
// the page has to be computed again, because an agent on it was deleted or no longer matches the
// filters, or because a backend refused the credential.
func (s *Service) loadPageDetails(ctx context.Context, sources []Source, page catalog.Page, q ListQuery) (changed bool) {
	wanted := make([][]int, len(sources))
	for _, r := range page.Rows {
		source := sources[r.Part]
		if _, tried := source.details[r.Index]; !tried && source.snapshot.FieldSets(r.Index).NotLoaded != 0 {
			wanted[r.Part] = append(wanted[r.Part], r.Index)
		}
	}
	s.forEachListed(ctx, sources, func(source *Source, i int) {
		if len(wanted[i]) > 0 {
			s.loadDetails(ctx, source, wanted[i], q.NoCache)
		}
	})
	for _, r := range page.Rows {
		source := &sources[r.Part]
		if d := source.details[r.Index]; d != nil && q.Excludes(d.Agent) {
			source.exclude(r.Index)
		}
		changed = changed || source.snapshot == nil || source.excluded[r.Index]
	}
	return changed
}

// forEachListed calls do concurrently for every source that has a snapshot. A panic makes the
// source partial.
func (s *Service) forEachListed(ctx context.Context, sources []Source, do func(source *Source, i int)) {
	var wg sync.WaitGroup
	for i := range sources {
		if sources[i].snapshot != nil {
			wg.Go(func() {
				if err := backend.RecoverPanic(ctx, sources[i].Backend.Backend, adapters.OpGet, s.Log, func() { do(&sources[i], i) }); err != nil {
					sources[i].markFailed(problem.SourcePartial, adapters.OpGet, err)
				}
			})
		}
	}
	wg.Wait()
}

// loadDetails loads rows in full, from the cache or from the backend. A row that cannot be loaded
// makes the source partial. A refused credential voids the whole source.
func (s *Service) loadDetails(ctx context.Context, source *Source, rows []int, noCache bool) {
	started := time.Now()
	defer func() { source.Duration += time.Since(started) }()
	if source.details == nil {
		source.details = map[int]*catalog.Detail{}
		source.Dependencies = nil // they do not cover details
	}
	var missing []int
	for _, row := range rows {
		if noCache || !source.loadCached(ctx, row) {
			missing = append(missing, row)
		}
	}
	if len(missing) > maxDetailsPerSource {
		missing = missing[:maxDetailsPerSource]
		defer source.markFailed(problem.SourcePartial, adapters.OpGet, source.newError(normalize.KindBusy, "the request needs more agents in full than one request may load; repeat it to load the rest"))
	}
	if refused := s.fetchDetails(ctx, source, missing, noCache); refused != nil {
		source.snapshot, source.details = nil, nil
		source.setFailure(problem.SourceError, problem.FromBackend(source.Backend.Name, adapters.OpGet, refused))
	}
}

// fetchDetails fetches rows with as many concurrent calls as the backend's background queue
// allows. It stops at the first call whose credential is refused, and returns that error.
func (s *Service) fetchDetails(ctx context.Context, source *Source, rows []int, noCache bool) error {
	ctx, cancel := s.withReadBudget(ctx)
	defer cancel()
	var mu sync.Mutex // guards source
	var stopped atomic.Bool
	var group errgroup.Group
	group.SetLimit(source.Backend.BackgroundSlots())
	for _, row := range rows {
		if stopped.Load() {
			break
		}
		group.Go(func() error {
			if stopped.Load() {
				return nil
			}
			result, err := source.fetchDetail(ctx, row, noCache)
			mu.Lock()
			defer mu.Unlock()
			source.recordDetail(row, result, err)
			if err != nil && isCredentialRefused(err) {
				stopped.Store(true)
				return err
			}
			return nil
		})
	}
	return group.Wait()
}

// isCredentialRefused reports whether an error means that data read with the credential must no
// longer be shown.
func isCredentialRefused(err error) bool {
	kind := normalize.KindOf(err)
	return problem.Outcomes[kind].Stale == problem.StaleNever && kind != normalize.KindNotFound
}

// withReadBudget returns a context that ends before the request's deadline, early enough to still
// encode and send the response.
func (s *Service) withReadBudget(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(s.Settings().ReadBudget()-s.Settings().RequestTimeout.D()))
}

func (s *Source) getCall(row int) backend.Call {
	return backend.Call{Op: adapters.OpGet, Credential: s.Backend.Credential, NativeID: s.snapshot.NativeID(row), Row: s.snapshot.At(row)}
}

// loadCached loads a row from the cache, and reports whether it was there.
func (s *Source) loadCached(ctx context.Context, row int) bool {
	call := s.getCall(row)
	call.OnlyIfCached = true
	result, err := s.Backend.Endpoint(ctx, call)
	if err != nil {
		return false
	}
	s.recordDetail(row, result, nil)
	return true
}

// fetchDetail reads one agent, unless the context has ended.
func (s *Source) fetchDetail(ctx context.Context, row int, noCache bool) (backend.Result, error) {
	if ctx.Err() != nil {
		return backend.Result{}, s.newError(backend.ContextKind(ctx), "the request's time limit was reached before all agents were loaded in full; repeat it to load the rest")
	}
	call := s.getCall(row)
	call.NoCache, call.Background = noCache, true
	return s.Backend.Endpoint(ctx, call)
}

func (s *Source) newError(kind normalize.Kind, message string) error {
	return &normalize.Error{Kind: kind, Provider: s.Backend.Info.Provider, Op: string(adapters.OpGet), Message: message}
}

// recordDetail stores the result of reading one row.
func (s *Source) recordDetail(row int, result backend.Result, err error) {
	switch {
	case err != nil && normalize.KindOf(err) == normalize.KindNotFound:
		s.exclude(row) // it was deleted since the list was read
		return
	case err != nil:
		s.details[row] = nil // do not try again in this request
		s.Cache = worseCacheStatus(s.Cache, backend.CacheMiss)
		s.markFailed(problem.SourcePartial, adapters.OpGet, err)
		return
	case result.Stale != nil:
		s.markFailed(problem.SourceStale, adapters.OpGet, result.Stale)
	}
	s.details[row] = result.Detail
	s.Cache = worseCacheStatus(s.Cache, result.Cache)
	if result.Fetched.Before(s.oldestRead) {
		s.oldestRead = result.Fetched
	}
}
