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
	cache        *Cache
	backend      *backend.Backend
	next         backend.Endpoint
	fetchTimeout func() time.Duration
	telemetry    *telemetry.Telemetry
	tenant       *backend.Tenant
	call         backend.Call
	key          string
	cached       *entry      // the entry when the read began, or nil
	isLeader     atomic.Bool // this read does the fetch that others share
}

// read returns what is cached, or fetches it from the backend.
func (r *lookup) read(ctx context.Context) (backend.Result, error) {
	now := time.Now()
	r.cached, _ = r.cache.entries.get(r.key)
	if hit, ok := r.hit(ctx, now); ok {
		return hit, nil
	}
	switch {
	case r.call.OnlyIfCached:
		return backend.Result{}, backend.ErrNotCached
	case ctx.Err() != nil:
		return backend.Result{}, r.failure(ctx)
	}
	result, err := r.wait(ctx, now, r.fetch(ctx, false))
	if err != nil && normalize.KindOf(err) == normalize.KindInternal && !r.isLeader.Load() {
		result, err = r.wait(ctx, time.Now(), r.fetch(ctx, false)) // the leader panicked: fetch again
	}
	failure := staleReason(result, err)
	switch {
	case failure != nil && r.cached != nil && now.Before(r.cached.ifErrorUntil):
		stale := withStatus(r.cached.result, backend.CacheStale)
		stale.Stale = failure
		return stale, nil
	case err != nil:
		return backend.Result{}, err
	case r.call.NoCache && result.Cache == backend.CacheMiss:
		return withStatus(result, backend.CacheBypass), nil
	}
	return result, nil
}

// hit returns the cached result if it may be served without waiting for the backend. It
// starts a refresh if the result is stale.
func (r *lookup) hit(ctx context.Context, now time.Time) (_ backend.Result, ok bool) {
	served, key := r.cached, r.key
	if served != nil && served.hasNewerPartial {
		if partial, found := r.cache.entries.get(partialKey(r.key)); found {
			served, key = partial, partialKey(r.key)
		}
	}
	switch {
	case served == nil || r.call.NoCache:
		return backend.Result{}, false
	case now.Before(served.freshUntil):
		result := withStatus(served.result, backend.CacheHit)
		result.Dependencies = []backend.Dependency{{Backend: r.backend.Name, Key: key, Version: served.version}}
		return result, true
	case now.Before(served.revalidateUntil):
		if !now.Before(served.nextRefresh) {
			r.fetch(ctx, true) // for later reads
		}
		return withStatus(served.result, backend.CacheHit), true
	}
	return backend.Result{}, false
}

// staleReason returns the failure because of which a stale result may be served, or nil: the
// read failed, or its list was interrupted. A complete older list is preferred to an
// interrupted new one.
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
// request. It has its own deadline and continues if its caller leaves. A fetch does not
// share one that began before a write or a purge, nor a refresh, which has background
// priority, unless it is a refresh itself.
func (r *lookup) fetch(ctx context.Context, refresh bool) <-chan singleflight.Result {
	generation := r.cache.generation(r.tenant)
	background := refresh || r.call.Background
	key := fmt.Sprintf("%s/%d/%t/%t", r.key, generation, r.call.NoCache, background)
	deadline := time.Now().Add(r.fetchTimeout())
	return r.cache.inFlight.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
		defer cancel()
		if background {
			ctx = backend.WithBackgroundPriority(ctx)
		}
		return r.fetchShared(ctx, generation, refresh)
	})
}

// fetchShared does the fetch for all reads that wait for it. It turns a panic into an error:
// singleflight would end the process.
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
				r.cache.postponeRefresh(r, started, retryAfterOf(err))
			}
			end(err)
		}()
	}
	defer func() {
		if p := recover(); p != nil {
			err = backend.PanicError(ctx, r.backend, r.call.Op, p, r.telemetry.Log())
		}
	}()
	r.isLeader.Store(true)
	if r.call.Op == adapters.OpGet && backend.HasBackgroundPriority(ctx) {
		release, ok := r.backend.AcquireBackground(ctx, r.tenant)
		if !ok {
			return backend.Result{}, r.failure(ctx)
		}
		defer release()
	}
	call := r.call
	if r.cached != nil {
		call.Previous = &r.cached.result
	}
	ctx, lastSpan := backend.WithLastSpan(ctx)
	result, err = r.next(ctx, call)
	result.Span, result.RequestID = lastSpan(), journal.RequestID(ctx) // also of a failure, for the reads that share it
	if err != nil {
		r.cache.afterFailedRead(r, normalize.KindOf(err))
		return result, err
	}
	kept = r.cache.put(r, began, result)
	return result, nil
}

// recheck returns an entry stored after this read missed, or nil: another read may have
// finished the same fetch in between.
func (r *lookup) recheck() *entry {
	if r.call.NoCache {
		return nil
	}
	if e, ok := r.cache.entries.get(r.key); ok && time.Now().Before(e.freshUntil) {
		return e
	}
	return nil
}

// wait returns the result of a fetch that this read has waited for since began.
func (r *lookup) wait(ctx context.Context, began time.Time, fetched <-chan singleflight.Result) (backend.Result, error) {
	var done singleflight.Result
	select {
	case <-ctx.Done():
		return backend.Result{}, r.failure(ctx)
	case done = <-fetched:
	}
	result := done.Val.(backend.Result)
	if !r.isLeader.Load() {
		r.recordShared(ctx, result, began)
		result.Cache = backend.CacheCoalesced
	}
	if done.Err != nil {
		return backend.Result{}, done.Err
	}
	return result, nil
}

// recordShared reports to metrics, tracing and the request log that the outcome is that of
// another read's fetch.
func (r *lookup) recordShared(ctx context.Context, result backend.Result, began time.Time) {
	r.telemetry.CountCoalescedRead(r.backend.Name)
	r.cache.journal.AddCall(ctx, journal.Call{Backend: r.backend.Name, Operation: string(r.call.Op), Began: began, Took: time.Since(began), Shared: result.RequestID})
	if result.Span != nil {
		trace.SpanFromContext(ctx).AddLink(trace.Link{SpanContext: *result.Span})
	}
}

// failure returns the error of a read whose context ended.
func (r *lookup) failure(ctx context.Context) error {
	return &normalize.Error{Kind: backend.ContextKind(ctx), Provider: r.backend.Info.Provider, Op: string(r.call.Op), Err: ctx.Err()}
}

func withStatus(r backend.Result, s backend.CacheStatus) backend.Result {
	r.Cache = s
	return r
}

// traceRefresh starts a trace for a refresh, linked to the request that caused it, and an
// entry in the log of recent requests. end records the outcome.
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

// retryAfterOf returns the Retry-After of a failure; 0 for none.
func retryAfterOf(err error) time.Duration {
	if failure, ok := err.(*normalize.Error); ok {
		return failure.RetryAfter
	}
	return 0
}
