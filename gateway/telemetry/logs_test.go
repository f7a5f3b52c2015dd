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
	"time"

	"go.opentelemetry.io/otel/trace"
)

func text(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }

type late struct{}

func (late) Record() slog.Record { return slog.NewRecord(time.Time{}, slog.LevelInfo, "later", 0) }

func TestLinesHaveTheirTrace(t *testing.T) {
	var out bytes.Buffer
	log, lines := NewLog(&out, text)
	ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}))
	log.With("a", 1).WithGroup("g").InfoContext(ctx, "with", "b", 2)
	log.Info("without")
	LogLater(ctx, log, slog.LevelInfo, late{})
	LogLater(ctx, log, slog.LevelDebug, late{})
	lines.Close()
	with, rest, _ := strings.Cut(out.String(), "\n")
	without, later, _ := strings.Cut(rest, "\n")
	if strings.Count(later, "\n") != 1 || !strings.Contains(later, "msg=later trace_id=01000000000000000000000000000000 span_id=0200000000000000") {
		t.Errorf("later is %q", later)
	}
	if !strings.Contains(with, "a=1 g.b=2 g.trace_id=01000000000000000000000000000000 g.span_id=0200000000000000") || strings.Contains(without, "trace_id") {
		t.Errorf("%s", out.String())
	}
}

func TestEveryLineIsWritten(t *testing.T) {
	var out bytes.Buffer
	log, lines := NewLog(&out, text)
	for i := range 5000 {
		log.Info("line", "number", i)
	}
	lines.Close()
	log.Info("after")
	lines.Close()
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(got) != 5001 || !strings.HasSuffix(got[4999], "number=4999") || !strings.HasSuffix(got[5000], "msg=after") || lines.Dropped() != 0 {
		t.Errorf("%d lines were written, %d dropped", len(got), lines.Dropped())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// TestNobodyWaitsForTheLog: neither for a reader who does not read, nor for a disk that
// is full; what is lost is counted.
func TestNobodyWaitsForTheLog(t *testing.T) {
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log, lines := NewLog(pipe, text)
	long := strings.Repeat("x", 1000)
	for range 2 * queuedLines { // more than the queue and a pipe hold
		log.Info(long)
	}
	if lines.Dropped() == 0 {
		t.Error("nothing was dropped")
	}
	r.Close() // ends the write that waits
	lines.Close()

	log, lines = NewLog(broken{}, text)
	log.Info("one")
	log.Info("two")
	lines.Close()
	if lines.Dropped() != 2 {
		t.Errorf("%d lines dropped of 2", lines.Dropped())
	}
}

func BenchmarkLog(b *testing.B) {
	log, lines := NewLog(io.Discard, func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) })
	defer lines.Close()
	b.ReportAllocs()
	for b.Loop() {
		log.LogAttrs(context.Background(), slog.LevelInfo, "request", slog.String("method", "GET"), slog.Int("status", 200))
	}
}
