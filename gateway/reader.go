package gateway

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// reader is one read through the cache.
type reader struct {
	cache     *cache
	backend   *Backend
	next      Endpoint
	budget    func() time.Duration
	telemetry *telemetry.Telemetry
	who       *principal
	call      Call
	key       string
	known     *entry      // what was kept when it began; nil for nothing
	led       atomic.Bool // the request to the backend was ours
	reading   reading     // that it flies, if nobody else's is under way
}

// errNotAtHand ends a read of what is at hand only, where nothing is.
var errNotAtHand = errors.New("not at hand")

func (r *reader) read(ctx context.Context) (Result, error) {
	now := time.Now()
	known, ok := r.cache.store.get(r.key)
	r.known = known
	served := known
	if ok && known.besideOdd {
		if odd, found := r.cache.store.get(oddKey(r.key)); found {
			served = odd
		}
	}
	if served != nil && !r.call.Fresh {
		if now.Before(served.fresh) {
			hit := served.result.as(CacheHit)
			hit.of = madeFrom{served}
			return hit, nil
		}
		if now.Before(served.revalidate) {
			if !now.Before(served.refresh) {
				r.load(ctx, now, true) // its answer is for the next one who asks
			}
			return served.result.as(CacheHit), nil
		}
	}
	switch {
	case r.call.AtHand:
		return Result{}, errNotAtHand
	case ctx.Err() != nil: // nobody is left to ask for
		return Result{}, r.failure(ctx)
	}
	result, err := r.wait(ctx, now, r.load(ctx, now, false))
	if err != nil && normalize.KindOf(err) == normalize.KindInternal && !r.led.Load() {
		again := time.Now()
		result, err = r.wait(ctx, again, r.load(ctx, again, false)) // another one's panic is not ours
	}
	failure := unasked(result, err)
	switch {
	case failure != nil && ok && now.Before(known.ifError):
		stale := known.result.as(CacheStale)
		stale.Stale = failure
		return stale, nil
	case err != nil:
		return Result{}, err
	case r.call.Fresh && result.Cache == CacheMiss:
		return result.as(CacheBypass), nil
	}
	return result, nil
}

// unasked is why the backend could not be asked, for all of it or for the rest
// of a list; nil if it could. An older whole is better than a part that
// happened to arrive.
func unasked(r Result, err error) *normalize.Error {
	failure, _ := err.(*normalize.Error)
	if r.Snapshot != nil && r.Snapshot.Interrupted {
		failure = r.Snapshot.Partial
	}
	if failure == nil || outcomes[failure.Kind].stale != staleYes {
		return nil
	}
	return failure
}

// load asks the backend, together with everyone who asks the same now. It has a
// deadline of its own and runs to its end even if whoever began it leaves. A request that has
// at least as much time asks in its own goroutine, since it never leaves before its time; what
// works in the background may be told to. What nobody asked for by name is behind the others,
// and an agent waits for its turn there: a list in full view may begin a hundred.
func (r *reader) load(ctx context.Context, now time.Time, refresh bool) landing {
	began, budget := r.cache.epoch(r.who), r.budget()
	which := flight{key: r.key, since: began, fresh: r.call.Fresh, behind: refresh || r.call.Behind}
	until, limited := ctx.Deadline()
	inBackground := isBehind(ctx)
	here := !refresh && !inBackground && limited && until.Sub(now) >= budget
	r.reading.begin(ctx, r, began, now.Add(budget), refresh, inBackground || which.behind)
	return r.cache.flights.join(which, here, &r.reading)
}

// wait waits for what began then.
func (r *reader) wait(ctx context.Context, began time.Time, loading landing) (Result, error) {
	loaded := loading.landed
	if loading.later != nil {
		select {
		case <-ctx.Done():
			return Result{}, r.failure(ctx)
		case loaded = <-loading.later:
		}
	}
	if !r.led.Load() {
		r.shared(ctx, loaded.result, began)
		loaded.result.Cache = CacheCoalesced
	}
	if loaded.err != nil {
		return Result{}, loaded.err
	}
	return loaded.result, nil
}

// shared takes note that the answer, or the failure, is of another one's request.
func (r *reader) shared(ctx context.Context, result Result, began time.Time) {
	r.telemetry.Coalesced(r.backend.Name)
	r.cache.journal.Call(ctx, journal.Call{Backend: r.backend.Name, Operation: string(r.call.Op), Began: began, Took: time.Since(began), Shared: result.Asker})
	if result.Work != nil {
		trace.SpanFromContext(ctx).AddLink(trace.Link{SpanContext: *result.Work})
	}
}

func (r *reader) failure(ctx context.Context) error {
	return &normalize.Error{Kind: contextKind(ctx), Provider: r.backend.Info.Provider, Op: string(r.call.Op), Err: ctx.Err()}
}

// contextKind is why a caller waits no longer.
func contextKind(ctx context.Context) normalize.Kind {
	if ctx.Err() == context.Canceled {
		return normalize.KindCanceled
	}
	return normalize.KindDeadline
}

func (r Result) as(s CacheStatus) Result {
	r.Cache = s
	return r
}
