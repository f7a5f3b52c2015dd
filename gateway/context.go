package gateway

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// requestContext is the context of a request: its deadline, its entry in the journal and its
// span. It is one value rather than one for each of them, since each read of a backend makes one
// and asks it a dozen times. It is safe for concurrent use.
type requestContext struct {
	deadline                  // its parent has the span, if that is recorded
	entry      *journal.Entry // nil: nothing is kept
	unrecorded bool
	traced     trace.SpanContext // of a span that is not recorded; may not be valid

	once    sync.Once
	spanned context.Context // the parent with a span that is not recorded
}

var (
	_ context.Context      = (*requestContext)(nil)
	_ telemetry.Unrecorded = (*requestContext)(nil)
)

// Value answers for what it knows itself. Of a span that is not recorded a context is only made
// when somebody may have asked for it: to whom else it goes is in it.
func (c *requestContext) Value(key any) any {
	switch key.(type) {
	case journal.Key:
		if c.entry == nil {
			return nil
		}
		return c.entry
	case behindKey, readingKey, adapters.Uninterrupted: // these are only made below it
		return nil
	}
	if c.unrecorded && c.traced.IsValid() {
		c.once.Do(func() { c.spanned = trace.ContextWithSpanContext(c.Context, c.traced) })
		if v := c.spanned.Value(key); v != nil {
			return v
		}
	}
	return c.deadline.Value(key)
}

// Unrecorded is telemetry.Unrecorded.
func (c *requestContext) Unrecorded() bool { return c.unrecorded }
