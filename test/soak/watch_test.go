package soak

import (
	"bytes"
	"context"
	"strings"
	"sync"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// watcher checks every log line and every span for forbidden words.
type watcher struct {
	soak *soak

	mu        sync.Mutex
	forbidden []string
}

func (w *watcher) forbid(words []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forbidden, w.soak.secrets = words, words
}

func (w *watcher) words() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.forbidden
}

// Write checks a log line.
func (w *watcher) Write(line []byte) (int, error) {
	for _, word := range w.words() {
		if bytes.Contains(line, []byte(word)) {
			w.soak.trouble("the log contains %.12s…", word)
		}
	}
	if bytes.Contains(line, []byte("panic")) {
		w.soak.trouble("%s", line)
	}
	return len(line), nil
}

// OnEnd checks a span.
func (w *watcher) OnEnd(span sdktrace.ReadOnlySpan) {
	var text strings.Builder
	text.WriteString(span.Name() + " " + span.Status().Description)
	for _, a := range span.Attributes() {
		text.WriteString(" " + a.Value.String())
	}
	for _, e := range span.Events() {
		text.WriteString(" " + e.Name)
		for _, a := range e.Attributes {
			text.WriteString(" " + a.Value.String())
		}
	}
	for _, word := range w.words() {
		if strings.Contains(text.String(), word) {
			w.soak.trouble("the span %s contains %.12s…", span.Name(), word)
		}
	}
}

// OnStart, Shutdown and ForceFlush do nothing.
func (*watcher) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (*watcher) Shutdown(context.Context) error                  { return nil }
func (*watcher) ForceFlush(context.Context) error                { return nil }
