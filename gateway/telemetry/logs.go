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

const (
	// queuedRecords is how many log records may wait to be written.
	queuedRecords = 8192
	// logDelay is how long the writer waits for more records, so that they share one write.
	// A process that is killed loses the records of this time.
	logDelay = 5 * time.Millisecond
	// logGrace is how long Close waits for a reader that does not read.
	logGrace = time.Second
)

// LogQueue formats and writes log records in the background, so that a request never waits
// for whoever reads the log. When the queue is full, records are dropped and counted. It is
// safe for concurrent use.
type LogQueue struct {
	out     *bufio.Writer // owned by run; after Close, by Handle under mu
	dropped atomic.Int64
	ended   chan struct{} // closed when run returns

	mu      sync.RWMutex
	records chan queuedRecord
	closed  bool
}

// queuedRecord is a record that waits, with the handler that formats it.
type queuedRecord struct {
	handler slog.Handler
	record  slog.Record
	span    trace.SpanContext
}

// NewLogger starts a log to w, until Close. newHandler makes the handler that formats its
// records. A record that is logged in a context with a span gets the attributes trace_id and
// span_id.
func NewLogger(w io.Writer, newHandler func(io.Writer) slog.Handler) (*slog.Logger, *LogQueue) {
	q := &LogQueue{records: make(chan queuedRecord, queuedRecords), ended: make(chan struct{})}
	q.out = bufio.NewWriterSize(countingWriter{w, q}, 64<<10)
	go q.run()
	return slog.New(queueHandler{queue: q, next: newHandler(q.out)}), q
}

// Dropped returns how many records were not written.
func (q *LogQueue) Dropped() int64 { return q.dropped.Load() }

// Close writes the records that wait. It returns when they are written, or after logGrace.
// Records that are logged after Close are written at once.
func (q *LogQueue) Close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.records)
	}
	q.mu.Unlock()
	select {
	case <-q.ended:
	case <-time.After(logGrace):
	}
}

// run writes records until the queue is closed and empty.
func (q *LogQueue) run() {
	defer close(q.ended)
	for first := range q.records {
		first.write()
		time.Sleep(logDelay)
		for range len(q.records) {
			next := <-q.records
			next.write()
		}
		_ = q.out.Flush() // countingWriter counted what could not be written
	}
}

// enqueue adds a record to the queue, or counts it as dropped. It returns false after Close.
func (q *LogQueue) enqueue(r queuedRecord) bool {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.closed {
		return false
	}
	select {
	case q.records <- r:
	default:
		q.dropped.Add(1)
	}
	return true
}

// write formats the record into the queue's writer.
func (r queuedRecord) write() {
	if r.span.IsValid() {
		r.record.AddAttrs(slog.String("trace_id", r.span.TraceID().String()), slog.String("span_id", r.span.SpanID().String()))
	}
	_ = r.handler.Handle(context.Background(), r.record) // countingWriter never fails
}

// queueHandler is the slog.Handler that puts records into a LogQueue.
type queueHandler struct {
	queue *LogQueue
	next  slog.Handler
}

func (h queueHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h queueHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return queueHandler{h.queue, h.next.WithAttrs(attrs)}
}

func (h queueHandler) WithGroup(name string) slog.Handler {
	return queueHandler{h.queue, h.next.WithGroup(name)}
}

// Handle queues a record. After Close it writes the record itself.
func (h queueHandler) Handle(ctx context.Context, r slog.Record) error {
	queued := queuedRecord{handler: h.next, record: r, span: trace.SpanContextFromContext(ctx)}
	if h.queue.enqueue(queued) {
		return nil
	}
	<-h.queue.ended
	h.queue.mu.Lock()
	defer h.queue.mu.Unlock()
	queued.write()
	return h.queue.out.Flush()
}

// countingWriter counts the lines that it could not write, and never fails: the log goes on
// when a full disk has room again.
type countingWriter struct {
	io.Writer
	queue *LogQueue
}

func (w countingWriter) Write(lines []byte) (int, error) {
	if _, err := w.Writer.Write(lines); err != nil {
		w.queue.dropped.Add(int64(bytes.Count(lines, []byte("\n"))))
	}
	return len(lines), nil
}
