package gateway

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// reading is one read of the backend for all who wait for it, and its context: it ends at its
// own time, whoever leaves. It is safe for concurrent use, as contexts are.
type reading struct {
	deadline   // its parent is the context of who began it
	reader     *reader
	began      epoch
	refresh    bool
	behind     bool // nobody waits for it by name
	unrecorded bool
	kept       bool // there is nothing that is to be read again soon
	heard      transcript

	last atomic.Pointer[trace.SpanContext] // the span of the last request, of those that are recorded
}

type readingKey struct{}

// readingOf is the read that goes on in a context; nil for none.
func readingOf(ctx context.Context) *reading {
	r, _ := ctx.Value(readingKey{}).(*reading)
	return r
}

var (
	_ flown                = (*reading)(nil)
	_ telemetry.Unrecorded = (*reading)(nil)
)

// begin has it end at until. One that began, and was not read, since another one was, can begin
// again.
func (r *reading) begin(ctx context.Context, of *reader, began epoch, until time.Time, refresh, behind bool) {
	r.reader, r.began, r.refresh, r.behind, r.unrecorded = of, began, refresh, behind, !refresh && !telemetry.Recorded(ctx)
	r.Context, r.at, r.firm = ctx, until, true
}

// Value answers for what it knows itself.
func (r *reading) Value(key any) any {
	switch key.(type) {
	case readingKey:
		return r
	case behindKey:
		if r.behind {
			return true
		}
		return nil
	}
	return r.deadline.Value(key)
}

// Unrecorded is telemetry.Unrecorded.
func (r *reading) Unrecorded() bool { return r.unrecorded }

// read asks the backend, unless that was just done.
func (r *reading) read() (answer Result, err error) {
	defer r.end()
	of := r.reader
	if known := r.justKept(); known != nil {
		return known.result, nil
	}
	if r.refresh {
		started, traced := time.Now(), r.trace()
		defer func() {
			if !r.kept {
				of.cache.postpone(of, started, askedToWait(err))
			}
			traced(err)
		}() // after the next one, by which a panic is an error
	}
	defer func() {
		if p := recover(); p != nil { // it would end the process
			err = panicked(r, of.backend, of.call, p, of.telemetry.Log())
		}
	}()
	of.led.Store(true)
	if of.call.Op == adapters.OpGet && r.behind {
		leave, ok := of.backend.behind.take(r.Done(), of.who.credential)
		if !ok {
			return Result{}, of.failure(r)
		}
		defer leave()
	}
	call := of.call
	if of.known != nil {
		call.Previous = &of.known.result
	}
	result, err := of.next(r, call)
	result.Work, result.Asker = r.last.Load(), journal.RequestID(r) // of a failure, too, for those who share it
	if err != nil {
		of.cache.void(of, normalize.KindOf(err))
		return result, err
	}
	r.kept = of.cache.put(of, r.began, result)
	return result, nil
}

// justKept is what another one has read while this one was about to: between its look and
// its turn a whole read may have ended.
func (r *reading) justKept() *entry {
	if r.refresh || r.reader.call.Fresh {
		return nil
	}
	if known, ok := r.reader.cache.store.get(r.reader.key); ok && time.Now().Before(known.fresh) {
		return known
	}
	return nil
}

// trace makes a refresh, which is nobody's request, a trace of its own, linked to the request
// that caused it, and gives it an entry in the journal.
func (r *reading) trace() (end func(error)) {
	of := r.reader
	ctx, entry := of.cache.journal.Refresh(r.Context)
	ctx, span := of.telemetry.Tracer.Start(ctx, "refresh", trace.WithNewRoot(), trace.WithLinks(trace.LinkFromContext(ctx)), trace.WithAttributes(
		attribute.String("agentgw.backend", of.backend.Name), attribute.String("agentgw.operation", string(of.call.Op)),
	))
	r.Context = ctx
	return func(err error) {
		source := journal.Source{Backend: of.backend.Name, Status: SourceOK}
		if err != nil {
			source.Status, source.Code = SourceError, string(outcomes[normalize.KindOf(err)].code)
			span.SetAttributes(attribute.String("error.type", errorType(err)))
		}
		span.End()
		of.cache.journal.End(entry, time.Now(), &journal.Outcome{Trace: span.SpanContext().TraceID(), Sources: []journal.Source{source}})
	}
}

// askedToWait is how long the backend asks to be left alone.
func askedToWait(err error) time.Duration {
	if failure, ok := err.(*normalize.Error); ok {
		return failure.RetryAfter
	}
	return 0
}
