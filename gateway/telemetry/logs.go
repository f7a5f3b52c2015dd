package telemetry

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Log formats and writes what is logged in the background: a request pays for a place in
// a queue, and does not wait for whoever reads the log. If he is too slow for too long,
// lines are dropped and counted. It is safe for concurrent use.
type Log struct {
	// Of whoever writes: the background, and after Close everyone under mu.
	out   *bufio.Writer
	text  []byte
	attrs []slog.Attr

	dropped atomic.Int64
	ended   chan struct{}

	mu     sync.RWMutex
	queue  chan line
	closed bool
}

// Later is a line that is put together when it is written. It must not change any more.
type Later interface {
	// Line is when it happened, what is said, and its members, appended to attrs.
	Line(attrs []slog.Attr) (at time.Time, message string, with []slog.Attr)
}

// record is the line as a handler takes it.
func record(l Later, level slog.Level) slog.Record {
	at, message, attrs := l.Line(nil)
	r := slog.NewRecord(at, level, message, 0)
	r.AddAttrs(attrs...)
	return r
}

// LogLater logs a line of that level, if it is logged; in a log of NewLog whoever logs pays
// for neither its members nor its form. It has the ids of the span, if that is valid.
func LogLater(span trace.SpanContext, log *slog.Logger, level slog.Level, l Later) {
	handler := log.Handler()
	if !handler.Enabled(context.Background(), level) {
		return
	}
	if q, ok := handler.(queued); ok {
		_ = q.send(line{to: q, later: l, level: level, span: span})
		return
	}
	_ = handler.Handle(trace.ContextWithSpanContext(context.Background(), span), record(l, level)) // there is nobody to tell
}

// line is one, before it is formatted.
type line struct {
	to     queued
	record *slog.Record // or
	later  Later
	level  slog.Level // of later
	span   trace.SpanContext
}

const (
	// queuedLines is how many wait at most.
	queuedLines = 8192
	// logDelay is how long lines wait for others to be written with.
	logDelay = 5 * time.Millisecond
	// logGrace is how long Close waits for a reader who does not read.
	logGrace = time.Second
)

// NewLog starts a log to w, until Close; format makes the handler of its lines. What is
// logged in a context with a span has its trace_id and span_id. A JSON handler is taken for
// one without ReplaceAttr.
func NewLog(w io.Writer, format func(io.Writer) slog.Handler) (*slog.Logger, *Log) {
	l := &Log{queue: make(chan line, queuedLines), ended: make(chan struct{})}
	l.out = bufio.NewWriterSize(countedWriter{w, l}, 64<<10)
	go l.run()
	handler := format(l.out)
	_, json := handler.(*slog.JSONHandler)
	return slog.New(queued{log: l, next: handler, json: json}), l
}

// Dropped is how many lines were not written.
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Close writes what waits, and returns when that is done or nobody reads it. What is
// logged later is written at once.
func (l *Log) Close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
	l.mu.Unlock()
	select {
	case <-l.ended:
	case <-time.After(logGrace):
	}
}

func (l *Log) run() {
	defer close(l.ended)
	for next := range l.queue {
		next.write()
		// Others are on their way: who sends to a goroutine that sleeps does not pay for
		// waking it.
		for quiet := false; !quiet; {
			time.Sleep(logDelay)
			waiting := len(l.queue)
			for range waiting {
				next := <-l.queue
				next.write()
			}
			_ = l.out.Flush() // what could not be written was counted
			quiet = waiting == 0
		}
	}
}

func (l line) write() {
	if l.later != nil && l.to.json && l.writeJSON() {
		return
	}
	if l.later != nil {
		made := record(l.later, l.level)
		l.record = &made
	}
	if l.span.IsValid() {
		l.record.AddAttrs(slog.String("trace_id", l.span.TraceID().String()), slog.String("span_id", l.span.SpanID().String()))
	}
	_ = l.to.next.Handle(context.Background(), *l.record)
}

// writeJSON writes a later line without the handler, if it can.
func (l line) writeJSON() bool {
	log := l.to.log
	at, message, attrs := l.later.Line(log.attrs[:0])
	log.attrs = attrs
	var ok bool
	if log.text, ok = appendJSONLine(log.text[:0], at, l.level, message, attrs, l.span); ok {
		_, _ = log.out.Write(log.text) // what could not be written was counted
	}
	return ok
}

// queued is the handler that others see.
type queued struct {
	log  *Log
	next slog.Handler
	json bool // next writes JSON, with nothing of its own in it
}

func (q queued) Enabled(ctx context.Context, level slog.Level) bool {
	return q.next.Enabled(ctx, level)
}

func (q queued) WithAttrs(attrs []slog.Attr) slog.Handler {
	return queued{log: q.log, next: q.next.WithAttrs(attrs)}
}

func (q queued) WithGroup(name string) slog.Handler {
	return queued{log: q.log, next: q.next.WithGroup(name)}
}

func (q queued) Handle(ctx context.Context, r slog.Record) error {
	return q.send(line{to: q, record: &r, span: trace.SpanContextFromContext(ctx)})
}

// send queues a line; after Close it writes it.
func (q queued) send(next line) error {
	if q.log.enqueue(next) {
		return nil
	}
	<-q.log.ended
	q.log.mu.Lock()
	defer q.log.mu.Unlock()
	next.write()
	return q.log.out.Flush()
}

// enqueue takes a line, or counts it as dropped; false after Close.
func (l *Log) enqueue(next line) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return false
	}
	select {
	case l.queue <- next:
	default:
		l.dropped.Add(1)
	}
	return true
}

// countedWriter counts the lines that it could not write, and never fails: a log goes on
// when a disk has room again.
type countedWriter struct {
	io.Writer
	log *Log
}

func (c countedWriter) Write(lines []byte) (int, error) {
	if _, err := c.Writer.Write(lines); err != nil {
		c.log.dropped.Add(int64(bytes.Count(lines, []byte("\n"))))
	}
	return len(lines), nil
}
