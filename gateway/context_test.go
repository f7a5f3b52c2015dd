package gateway

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

var (
	local  = trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}})
	remote = trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true})
)

// recordedSpan is one that is recorded, as far as it says.
type recordedSpan struct {
	noop.Span
	of trace.SpanContext
}

func (recordedSpan) IsRecording() bool                { return true }
func (s recordedSpan) SpanContext() trace.SpanContext { return s.of }

// unrecordedRequest is the context of a request whose span is not recorded.
func unrecordedRequest(entry *journal.Entry) *requestContext {
	c := &requestContext{entry: entry, unrecorded: true, traced: local}
	c.Context, c.at = trace.ContextWithRemoteSpanContext(context.Background(), remote), time.Now().Add(time.Hour)
	return c
}

// TestContextsOfARequest: what is below a request's context, and below a read's, finds the
// request's span and entry, and ends with it.
func TestContextsOfARequest(t *testing.T) {
	entry := journal.New(time.Now).Begin(new(journal.Entry), "the request", time.Now())
	request := unrecordedRequest(entry)
	read := &reading{}
	read.begin(request, nil, epoch{}, time.Now().Add(time.Hour), false, false)
	type other struct{}
	derived, stop := context.WithCancel(context.WithValue(request, other{}, "value"))
	defer stop()
	for name, ctx := range map[string]context.Context{"request": request, "read": read, "derived": derived} {
		if got := trace.SpanContextFromContext(ctx); !got.Equal(local) {
			t.Errorf("%s: the span is %v", name, got)
		}
		if got := journal.RequestID(ctx); got != "the request" {
			t.Errorf("%s: the entry is of %q", name, got)
		}
		if telemetry.Recorded(ctx) || isBehind(ctx) {
			t.Errorf("%s: recorded %t, behind %t", name, telemetry.Recorded(ctx), isBehind(ctx))
		}
		below := trace.ContextWithSpan(ctx, recordedSpan{of: remote})
		if !telemetry.Recorded(below) {
			t.Errorf("%s: a span below is not recorded", name)
		}
		if !isBehind(behind(ctx)) {
			t.Errorf("%s: what is behind is not", name)
		}
	}
	if derived.Value(other{}) != "value" || request.Value(other{}) != nil {
		t.Error("values are not those of the contexts that have them")
	}
	if read.Value(readingKey{}) != read || request.Value(readingKey{}) != nil || read.Value(adapters.Uninterrupted{}) != true || request.Value(adapters.Uninterrupted{}) != nil {
		t.Error("a read is not what it is, or a request is")
	}
	request.end()
	<-derived.Done()
	if request.Err() != context.Canceled || read.Err() != nil {
		t.Errorf("the request %v, its read %v", request.Err(), read.Err())
	}
	if nobody := unrecordedRequest(nil); journal.RequestID(nobody) != "" {
		t.Error("there is an entry where none is kept")
	}
}

// TestRecordedContexts: the span of a request that is recorded is its parent's, and a read's
// that nobody waits for is its own.
func TestRecordedContexts(t *testing.T) {
	request := &requestContext{}
	request.Context, request.at = trace.ContextWithSpan(context.Background(), recordedSpan{of: local}), time.Now().Add(time.Hour)
	for name, refresh := range map[string]bool{"asked": false, "refresh": true} {
		read := &reading{}
		read.begin(request, nil, epoch{}, time.Now().Add(time.Hour), refresh, refresh)
		if !telemetry.Recorded(request) || !telemetry.Recorded(read) || isBehind(read) != refresh {
			t.Errorf("%s: recorded %t, %t, behind %t", name, telemetry.Recorded(request), telemetry.Recorded(read), isBehind(read))
		}
		noteRequest(read, recordedSpan{of: remote})
		if last := read.last.Load(); last == nil || !last.Equal(remote) {
			t.Errorf("%s: the last request is %v", name, last)
		}
	}
	// A refresh that an unrecorded request caused may be recorded.
	read := &reading{}
	read.begin(unrecordedRequest(nil), nil, epoch{}, time.Now().Add(time.Hour), true, true)
	read.Context = trace.ContextWithSpan(read.Context, recordedSpan{of: remote})
	if !telemetry.Recorded(read) {
		t.Error("a refresh's own span is not recorded")
	}
}

func TestContextsAreSafeForConcurrentUse(t *testing.T) {
	request := unrecordedRequest(nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := trace.SpanContextFromContext(request); !got.Equal(local) {
				t.Errorf("the span is %v", got)
			}
			child, stop := context.WithCancel(request)
			defer stop()
			<-child.Done()
		})
	}
	request.end()
	wg.Wait()
}
