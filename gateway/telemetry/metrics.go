package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	prometheusbridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// setUpMetrics makes the instruments, the page for Prometheus, and the exporter that
// OTEL_METRICS_EXPORTER names.
func (t *Telemetry) setUpMetrics(ctx context.Context, res *resource.Resource) error {
	ours, runtime := prometheus.NewRegistry(), prometheus.NewRegistry()
	runtime.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	t.page = prometheus.Gatherers{ours, runtime}
	if disabled() {
		return t.createInstruments(noop.Meter{})
	}
	page, err := promexporter.New(promexporter.WithRegisterer(ours), promexporter.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithReader(page), sdkmetric.WithResource(res)}
	exporter, err := t.metricExporter(ctx)
	t.ignore(err)
	if exporter != nil {
		goRuntime := sdkmetric.WithProducer(prometheusbridge.NewMetricProducer(prometheusbridge.WithGatherer(runtime)))
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(countedMetrics{exporter, t.metricDeliveries}, goRuntime)))
	}
	provider := sdkmetric.NewMeterProvider(options...)
	t.shutdowns = append(t.shutdowns, provider.Shutdown)
	return t.createInstruments(provider.Meter(scope))
}

// createInstruments makes all instruments.
func (t *Telemetry) createInstruments(meter metric.Meter) (err error) {
	t.requestDuration, err = newDurationHistogram(meter, "http.server.request.duration", "Duration of requests to the gateway.", requestLabels.attributes)
	if err != nil {
		return err
	}
	t.callDuration, err = newDurationHistogram(meter, "http.client.request.duration", "Duration of requests to backends.", callLabels.attributes)
	if err != nil {
		return err
	}
	_, err = meter.Int64ObservableCounter("agentgw.telemetry.dropped",
		metric.WithDescription("Spans, metric exports and log lines that were not delivered, by signal."), metric.WithInt64Callback(t.observeDrops))
	return errors.Join(err, t.counters.create(meter), t.gauges.create(meter))
}

// metricExporter returns the exporter that OTEL_METRICS_EXPORTER names, or nil for none.
func (t *Telemetry) metricExporter(ctx context.Context) (sdkmetric.Exporter, error) {
	switch name := os.Getenv("OTEL_METRICS_EXPORTER"); name {
	case "", "none", "prometheus": // Metrics is always served
		return nil, nil
	case "otlp":
		if err := checkProtocol("METRICS"); err != nil {
			return nil, err
		}
		e, err := otlpmetrichttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("OTEL_METRICS_EXPORTER=otlp: %w", err)
		}
		return e, nil
	case "console":
		e, err := stdoutmetric.New(stdoutmetric.WithWriter(os.Stderr))
		if err != nil {
			return nil, fmt.Errorf("OTEL_METRICS_EXPORTER=console: %w", err)
		}
		return e, nil
	default:
		return nil, fmt.Errorf("OTEL_METRICS_EXPORTER=%q is not one of none, prometheus, otlp, console", name)
	}
}

// Metrics serves the page that Prometheus reads. Its OpenMetrics form has exemplars.
func (t *Telemetry) Metrics() http.Handler {
	return promhttp.HandlerFor(t.page, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError})
}
