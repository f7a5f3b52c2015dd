package telemetry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

func text(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }

func TestLogger_TraceIDs(t *testing.T) {
	var out bytes.Buffer
	log, queue := NewLogger(&out, text)
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	log.With("a", 1).WithGroup("g").InfoContext(trace.ContextWithSpanContext(context.Background(), span), "with", "b", 2)
	log.Info("without")
	log.Debug("below the level")
	queue.Close()
	with, without, _ := strings.Cut(out.String(), "\n")
	if !strings.Contains(with, "a=1 g.b=2 g.trace_id=01000000000000000000000000000000 g.span_id=0200000000000000") {
		t.Errorf("with a span: %s", with)
	}
	if strings.Contains(without, "trace_id") || strings.Count(without, "\n") != 1 {
		t.Errorf("without a span: %s", without)
	}
}

func TestLogger_WritesEveryRecordInOrder(t *testing.T) {
	var out bytes.Buffer
	log, queue := NewLogger(&out, text)
	for i := range 5000 {
		log.Info("line", "number", i)
	}
	queue.Close()
	log.Info("after")
	queue.Close()
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(got) != 5001 || !strings.HasSuffix(got[4999], "number=4999") || !strings.HasSuffix(got[5000], "msg=after") || queue.Dropped() != 0 {
		t.Errorf("%d lines were written, %d dropped", len(got), queue.Dropped())
	}
}

// brokenWriter fails as a full disk does.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestLogger_BlockedReaderDropsRecords(t *testing.T) {
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log, queue := NewLogger(pipe, text)
	long := strings.Repeat("x", 1000)
	for range 2 * queuedRecords { // more than the queue and a pipe hold
		log.Info(long)
	}
	if queue.Dropped() == 0 {
		t.Error("nothing was dropped")
	}
	r.Close() // ends the blocked write
	queue.Close()
}

func TestLogger_FailedWritesAreCounted(t *testing.T) {
	log, queue := NewLogger(brokenWriter{}, text)
	log.Info("one")
	log.Info("two")
	queue.Close()
	if queue.Dropped() != 2 {
		t.Errorf("%d lines dropped of 2", queue.Dropped())
	}
}

func BenchmarkLogger(b *testing.B) {
	log, queue := NewLogger(io.Discard, func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) })
	defer queue.Close()
	b.ReportAllocs()
	for b.Loop() {
		log.LogAttrs(context.Background(), slog.LevelInfo, "request", slog.String("method", "GET"), slog.Int("status", 200))
	}
}
