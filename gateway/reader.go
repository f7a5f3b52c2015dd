package gateway

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/adapters"
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
	who       owner
	call      Call
	key       string
	led       atomic.Bool // the request to the backend was ours
}

// errNotAtHand ends a read of what is at hand only, where nothing is.
var errNotAtHand = errors.New("not at hand")

func (r *reader) read(ctx context.Context) (Result, error) {
	now := time.Now()
	known, ok := r.cache.store.get(r.key)
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
				r.load(ctx, true) // its answer is for the next one who asks
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
	result, err := r.wait(ctx, r.load(ctx, false))
	if err != nil && normalize.KindOf(err) == normalize.KindInternal && !r.led.Load() {
		result, err = r.wait(ctx, r.load(ctx, false)) // another one's panic is not ours
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
func (r *reader) load(ctx context.Context, refresh bool) landing {
	began, budget := r.cache.epoch(r.who), r.budget()
	which := flight{key: r.key, since: began, fresh: r.call.Fresh, behind: refresh || r.call.Behind}
	until, limited := ctx.Deadline()
	inBackground := isBehind(ctx)
	here := !refresh && !inBackground && limited && time.Until(until) >= budget
	if which.behind {
		ctx, inBackground = behind(ctx), true
	}
	return r.cache.flights.join(which, here, func() (answer Result, err error) {
		if known := r.justKept(refresh); known != nil {
			return known.result, nil
		}
		kept, started := false, time.Now()
		work, end := r.trace(ctx, refresh)
		defer func() { end(err) }() // after a panic is an error
		defer func() {
			if p := recover(); p != nil { // it would end the process
				err = panicked(ctx, r.backend, r.call, p, r.telemetry.Log())
			}
			if refresh && !kept {
				r.cache.postpone(r, started, askedToWait(err))
			}
		}()
		r.led.Store(true)
		bounded := &deadline{Context: work, at: time.Now().Add(budget), firm: true} // whoever leaves
		defer bounded.end()
		if r.call.Op == adapters.OpGet && inBackground {
			leave, ok := r.backend.behind.take(bounded.Done(), r.who.credential)
			if !ok {
				return Result{}, r.failure(bounded)
			}
			defer leave()
		}
		call := r.call
		if known, ok := r.cache.store.get(r.key); ok {
			call.Previous = &known.result
		}
		result, err := r.next(bounded, call)
		if err != nil {
			r.cache.void(r, normalize.KindOf(err))
			return Result{Work: lastRequest(work), Asker: journal.RequestID(work)}, err // for those who share it
		}
		result.Work, result.Asker = lastRequest(work), journal.RequestID(work)
		kept = r.cache.put(r, began, result)
		return result, nil
	})
}

// justKept is what another one has read while this one was about to: between its look and
// its turn a whole read may have ended.
func (r *reader) justKept(refresh bool) *entry {
	if refresh || r.call.Fresh {
		return nil
	}
	if known, ok := r.cache.store.get(r.key); ok && time.Now().Before(known.fresh) {
		return known
	}
	return nil
}

// trace has the spans of the requests to the backend noted. A refresh is nobody's
// request: it is a trace of its own, linked to the request that caused it.
func (r *reader) trace(ctx context.Context, refresh bool) (context.Context, func(error)) {
	if !refresh {
		return noteRequests(ctx), func(error) {}
	}
	ctx, entry := r.cache.journal.Refresh(ctx)
	ctx, span := r.telemetry.Tracer.Start(ctx, "refresh", trace.WithNewRoot(), trace.WithLinks(trace.LinkFromContext(ctx)), trace.WithAttributes(
		attribute.String("agentgw.backend", r.backend.Name), attribute.String("agentgw.operation", string(r.call.Op)),
	))
	return noteRequests(ctx), func(err error) {
		source := journal.Source{Backend: r.backend.Name, Status: SourceOK}
		if err != nil {
			source.Status, source.Code = SourceError, string(outcomes[normalize.KindOf(err)].code)
			span.SetAttributes(attribute.String("error.type", errorType(err)))
		}
		span.End()
		r.cache.journal.End(entry, time.Now(), journal.Outcome{Trace: span.SpanContext().TraceID(), Sources: []journal.Source{source}})
	}
}

// askedToWait is how long the backend asks to be left alone.
func askedToWait(err error) time.Duration {
	if failure, ok := err.(*normalize.Error); ok {
		return failure.RetryAfter
	}
	return 0
}

func (r *reader) wait(ctx context.Context, loading landing) (Result, error) {
	began := time.Now()
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
	if result.Work.IsValid() {
		trace.SpanFromContext(ctx).AddLink(trace.Link{SpanContext: result.Work})
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
