package telemetry

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.opentelemetry.io/otel/trace"
)

func text(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }

type late struct{}

func (late) Line(attrs []slog.Attr) (time.Time, string, []slog.Attr) {
	return time.Date(2026, 11, 22, 3, 4, 5, 600, time.UTC), "later", append(attrs, slog.String("text", "\"<a>\n\xff\u2028"), slog.Int("number", -3), slog.Float64("float", 0.125))
}

// TestLaterLines: they are the handler's own, member for member.
func TestLaterLines(t *testing.T) {
	var now, later bytes.Buffer
	made := record(late{}, slog.LevelWarn)
	made.AddAttrs(slog.String("trace_id", "01000000000000000000000000000000"), slog.String("span_id", "0200000000000000"))
	if err := slog.NewJSONHandler(&now, nil).Handle(context.Background(), made); err != nil {
		t.Fatal(err)
	}
	log, lines := NewLog(&later, func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) })
	LogLater(trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}), log, slog.LevelWarn, late{})
	LogLater(trace.SpanContext{}, log.With("name", "value"), slog.LevelInfo, late{})
	lines.Close()
	line, with, _ := strings.Cut(later.String(), "\n")
	var want, got any
	if err := errors.Join(json.Unmarshal(now.Bytes(), &want), json.Unmarshal([]byte(line), &got)); err != nil || !reflect.DeepEqual(want, got) {
		t.Errorf("%v\n%s\nis not\n%s", err, line, now.String())
	}
	if strings.Count(later.String(), "\n") != 2 || !strings.Contains(with, `"name":"value","text":`) {
		t.Errorf("%s", later.String())
	}
}

func TestLinesHaveTheirTrace(t *testing.T) {
	var out bytes.Buffer
	log, lines := NewLog(&out, text)
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	log.With("a", 1).WithGroup("g").InfoContext(trace.ContextWithSpanContext(context.Background(), span), "with", "b", 2)
	log.Info("without")
	LogLater(span, log, slog.LevelInfo, late{})
	LogLater(span, log, slog.LevelDebug, late{})
	lines.Close()
	with, rest, _ := strings.Cut(out.String(), "\n")
	without, later, _ := strings.Cut(rest, "\n")
	if strings.Count(later, "\n") != 1 || !strings.Contains(later, "float=0.125 trace_id=01000000000000000000000000000000 span_id=0200000000000000") {
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

// BenchmarkLaterLine is what an access line takes of whoever writes it: by the handler, and
// by itself.
func BenchmarkLaterLine(b *testing.B) {
	for name, byItself := range map[string]bool{"handler": false, "itself": true} {
		b.Run(name, func(b *testing.B) {
			log := &Log{out: bufio.NewWriter(io.Discard)}
			next := line{to: queued{log: log, next: slog.NewJSONHandler(log.out, nil), json: byItself}, later: late{}}
			b.ReportAllocs()
			for b.Loop() {
				next.write()
			}
		})
	}
}
