package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

func TestLinesHaveTheirTrace(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(WithTraceIDs(slog.NewTextHandler(&out, nil))).With("a", 1)
	ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}))
	log.InfoContext(ctx, "with")
	log.Info("without")
	with, without, _ := strings.Cut(out.String(), "\n")
	if !strings.Contains(with, "a=1 trace_id=01000000000000000000000000000000 span_id=0200000000000000") || strings.Contains(without, "trace_id") {
		t.Errorf("%s", out.String())
	}
}

func TestLogWriterWritesAll(t *testing.T) {
	var out bytes.Buffer
	w := NewLogWriter(&out)
	want := ""
	for i := range 1000 {
		line := fmt.Sprintln("line", i)
		want += line
		fmt.Fprint(w, line)
	}
	w.Close()
	fmt.Fprint(w, "after\n")
	w.Close()
	if out.String() != want+"after\n" || w.Dropped() != 0 {
		t.Errorf("%d bytes were written of %d, %d lines dropped", out.Len(), len(want), w.Dropped())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// TestLogWriterDoesNotWait: neither for a reader who does not read, nor for a disk that
// is full; what is lost is counted.
func TestLogWriterDoesNotWait(t *testing.T) {
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w := NewLogWriter(pipe)
	line := bytes.Repeat([]byte("x"), 1<<20)
	for range 10 { // more than a pipe and maxPending hold
		if _, err := w.Write(line); err != nil {
			t.Error(err)
		}
	}
	if w.Dropped() == 0 {
		t.Error("nothing was dropped")
	}
	r.Close() // ends the write that waits
	w.Close()

	w = NewLogWriter(broken{})
	fmt.Fprint(w, "one\ntwo\n")
	w.Close()
	if w.Dropped() != 2 {
		t.Errorf("%d lines dropped of 2", w.Dropped())
	}
}
