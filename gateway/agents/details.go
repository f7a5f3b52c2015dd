package agents

import (
	"context"
	"sync"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// maxDetailsPerSource bounds how many details one request reads of one backend; what is
// left over stays as the list has it, and says so. What was read is kept, so
// that asking again goes on from there.
const maxDetailsPerSource = 1000

// loadQueryDetails reads in full those agents, of whatever page, whose values a filter
// or the order needs and the list does not show.
func (s *Service) loadQueryDetails(ctx context.Context, parts []Source, q ListQuery) {
	needed := q.Fields()
	s.forEachListed(ctx, parts, func(p *Source, _ int) {
		var rows []int
		for i := range p.snapshot.Len() {
			if p.snapshot.FieldSets(i).NotLoaded&needed != 0 && !q.ExcludesAt(p.snapshot, i) { // whatever else it may have
				rows = append(rows, i)
			}
		}
		if len(rows) > 0 {
			s.loadDetails(ctx, p, rows, q.NoCache)
		}
		if p.snapshot != nil && len(p.details) > 0 {
			p.snapshot = p.snapshot.With(p.details)
		}
	})
}

// loadPageDetails reads in full those agents of the page of which the list does not
// show all that there is. It reports whether the page has to be found anew:
// because an agent is gone, or not what the list has it for, or because the
// credential was refused.
func (s *Service) loadPageDetails(ctx context.Context, parts []Source, found catalog.Page, q ListQuery) (anew bool) {
	wanted := make([][]int, len(parts))
	for _, r := range found.Rows {
		p := parts[r.Part]
		if _, tried := p.details[r.Index]; !tried && p.snapshot.FieldSets(r.Index).NotLoaded != 0 {
			wanted[r.Part] = append(wanted[r.Part], r.Index)
		}
	}
	s.forEachListed(ctx, parts, func(p *Source, i int) {
		if len(wanted[i]) > 0 {
			s.loadDetails(ctx, p, wanted[i], q.NoCache)
		}
	})
	for _, r := range found.Rows {
		p := &parts[r.Part]
		if d := p.details[r.Index]; d != nil && q.Excludes(d.Agent) {
			p.exclude(r.Index)
		}
		anew = anew || p.snapshot == nil || p.excluded[r.Index]
	}
	return anew
}

func (p *Source) exclude(row int) {
	if p.excluded == nil {
		p.excluded = map[int]bool{}
	}
	p.excluded[row] = true
}

// forEachListed runs for all parts that were read, at the same time.
func (s *Service) forEachListed(ctx context.Context, parts []Source, do func(p *Source, i int)) {
	var wg sync.WaitGroup
	for i := range parts {
		if parts[i].snapshot != nil {
			wg.Go(func() {
				if err := backend.RecoverPanic(ctx, parts[i].Backend.Backend, adapters.OpGet, s.Log, func() { do(&parts[i], i) }); err != nil {
					parts[i].markFailed(problem.SourcePartial, adapters.OpGet, err)
				}
			})
		}
	}
	wg.Wait()
}

// loadDetails reads rows in full: those at hand at once, the others a few at a
// time. What cannot be read leaves the source partial.
func (s *Service) loadDetails(ctx context.Context, p *Source, rows []int, fresh bool) {
	started := time.Now()
	defer func() { p.Duration += time.Since(started) }()
	if p.details == nil {
		p.details = map[int]*catalog.Detail{}
		p.Dependencies = nil // it shows details, too
	}
	var missing []int
	for _, row := range rows {
		if fresh || !p.loadCached(ctx, row) {
			missing = append(missing, row)
		}
	}
	if len(missing) > maxDetailsPerSource {
		missing = missing[:maxDetailsPerSource]
		defer p.markFailed(problem.SourcePartial, adapters.OpGet, p.newError(normalize.KindBusy, "more agents than one request reads in full; ask again to go on"))
	}
	ctx, cancel := s.withReadBudget(ctx)
	defer cancel()
	queue := make(chan int)
	var mu sync.Mutex
	var refused error // so would all others be
	var wg sync.WaitGroup
	for range min(len(missing), p.Backend.BackgroundSlots()) {
		wg.Go(func() {
			for row := range queue {
				result, err := p.fetchDetail(ctx, row, fresh) // recovers from panics itself
				mu.Lock()
				p.recordDetail(row, result, err)
				if err != nil && isCredentialRefused(err) {
					refused = err
				}
				mu.Unlock()
			}
		})
	}
	for _, row := range missing {
		mu.Lock()
		stop := refused != nil
		mu.Unlock()
		if stop {
			break
		}
		queue <- row
	}
	close(queue)
	wg.Wait()
	if refused != nil { // what was seen before counts no more
		p.snapshot, p.details = nil, nil
		p.setFailure(problem.SourceError, problem.FromBackend(p.Backend.Name, adapters.OpGet, refused))
	}
}

// isCredentialRefused reports whether a failure voids all that the credential has seen.
func isCredentialRefused(err error) bool {
	kind := normalize.KindOf(err)
	return problem.Outcomes[kind].Stale == problem.StaleNever && kind != normalize.KindNotFound
}

// withReadBudget ends a while before the request does.
func (s *Service) withReadBudget(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(s.Settings().ReadBudget()-s.Settings().RequestTimeout.D()))
}

func (p *Source) getCall(row int) backend.Call {
	return backend.Call{Op: adapters.OpGet, Credential: p.Backend.Credential, NativeID: p.snapshot.NativeID(row), Row: p.snapshot.At(row)}
}

// loadCached takes a detail that need not be asked for.
func (p *Source) loadCached(ctx context.Context, row int) bool {
	call := p.getCall(row)
	call.OnlyIfCached = true
	result, err := p.Backend.Endpoint(ctx, call)
	if err != nil {
		return false
	}
	p.recordDetail(row, result, nil)
	return true
}

// fetchDetail reads one agent, if there is still time.
func (p *Source) fetchDetail(ctx context.Context, row int, fresh bool) (backend.Result, error) {
	if ctx.Err() != nil {
		return backend.Result{}, p.newError(backend.ContextKind(ctx), "there was no time left to read all agents in full; ask again to go on")
	}
	call := p.getCall(row)
	call.NoCache, call.Background = fresh, true
	return p.Backend.Endpoint(ctx, call)
}

func (p *Source) newError(kind normalize.Kind, message string) error {
	return &normalize.Error{Kind: kind, Provider: p.Backend.Info.Provider, Op: string(adapters.OpGet), Message: message}
}

// recordDetail takes note of one detail, or why there is none.
func (p *Source) recordDetail(row int, result backend.Result, err error) {
	switch {
	case err != nil && normalize.KindOf(err) == normalize.KindNotFound:
		p.exclude(row) // it was deleted since the list was read
		return
	case err != nil:
		p.details[row] = nil // not tried twice
		p.Cache = lessCached(p.Cache, backend.CacheMiss)
		p.markFailed(problem.SourcePartial, adapters.OpGet, err)
		return
	case result.Stale != nil:
		p.markFailed(problem.SourceStale, adapters.OpGet, result.Stale)
	}
	p.details[row] = result.Detail
	p.Cache = lessCached(p.Cache, result.Cache)
	if result.Fetched.Before(p.oldestRead) {
		p.oldestRead = result.Fetched
	}
}
