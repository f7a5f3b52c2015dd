package observability

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/agentgw/agentgw/internal/syncbuf"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/test/internal/npmtest"
	"github.com/agentgw/agentgw/test/internal/prebuilt"
)

// collector is a running OpenTelemetry Collector, and what it has exported.
type collector struct {
	endpoint string // "http://127.0.0.1:4318"

	mu      sync.Mutex
	spans   []span
	metrics map[string]bool // by name
}

// span is an exported span.
type span struct {
	trace, id, parent, name, kind string
	failed                        bool
	attributes                    map[string]string
	resource                      map[string]string
}

// startCollector starts a collector that ends with the test. In its configuration it listens
// on 127.0.0.1:4318 and exports to 127.0.0.1:14318; both are replaced.
func startCollector(t *testing.T, configuration string) *collector {
	t.Helper()
	c := &collector{metrics: map[string]bool{}}
	sink := httptest.NewServer(c)
	t.Cleanup(sink.Close)
	listen := freeAddress(t)
	folder := t.TempDir()
	configuration = strings.NewReplacer("127.0.0.1:4318", listen, "http://127.0.0.1:14318", sink.URL).Replace(configuration)
	npmtest.Write(t, folder, "collector.yaml", []byte(configuration))
	start(t, prebuilt.Path(t, prebuilt.Collector), "--config="+filepath.Join(folder, "collector.yaml"))
	c.endpoint = "http://" + listen
	waittest.Until(t, "the collector", func() bool {
		resp, err := http.Post(c.endpoint+"/v1/traces", "application/x-protobuf", nil)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	})
	return c
}

// ServeHTTP receives what the collector exports.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	unpacked, err := gzip.NewReader(r.Body) // as the collector sends it
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	body, err := io.ReadAll(unpacked)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.URL.Path {
	case "/v1/traces":
		err = c.takeTraces(body)
	case "/v1/metrics":
		err = c.takeMetrics(body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (c *collector) takeTraces(body []byte) error {
	var request collectortraces.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		return err
	}
	for _, ofResource := range request.ResourceSpans {
		resource := map[string]string{}
		for _, a := range ofResource.Resource.Attributes {
			resource[a.Key] = a.Value.GetStringValue()
		}
		for _, ofScope := range ofResource.ScopeSpans {
			for _, s := range ofScope.Spans {
				attributes := map[string]string{}
				for _, a := range s.Attributes {
					attributes[a.Key] = strings.Trim(strings.TrimSpace(a.Value.String()[strings.IndexByte(a.Value.String(), ':')+1:]), `"`)
				}
				c.spans = append(c.spans, span{
					trace: fmt.Sprintf("%x", s.TraceId), id: fmt.Sprintf("%x", s.SpanId), parent: fmt.Sprintf("%x", s.ParentSpanId),
					name: s.Name, kind: strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"), failed: s.Status.GetCode() == 2, attributes: attributes, resource: resource,
				})
			}
		}
	}
	return nil
}

func (c *collector) takeMetrics(body []byte) error {
	var request collectormetrics.ExportMetricsServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		return err
	}
	for _, ofResource := range request.ResourceMetrics {
		for _, ofScope := range ofResource.ScopeMetrics {
			for _, m := range ofScope.Metrics {
				c.metrics[m.Name] = true
			}
		}
	}
	return nil
}

// arrived returns the exported spans of a trace, or all of them for "".
func (c *collector) arrived(trace string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []span
	for _, s := range c.spans {
		if trace == "" || s.trace == trace {
			found = append(found, s)
		}
	}
	return found
}

// measured reports whether a metric was exported.
func (c *collector) measured(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.metrics[name]
}

// start starts a program that ends with the test. Its output is printed if the test fails.
func start(t *testing.T, program string, arguments ...string) {
	t.Helper()
	var out syncbuf.Buffer
	cmd := exec.Command(program, arguments...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(program), out.String())
		}
	})
}

// freeAddress returns an address on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
