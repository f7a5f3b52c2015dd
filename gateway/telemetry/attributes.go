package telemetry

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// attributeSets prepares the attribute set of each distinct value of K once, because building
// a set costs more than the measurement that uses it. Labels have a bounded number of values,
// so nothing is ever removed. It is safe for concurrent use.
type attributeSets[K comparable] struct {
	attributes func(K) []attribute.KeyValue

	mu   sync.RWMutex
	sets map[K]metric.MeasurementOption
}

func newAttributeSets[K comparable](attributes func(K) []attribute.KeyValue) *attributeSets[K] {
	return &attributeSets[K]{attributes: attributes, sets: map[K]metric.MeasurementOption{}}
}

// get returns the attributes of labels as an option of a measurement.
func (s *attributeSets[K]) get(labels K) metric.MeasurementOption {
	s.mu.RLock()
	set, ok := s.sets[labels]
	s.mu.RUnlock()
	if ok {
		return set
	}
	set = metric.WithAttributeSet(attribute.NewSet(s.attributes(labels)...))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sets[labels] = set
	return set
}

// durationBuckets are the bucket boundaries, in seconds, that the semantic conventions for
// HTTP metrics advise.
var durationBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// durationHistogram is a histogram of durations in seconds, with the labels K.
type durationHistogram[K comparable] struct {
	histogram metric.Float64Histogram
	labels    *attributeSets[K]
}

func newDurationHistogram[K comparable](meter metric.Meter, name, description string, attributes func(K) []attribute.KeyValue) (durationHistogram[K], error) {
	histogram, err := meter.Float64Histogram(name, metric.WithDescription(description), metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(durationBuckets...))
	return durationHistogram[K]{histogram, newAttributeSets(attributes)}, err
}

// record adds a duration. If the span of ctx is sampled, it may become an exemplar.
func (h durationHistogram[K]) record(ctx context.Context, labels K, d time.Duration) {
	h.histogram.Record(ctx, d.Seconds(), h.labels.get(labels))
}

// maxLabels is how many labels a counter has at most.
const maxLabels = 3

// counter is a counter with the same labels each time.
type counter struct {
	counter metric.Int64Counter
	labels  *attributeSets[[maxLabels]string]
}

func newCounter(meter metric.Meter, name, description string, labels ...string) (counter, error) {
	c, err := meter.Int64Counter(name, metric.WithDescription(description))
	return counter{c, newAttributeSets(func(values [maxLabels]string) []attribute.KeyValue {
		attributes := make([]attribute.KeyValue, len(labels))
		for i, label := range labels {
			attributes[i] = attribute.String(label, values[i])
		}
		return attributes
	})}, err
}

// add adds n to the series of these values, in the order of the counter's labels. Adding zero
// makes the series appear.
func (c counter) add(n int64, values ...string) {
	var labels [maxLabels]string
	copy(labels[:], values)
	c.counter.Add(context.Background(), n, c.labels.get(labels))
}
