package cache

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/singleflight"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// lookup is one read through the cache.
type lookup struct {
	cache     *Cache
	backend   *backend.Backend
	next      backend.Endpoint
	budget    func() time.Duration // of one fetch
	telemetry *telemetry.Telemetry
	tenant    *backend.Tenant
	call      backend.Call
	key       string
	known     *entry      // what was cached when it began; nil for nothing
	led       atomic.Bool // the fetch was ours, not another reader's
}

// read returns what is cached, or fetches it from the backend.
func (r *lookup) read(ctx context.Context) (backend.Result, error) {
	now := time.Now()
	known, ok := r.cache.entries.get(r.key)
	r.known = known
	served, servedKey := known, r.key
	if ok && known.besidePartial {
		if odd, found := r.cache.entries.get(partialKey(r.key)); found {
			served, servedKey = odd, partialKey(r.key)
		}
	}
	if served != nil && !r.call.NoCache {
		if now.Before(served.fresh) {
			hit := withStatus(served.result, backend.CacheHit)
			hit.Dependencies = []backend.Dependency{{Backend: r.backend.Name, Key: servedKey, Version: served.version}}
			return hit, nil
		}
		if now.Before(served.revalidate) {
			if !now.Before(served.refresh) {
				r.fetch(ctx, true) // its result is for later readers
			}
			return withStatus(served.result, backend.CacheHit), nil
		}
	}
	switch {
	case r.call.OnlyIfCached:
		return backend.Result{}, backend.ErrNotCached
	case ctx.Err() != nil:
		return backend.Result{}, r.failure(ctx)
	}
	result, err := r.wait(ctx, now, r.fetch(ctx, false))
	if err != nil && normalize.KindOf(err) == normalize.KindInternal && !r.led.Load() {
		result, err = r.wait(ctx, time.Now(), r.fetch(ctx, false)) // another reader's panic is not ours
	}
	failure := staleReason(result, err)
	switch {
	case failure != nil && ok && now.Before(known.ifError):
		stale := withStatus(known.result, backend.CacheStale)
		stale.Stale = failure
		return stale, nil
	case err != nil:
		return backend.Result{}, err
	case r.call.NoCache && result.Cache == backend.CacheMiss:
		return withStatus(result, backend.CacheBypass), nil
	}
	return result, nil
}

// staleReason returns why the backend could not be read, for all of it or for the rest of
// a list; nil if it could, or if the failure allows no stale answer. A complete older list
// is better than the part of a new one that happened to arrive.
func staleReason(r backend.Result, err error) *normalize.Error {
	failure, _ := err.(*normalize.Error)
	if r.Snapshot != nil && r.Snapshot.Interrupted {
		failure = r.Snapshot.Partial
	}
	if failure == nil || problem.Outcomes[failure.Kind].Stale != problem.StaleYes {
		return nil
	}
	return failure
}

// fetch reads from the backend. Concurrent fetches of the same key share one upstream
// request. It has a deadline of its own and ends by it even if its caller leaves. A fetch
// does not join one that began before a write or a purge, nor does one that a caller waits
// for join a refresh: a refresh has background priority.
func (r *lookup) fetch(ctx context.Context, refresh bool) <-chan singleflight.Result {
	generation := r.cache.generation(r.tenant)
	background := refresh || r.call.Background
	key := fmt.Sprintf("%s/%d/%d/%t/%t", r.key, generation.writes, generation.purges, r.call.NoCache, background)
	deadline := time.Now().Add(r.budget())
	return r.cache.inFlight.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
		defer cancel()
		if background {
			ctx = backend.WithBackgroundPriority(ctx)
		}
		return r.fetchShared(ctx, generation, refresh)
	})
}

