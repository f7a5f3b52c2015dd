package telemetry

import (
	"context"
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
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
)

// setUpMetrics has measurements shown on the page for Prometheus, and sent where
// OTEL_METRICS_EXPORTER says.
func (t *Telemetry) setUpMetrics(ctx context.Context, res *resource.Resource) error {
	ours, runtime := prometheus.NewRegistry(), prometheus.NewRegistry()
	runtime.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	t.page = prometheus.Gatherers{ours, runtime}
	t.served = newDurations("http.server.request.duration", "Duration of requests to the gateway.", Served.attributes)
	t.upstream = newDurations("http.client.request.duration", "Duration of requests to backends.", Upstream.attributes)
	if disabled() {
		return t.makeInstruments(noop.Meter{})
	}
	page, err := promexporter.New(promexporter.WithRegisterer(ours), promexporter.WithoutScopeInfo(), promexporter.WithProducer(t.newMeasured(metricdata.CumulativeTemporality)))
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithReader(page), sdkmetric.WithResource(res)}
	exporter, err := t.metricExporter(ctx)
	if err != nil {
		return err
	}
	if exporter != nil {
		// What Prometheus' own collectors know of the Go runtime goes along.
		runtimeToo := sdkmetric.WithProducer(prometheusbridge.NewMetricProducer(prometheusbridge.WithGatherer(runtime)))
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(countedMetrics{exporter, t.metricDeliveries}, runtimeToo, sdkmetric.WithProducer(t.newMeasured(exporter.Temporality(sdkmetric.InstrumentKindHistogram))))))
	}
	provider := sdkmetric.NewMeterProvider(options...)
	t.shutdowns = append(t.shutdowns, provider.Shutdown)
	return t.makeInstruments(provider.Meter(scope))
}

// metricExporter is what OTEL_METRICS_EXPORTER names; nil for none.
func (t *Telemetry) metricExporter(ctx context.Context) (sdkmetric.Exporter, error) {
	switch name := os.Getenv("OTEL_METRICS_EXPORTER"); name {
	case "", "none", "prometheus": // the page is always there
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

// Metrics is the page that Prometheus reads. With exemplars in its OpenMetrics form.
func (t *Telemetry) Metrics() http.Handler {
	return promhttp.HandlerFor(t.page, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError})
}
