package telemetry

import (
	"strings"
	"testing"
)

// TestCheckEnvironment: each mistake names its variable, and no value.
func TestCheckEnvironment(t *testing.T) {
	for _, valid := range []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.example:4318/x", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=b%20c,d=", "OTEL_EXPORTER_OTLP_COMPRESSION=gzip",
		"OTEL_BSP_SCHEDULE_DELAY=5000", "OTEL_METRIC_EXPORT_INTERVAL=", "OTEL_SERVICE_NAME=x", "OTHER_TIMEOUT=soon",
	} {
		if mistakes := checkEnvironment([]string{valid}); len(mistakes) > 0 {
			t.Errorf("%s: %v", valid, mistakes)
		}
	}
	for _, wrong := range []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=canary:4318", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=:canary", "OTEL_EXPORTER_OTLP_HEADERS=canary", "OTEL_EXPORTER_OTLP_HEADERS=authorization=canary%zz",
		"OTEL_EXPORTER_OTLP_COMPRESSION=canary", "OTEL_EXPORTER_OTLP_CERTIFICATE=/canary", "OTEL_EXPORTER_OTLP_TIMEOUT=canary", "OTEL_BSP_SCHEDULE_DELAY=-1canary",
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE=canary", "OTEL_METRIC_EXPORT_INTERVAL=canary", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=canary",
	} {
		name, _, _ := strings.Cut(wrong, "=")
		mistakes := checkEnvironment([]string{"PATH=x", wrong})
		if len(mistakes) != 1 || !strings.HasPrefix(mistakes[0].Error(), name+": must be ") || strings.Contains(mistakes[0].Error(), "canary") {
			t.Errorf("%s: %v", wrong, mistakes)
		}
	}
}
