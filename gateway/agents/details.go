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

// maxDetails bounds how many details one request reads of one backend; what is
// left over stays as the list has it, and says so. What was read is kept, so
// that asking again goes on from there.
const maxDetails = 1000

// loadNeeded reads in full those agents, of whatever page, whose values a filter
// or the order needs and the list does not show.
func (s *Service) loadNeeded(ctx context.Context, parts []Part, q ListQuery) {
	needed := q.Fields()
	s.each(ctx, parts, func(p *Part, _ int) {
		var rows []int
		for i := range p.snapshot.Len() {
			if p.snapshot.FieldSets(i).NotLoaded&needed != 0 && !q.ExcludesAt(p.snapshot, i) { // whatever else it may have
				rows = append(rows, i)
			}
		}
		if len(rows) > 0 {
			s.loadDetails(ctx, p, rows, q.Fresh)
		}
		if p.snapshot != nil && len(p.details) > 0 {
			p.snapshot = p.snapshot.With(p.details)
		}
	})
}

// loadPage reads in full those agents of the page of which the list does not
// show all that there is. It reports whether the page has to be found anew:
// because an agent is gone, or not what the list has it for, or because the
// credential was refused.
func (s *Service) loadPage(ctx context.Context, parts []Part, found catalog.Page, q ListQuery) (anew bool) {
	wanted := make([][]int, len(parts))
	for _, r := range found.Rows {
		p := parts[r.Part]
		if _, tried := p.details[r.Index]; !tried && p.snapshot.FieldSets(r.Index).NotLoaded != 0 {
			wanted[r.Part] = append(wanted[r.Part], r.Index)
		}
	}
	s.each(ctx, parts, func(p *Part, i int) {
		if len(wanted[i]) > 0 {
			s.loadDetails(ctx, p, wanted[i], q.Fresh)
		}
	})
	for _, r := range found.Rows {
		p := &parts[r.Part]
		if d := p.details[r.Index]; d != nil && q.Excludes(d.Agent) {
			p.leaveOut(r.Index)
		}
		anew = anew || p.snapshot == nil || p.gone[r.Index]
	}
	return anew
}

func (p *Part) leaveOut(row int) {
	if p.gone == nil {
		p.gone = map[int]bool{}
	}
	p.gone[row] = true
}

// each runs for all parts that were read, at the same time.
func (s *Service) each(ctx context.Context, parts []Part, do func(p *Part, i int)) {
	var wg sync.WaitGroup
	for i := range parts {
		if parts[i].snapshot != nil {
			wg.Go(func() {
				if err := backend.RecoverPanic(ctx, parts[i].Backend.Backend, adapters.OpGet, s.Log, func() { do(&parts[i], i) }); err != nil {
					parts[i].fail(problem.SourcePartial, adapters.OpGet, err)
				}
			})
		}
	}
	wg.Wait()
}

// loadDetails reads rows in full: those at hand at once, the others a few at a
// time. What cannot be read leaves the source partial.
func (s *Service) loadDetails(ctx context.Context, p *Part, rows []int, fresh bool) {
	started := time.Now()
	defer func() { p.Took += time.Since(started) }()
	if p.details == nil {
		p.details = map[int]*catalog.Detail{}
		p.Dependencies = nil // it shows details, too
	}
	var missing []int
	for _, row := range rows {
		if fresh || !p.loadAtHand(ctx, row) {
			missing = append(missing, row)
		}
	}
	if len(missing) > maxDetails {
		missing = missing[:maxDetails]
		defer p.fail(problem.SourcePartial, adapters.OpGet, p.failureOf(normalize.KindBusy, "more agents than one request reads in full; ask again to go on"))
	}
	ctx, cancel := s.leavingTimeToAnswer(ctx)
	defer cancel()
	queue := make(chan int)
	var mu sync.Mutex
	var refused error // so would all others be
	var wg sync.WaitGroup
	for range min(len(missing), p.Backend.BackgroundSlots()) {
		wg.Go(func() {
			for row := range queue {
				result, err := p.detail(ctx, row, fresh) // recovers from panics itself
				mu.Lock()
				p.read(row, result, err)
				if err != nil && refusesAll(err) {
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
		p.failed(problem.SourceError, problem.FromBackend(p.Backend.Name, adapters.OpGet, refused))
	}
}

// refusesAll reports whether a failure voids all that the credential has seen.
func refusesAll(err error) bool {
	kind := normalize.KindOf(err)
	return problem.Outcomes[kind].Stale == problem.StaleNever && kind != normalize.KindNotFound
}

// leavingTimeToAnswer ends a while before the request does.
func (s *Service) leavingTimeToAnswer(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(s.Settings().ReadBudget()-s.Settings().RequestTimeout.D()))
}

func (p *Part) call(row int) backend.Call {
	return backend.Call{Op: adapters.OpGet, Credential: p.Backend.Credential, NativeID: p.snapshot.NativeID(row), Row: p.snapshot.At(row)}
}

// loadAtHand takes a detail that need not be asked for.
func (p *Part) loadAtHand(ctx context.Context, row int) bool {
	call := p.call(row)
	call.OnlyIfCached = true
	result, err := p.Backend.Endpoint(ctx, call)
	if err != nil {
		return false
	}
	p.read(row, result, nil)
	return true
}

// detail reads one agent, if there is still time.
func (p *Part) detail(ctx context.Context, row int, fresh bool) (backend.Result, error) {
	if ctx.Err() != nil {
		return backend.Result{}, p.failureOf(backend.ContextKind(ctx), "there was no time left to read all agents in full; ask again to go on")
	}
	call := p.call(row)
	call.NoCache, call.Background = fresh, true
	return p.Backend.Endpoint(ctx, call)
}

func (p *Part) failureOf(kind normalize.Kind, message string) error {
	return &normalize.Error{Kind: kind, Provider: p.Backend.Info.Provider, Op: string(adapters.OpGet), Message: message}
}

// read takes note of one detail, or why there is none.
func (p *Part) read(row int, result backend.Result, err error) {
	switch {
	case err != nil && normalize.KindOf(err) == normalize.KindNotFound:
		p.leaveOut(row) // it was deleted since the list was read
		return
	case err != nil:
		p.details[row] = nil // not tried twice
		p.Cache = furtherFromHit(p.Cache, backend.CacheMiss)
		p.fail(problem.SourcePartial, adapters.OpGet, err)
		return
	case result.Stale != nil:
		p.fail(problem.SourceStale, adapters.OpGet, result.Stale)
	}
	p.details[row] = result.Detail
	p.Cache = furtherFromHit(p.Cache, result.Cache)
	if result.Fetched.Before(p.fetched) {
		p.fetched = result.Fetched
	}
}
