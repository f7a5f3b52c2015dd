package gateway

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"
)

// reading is what the upstream requests of one read through the cache have in common. It
// is safe for concurrent use.
type reading struct {
	heard transcript
	last  atomic.Pointer[trace.SpanContext] // the last recorded span of a request
}

type readingKey struct{}

func withReading(ctx context.Context) (context.Context, *reading) {
	r := &reading{}
	return context.WithValue(ctx, readingKey{}, r), r
}

// readingOf returns the read that goes on in a context; nil for none.
func readingOf(ctx context.Context) *reading {
	r, _ := ctx.Value(readingKey{}).(*reading)
	return r
}
