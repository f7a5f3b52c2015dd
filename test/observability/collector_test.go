package observability

import (
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
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
	"time"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/agentgw/agentgw/test/locked"
	"github.com/agentgw/agentgw/test/node"
)

// builder makes the collector of its modules.
const builder = "go.opentelemetry.io/collector/cmd/builder@v0.162.0"

//go:embed testdata/collector-builder.yaml
var manifest []byte

// built is the collector, built once for each manifest, into the user's cache.
func built(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "agentgw-tests")
	program := filepath.Join(cache, fmt.Sprintf("collector-%.16x", sha256.Sum256(manifest)))
	if _, err := os.Stat(program); err == nil {
		return program
	}
	folder := t.TempDir()
	node.Write(t, folder, "builder.yaml", manifest)
	node.Run(t, folder, nil, "go", "run", builder, "--config", "builder.yaml", "--skip-compilation")
	node.Run(t, folder, []string{"GOGC=400"}, "go", "build", "-o", "collector", ".")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(folder, "collector"))
	if err != nil {
		t.Fatal(err)
	}
	// Named last, so that who finds it finds all of it.
	fresh := program + fmt.Sprintf(".%d", os.Getpid())
	if err := os.WriteFile(fresh, data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, program); err != nil {
		t.Fatal(err)
	}
	return program
}

// collector is an OpenTelemetry Collector that runs, and what came out of it.
type collector struct {
	endpoint string // to send to: "http://127.0.0.1:4318"

	mu      sync.Mutex
	spans   []span
	metrics map[string]bool // by name
}

// span is one, as it arrived.
type span struct {
	trace, id, parent, name, kind string
	failed                        bool
	attributes                    map[string]string
	resource                      map[string]string
}

// startCollector runs one with a configuration in which 127.0.0.1:4318 is where it listens
// and 127.0.0.1:14318 where it sends to, until the test ends.
func startCollector(t *testing.T, configuration string) *collector {
	t.Helper()
	c := &collector{metrics: map[string]bool{}}
	sink := httptest.NewServer(c)
	t.Cleanup(sink.Close)
	listen := freeAddress(t)
	folder := t.TempDir()
	configuration = strings.NewReplacer("127.0.0.1:4318", listen, "http://127.0.0.1:14318", sink.URL).Replace(configuration)
	node.Write(t, folder, "collector.yaml", []byte(configuration))
	start(t, built(t), "--config="+filepath.Join(folder, "collector.yaml"))
	c.endpoint = "http://" + listen
	waitFor(t, "the collector", func() bool {
		resp, err := http.Post(c.endpoint+"/v1/traces", "application/x-protobuf", nil)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	})
	return c
}

// ServeHTTP takes what the collector passes on.
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

// arrived are the spans of a trace; of all, for "".
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

func (c *collector) measured(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.metrics[name]
}

// start runs a program until the test ends; what it prints is shown if the test fails.
func start(t *testing.T, program string, arguments ...string) {
	t.Helper()
	var out locked.Buffer
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

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}