// fetchShared does the fetch for everybody who waits for it. A panic becomes its error: it
// would end the process otherwise.
func (r *lookup) fetchShared(ctx context.Context, began generation, refresh bool) (result backend.Result, err error) {
	kept := false
	if !refresh {
		if e := r.recheck(); e != nil {
			return e.result, nil
		}
	} else {
		started := time.Now()
		var end func(error)
		ctx, end = r.traceRefresh(ctx)
		defer func() {
			if !kept {
				r.cache.postpone(r, started, retryAfterOf(err))
			}
			end(err)
		}()
	}
	defer func() {
		if p := recover(); p != nil {
			err = backend.PanicError(ctx, r.backend, r.call, p, r.telemetry.Log())
		}
	}()
	r.led.Store(true)
	if r.call.Op == adapters.OpGet && backend.HasBackgroundPriority(ctx) {
		release, ok := r.backend.Background.Acquire(ctx.Done(), r.tenant.Credential)
		if !ok {
			return backend.Result{}, r.failure(ctx)
		}
		defer release()
	}
	call := r.call
	if r.known != nil {
		call.Previous = &r.known.result
	}
	ctx, lastCall := backend.WithLastCall(ctx)
	result, err = r.next(ctx, call)
	result.Span, result.RequestID = lastCall.Load(), journal.RequestID(ctx) // of a failure too, for those who share it
	if err != nil {
		r.cache.void(r, normalize.KindOf(err))
		return result, err
	}
	kept = r.cache.put(r, began, result)
	return result, nil
}

// recheck returns an entry stored after this read missed, or nil: another reader may have
// finished the same fetch in between.
func (r *lookup) recheck() *entry {
	if r.call.NoCache {
		return nil
	}
	if e, ok := r.cache.entries.get(r.key); ok && time.Now().Before(e.fresh) {
		return e
	}
	return nil
}

// wait waits for a fetch that began then.
func (r *lookup) wait(ctx context.Context, began time.Time, fetched <-chan singleflight.Result) (backend.Result, error) {
	var done singleflight.Result
	select {
	case <-ctx.Done():
		return backend.Result{}, r.failure(ctx)
	case done = <-fetched:
	}
	result := done.Val.(backend.Result)
	if !r.led.Load() {
		r.recordShared(ctx, result, began)
		result.Cache = backend.CacheCoalesced
	}
	if done.Err != nil {
		return backend.Result{}, done.Err
	}
	return result, nil
}

// recordShared reports that the result, or the failure, is of another reader's fetch.
func (r *lookup) recordShared(ctx context.Context, result backend.Result, began time.Time) {
	r.telemetry.CountCoalescedRead(r.backend.Name)
	r.cache.journal.AddCall(ctx, journal.Call{Backend: r.backend.Name, Operation: string(r.call.Op), Began: began, Took: time.Since(began), Shared: result.RequestID})
	if result.Span != nil {
		trace.SpanFromContext(ctx).AddLink(trace.Link{SpanContext: *result.Span})
	}
}

func (r *lookup) failure(ctx context.Context) error {
	return &normalize.Error{Kind: backend.ContextKind(ctx), Provider: r.backend.Info.Provider, Op: string(r.call.Op), Err: ctx.Err()}
}

func withStatus(r backend.Result, s backend.CacheStatus) backend.Result {
	r.Cache = s
	return r
}

// traceRefresh gives a refresh, which is nobody's request, a trace of its own, linked to
// the request that caused it, and an entry among the recent requests.
func (r *lookup) traceRefresh(ctx context.Context) (_ context.Context, end func(error)) {
	ctx, entry := r.cache.journal.Refresh(ctx)
	ctx, span := r.telemetry.Tracer.Start(ctx, "refresh", trace.WithNewRoot(), trace.WithLinks(trace.LinkFromContext(ctx)), trace.WithAttributes(
		attribute.String("agentgw.backend", r.backend.Name), attribute.String("agentgw.operation", string(r.call.Op)),
	))
	return ctx, func(err error) {
		source := journal.Source{Backend: r.backend.Name, Status: problem.SourceOK}
		if err != nil {
			source.Status, source.Code = problem.SourceError, string(problem.Outcomes[normalize.KindOf(err)].Code)
			span.SetAttributes(attribute.String("error.type", backend.ErrorType(err)))
		}
		span.End()
		r.cache.journal.End(entry, time.Now(), &journal.Outcome{Trace: span.SpanContext().TraceID(), Sources: []journal.Source{source}})
	}
}

// retryAfterOf returns how long the backend asks to wait after a failure.
func retryAfterOf(err error) time.Duration {
	if failure, ok := err.(*normalize.Error); ok {
		return failure.RetryAfter
	}
	return 0
}
