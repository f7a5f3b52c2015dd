package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/normalize"
)

// maxDetails bounds how many details one request reads of one backend; what is
// left over stays as the list has it, and says so. What was read is kept, so
// that asking again goes on from there.
const maxDetails = 1000

// detailsAtOnce is how many details are read of a backend at a time, over all
// requests: the rest of what it can do at once is for lists and writes.
func detailsAtOnce(maxConcurrent int) int { return max(1, min(8, maxConcurrent/2)) }

// loadNeeded reads in full those agents, of whatever page, whose values a filter
// or the order needs and the list does not show.
func (g *Gateway) loadNeeded(ctx context.Context, parts []part, q ListQuery) {
	needed := q.Fields()
	g.each(parts, func(p *part, _ int) {
		var rows []int
		for i, a := range p.snapshot.Agents {
			if a.NotLoaded&needed != 0 {
				rows = append(rows, i)
			}
		}
		if len(rows) > 0 {
			g.loadDetails(ctx, p, rows, q.Fresh)
			p.snapshot = p.snapshot.With(p.details)
		}
	})
}

// loadPage reads in full those agents of the page of which the list does not
// show all that there is.
func (g *Gateway) loadPage(ctx context.Context, parts []part, found catalog.Page, q ListQuery) {
	wanted := make([][]int, len(parts))
	for _, r := range found.Rows {
		p := parts[r.Part]
		if _, tried := p.details[r.Index]; !tried && p.snapshot.Agents[r.Index].NotLoaded != 0 {
			wanted[r.Part] = append(wanted[r.Part], r.Index)
		}
	}
	g.each(parts, func(p *part, i int) {
		if len(wanted[i]) > 0 {
			g.loadDetails(ctx, p, wanted[i], q.Fresh)
		}
	})
}

// each runs for all parts that were read, at the same time.
func (g *Gateway) each(parts []part, do func(p *part, i int)) {
	var wg sync.WaitGroup
	for i := range parts {
		if parts[i].snapshot != nil {
			wg.Go(func() { do(&parts[i], i) })
		}
	}
	wg.Wait()
}

// loadDetails reads rows in full, a few at once, each through the cache. What
// cannot be read leaves the source partial.
func (g *Gateway) loadDetails(ctx context.Context, p *part, rows []int, fresh bool) {
	started := time.Now()
	defer func() { p.took += time.Since(started) }()
	ctx, cancel := context.WithTimeout(ctx, g.readBudget()) // leaves time for the answer
	defer cancel()
	if p.details == nil {
		p.details = map[int]*catalog.Detail{}
	}
	if over := len(rows) - maxDetails; over > 0 {
		rows = rows[:maxDetails]
		defer p.fail(SourcePartial, adapters.OpGet, &normalize.Error{
			Kind: normalize.KindBusy, Provider: p.backend.Info.Provider, Op: string(adapters.OpGet),
			Message: "more agents than one request reads in full; ask again to go on",
		})
	}
	queue := make(chan int)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range min(len(rows), cap(p.backend.details)) {
		wg.Go(func() {
			for row := range queue {
				result, err := g.detail(ctx, p.backend, p.snapshot.Agents[row], fresh)
				mu.Lock()
				p.read(row, result, err)
				mu.Unlock()
			}
		})
	}
	for _, row := range rows {
		mu.Lock()
		refused := p.failure != nil && p.failure.Code == CodeUpstreamAuthFailed
		mu.Unlock()
		if refused { // so would all others be
			break
		}
		queue <- row
	}
	close(queue)
	wg.Wait()
}

// detail reads one agent. Waiting for its turn counts against ctx.
func (g *Gateway) detail(ctx context.Context, b CallerBackend, row *normalize.Agent, fresh bool) (Result, error) {
	select {
	case b.details <- struct{}{}:
		defer func() { <-b.details }()
	case <-ctx.Done():
	}
	return b.Endpoint(ctx, Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: row.NativeID, Row: row, Fresh: fresh})
}

// read takes note of one detail, or why there is none.
func (p *part) read(row int, result Result, err error) {
	switch {
	case err != nil:
		p.details[row] = nil // not tried twice
		p.fail(SourcePartial, adapters.OpGet, err)
		return
	case result.Stale != nil:
		p.fail(SourceStale, adapters.OpGet, result.Stale)
	}
	p.details[row] = result.Detail
	p.cache = worse(p.cache, result.Cache)
	if result.Fetched.Before(p.fetched) {
		p.fetched = result.Fetched
	}
}
