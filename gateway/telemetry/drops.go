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

// deliveries counts what of a signal did not arrive, and logs when that begins and ends.
type deliveries struct {
	signal  string
	log     *slog.Logger
	dropped atomic.Int64
	failing atomic.Bool
}

func (d *deliveries) ended(err error, lost int) {
	if err == nil {
		if d.failing.Swap(false) {
			d.log.Info("telemetry is delivered again", "signal", d.signal)
		}
		return
	}
	d.dropped.Add(int64(lost))
	if !d.failing.Swap(true) {
		d.log.Warn("telemetry is not delivered", "signal", d.signal, "error", err.Error())
	}
}

func (t *Telemetry) observeDrops(_ context.Context, o metric.Int64Observer) error {
	for _, d := range []*deliveries{t.spanDeliveries, t.metricDeliveries} {
		o.Observe(d.dropped.Load(), metric.WithAttributes(attribute.String("signal", d.signal)))
	}
	o.Observe(t.droppedLines(), metric.WithAttributes(attribute.String("signal", "logs")))
	return nil
}

// boundedSpans lets so many spans wait to be sent. The batch processor behind it would
// drop the others too, and not say so: what it has in hand is always fewer than it has
// room for. OnEnd never waits.
type boundedSpans struct {
	sdktrace.SpanProcessor
	room       atomic.Int64
	deliveries *deliveries
}

// newBoundedSpans sends spans to the exporter in batches.
func newBoundedSpans(e sdktrace.SpanExporter, size int, d *deliveries) *boundedSpans {
	b := &boundedSpans{deliveries: d}
	b.room.Store(int64(size))
	b.SpanProcessor = sdktrace.NewBatchSpanProcessor(countedSpans{e, b}, sdktrace.WithMaxQueueSize(size))
	return b
}

func (b *boundedSpans) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if b.room.Add(-1) < 0 {
		b.room.Add(1)
		b.deliveries.dropped.Add(1)
		return
	}
	b.SpanProcessor.OnEnd(s)
}

// countedSpans is an exporter whose failures are counted; they are nobody else's business.
type countedSpans struct {
	sdktrace.SpanExporter
	processor *boundedSpans
}

func (c countedSpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	c.processor.room.Add(int64(len(spans)))
	c.processor.deliveries.ended(err, len(spans))
	return nil
}

// countedMetrics is the same for metrics. A failed export is counted as one: the next has
// all of it, if it arrives.
type countedMetrics struct {
	sdkmetric.Exporter
	deliveries *deliveries
}

func (c countedMetrics) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	c.deliveries.ended(c.Exporter.Export(ctx, m), 1)
	return nil
}
