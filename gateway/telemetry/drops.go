package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// deliveries counts what an exporter of a signal failed to deliver, and logs when failures
// begin and when they end.
type deliveries struct {
	signal  string
	log     *slog.Logger
	dropped atomic.Int64
	failing atomic.Bool
}

// record notes the result of an export of so many items.
func (d *deliveries) record(err error, items int) {
	if err == nil {
		if d.failing.Swap(false) {
			d.log.Info("telemetry is delivered again", "signal", d.signal)
		}
		return
	}
	d.dropped.Add(int64(items))
	if !d.failing.Swap(true) {
		d.log.Warn("telemetry is not delivered", "signal", d.signal, "error", err.Error())
	}
}

// observeDrops reports the counts of agentgw.telemetry.dropped.
func (t *Telemetry) observeDrops(_ context.Context, o metric.Int64Observer) error {
	for _, d := range []*deliveries{t.spanDeliveries, t.metricDeliveries} {
		o.Observe(d.dropped.Load(), metric.WithAttributes(attribute.String("signal", d.signal)))
	}
	o.Observe(t.droppedLines(), metric.WithAttributes(attribute.String("signal", "logs")))
	return nil
}

// boundedSpans limits how many spans wait to be exported, and counts those that it drops. The
// SDK's batch processor drops spans too, but does not report it; behind boundedSpans, which
// never passes on more than its queue holds, it drops none. OnEnd never blocks.
type boundedSpans struct {
	sdktrace.SpanProcessor
	free       atomic.Int64 // how many more spans may wait
	deliveries *deliveries
}

// newBoundedSpans exports spans in batches.
func newBoundedSpans(e sdktrace.SpanExporter, size int, d *deliveries) *boundedSpans {
	b := &boundedSpans{deliveries: d}
	b.free.Store(int64(size))
	b.SpanProcessor = sdktrace.NewBatchSpanProcessor(countedSpans{e, b}, sdktrace.WithMaxQueueSize(size))
	return b
}

func (b *boundedSpans) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if b.free.Add(-1) < 0 {
		b.free.Add(1)
		b.deliveries.dropped.Add(1)
		return
	}
	b.SpanProcessor.OnEnd(s)
}

// countedSpans is an exporter whose failures are counted. It reports none to the SDK, which
// would log each of them.
type countedSpans struct {
	sdktrace.SpanExporter
	processor *boundedSpans
}

func (c countedSpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	c.processor.free.Add(int64(len(spans)))
	c.processor.deliveries.record(err, len(spans))
	return nil
}

// countedMetrics does the same for metrics. A failed export counts as one: the next
// cumulative one has everything that it had.
type countedMetrics struct {
	sdkmetric.Exporter
	deliveries *deliveries
}

func (c countedMetrics) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	c.deliveries.record(c.Exporter.Export(ctx, m), 1)
	return nil
}
