package telemetry

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// WithTraceIDs adds the trace_id and span_id of the context to what is logged in it.
func WithTraceIDs(next slog.Handler) slog.Handler { return traced{next} }

type traced struct{ slog.Handler }

func (t traced) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return t.Handler.Handle(ctx, r)
}

func (t traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{t.Handler.WithAttrs(attrs)} }
func (t traced) WithGroup(name string) slog.Handler       { return traced{t.Handler.WithGroup(name)} }

// LogWriter writes lines in the background, many at once: a request pays for a copy in
// memory, and does not wait for whoever reads the log. If he is too slow for too long,
// lines are dropped and counted. It is safe for concurrent use.
type LogWriter struct {
	w       io.Writer
	dropped atomic.Int64
	wake    chan struct{} // something waits
	ended   chan struct{}

	mu      sync.Mutex
	pending []byte
	closed  bool
}

const (
	// maxPending is what waits to be written at most, in bytes: some 20,000 lines.
	maxPending = 4 << 20
	// logDelay is how long lines wait for others to be written with.
	logDelay = 5 * time.Millisecond
	// logGrace is how long Close waits for a reader who does not read.
	logGrace = time.Second
)

// NewLogWriter starts writing to w, until Close.
func NewLogWriter(w io.Writer) *LogWriter {
	l := &LogWriter{w: w, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go l.run()
	return l
}

// Write takes a line. It never fails, and never waits; after Close it writes at once.
func (l *LogWriter) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return l.w.Write(line)
	case len(l.pending)+len(line) > maxPending:
		l.dropped.Add(1)
		return len(line), nil
	}
	l.pending = append(l.pending, line...)
	select {
	case l.wake <- struct{}{}:
	default: // it is awake
	}
	return len(line), nil
}

// Dropped is how many lines were not written.
func (l *LogWriter) Dropped() int64 { return l.dropped.Load() }

// Close writes what waits, and returns when that is done or nobody reads it.
func (l *LogWriter) Close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.wake)
	}
	l.mu.Unlock()
	select {
	case <-l.ended:
	case <-time.After(logGrace):
	}
}

func (l *LogWriter) run() {
	defer close(l.ended)
	var lines []byte
	for open := true; open; {
		if _, open = <-l.wake; open {
			time.Sleep(logDelay)
		}
		l.mu.Lock()
		lines, l.pending = l.pending, lines[:0]
		l.mu.Unlock()
		if _, err := l.w.Write(lines); err != nil {
			l.dropped.Add(int64(bytes.Count(lines, []byte("\n"))))
		}
	}
}
