package gateway

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/api"
	"github.com/agentgw/agentgw/gateway/apikey"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/internal/openapitest"
	"github.com/agentgw/agentgw/internal/syncbuf"
	"github.com/agentgw/agentgw/sandbox"
)

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "30"); err != nil { // some checks wait for timeouts
		panic(err)
	}
	log.SetOutput(io.Discard) // as the program does: net/http quotes responses that nobody asked for
	goleak.VerifyTestMain(m,
		// fasthttp keeps one goroutine for the Date header.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1.1"),
		// The worker pool of a stopped server ends within 10 s.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}

// bench is a gateway on loopback with all emulated providers.
type bench struct {
	t        *testing.T
	url      string
	gateway  *Gateway
	server   *api.Server
	store    *sqlstore.Store
	storeURL string
	vendors  map[string]sandbox.Emulator
	log      *syncbuf.Buffer
	lines    *telemetry.LogQueue // of log
	spans    *tracetest.InMemoryExporter
	keys     map[string]string
	file     string
	env      map[string]string
}

// Keys of the bench. Each has credentials of its own at every vendor.
const (
	keyAcme = "acme" // everything, everywhere
	keyKlen = "klen-only"
	keyKros = "klen-and-krosai" // one backend that creates agents
	keyRead = "reader"          // agents:read, everywhere, acme's credentials
)

// newBench starts a gateway. perBackend is YAML under each backend. Providers replace those of
// the same name.
func newBench(t *testing.T, perBackend string, providers ...adapters.Provider) *bench {
	t.Helper()
	return newBenchOn(t, sqlstore.Memory, perBackend, providers...)
}

// newBenchOn is newBench with a store at that URL.
func newBenchOn(t *testing.T, storeURL, perBackend string, providers ...adapters.Provider) *bench {
	t.Helper()
	b := &bench{t: t, storeURL: storeURL, vendors: map[string]sandbox.Emulator{}, log: &syncbuf.Buffer{}, spans: tracetest.NewInMemoryExporter(), keys: map[string]string{}, env: map[string]string{}}
	var file strings.Builder
	file.WriteString("server: {request_timeout: 2m, max_inflight: 2048}\nbackends:\n")
	for _, v := range all.Entries() {
		name := v.Info.Provider
		vendor := v.Emulator()
		server := httptest.NewServer(vendor)
		t.Cleanup(func() {
			server.CloseClientConnections()
			server.Close()
			for _, violation := range vendor.Control().Violations() {
				t.Error(violation)
			}
		})
		b.vendors[name] = vendor
		fmt.Fprintf(&file, "  %s:\n    provider: %s\n    base_url: %s%s\n%s", name, name, server.URL, vendor.Prefix(), indent(perBackend))
	}
	file.WriteString("keys:\n")
	for _, k := range []struct{ id, scopes, credentials, backends string }{
		{keyAcme, "agents:read, agents:write, aliases:write, migrations:write", keyAcme, "klen agenthuman krosai talkifai"},
		{keyKlen, "agents:read, agents:write", keyKlen, "klen"},
		{keyKros, "agents:read, agents:write", keyKros, "klen krosai"},
		{keyRead, "agents:read", keyAcme, "klen agenthuman krosai talkifai"},
	} {
		b.keys[k.id] = apikey.New(apikey.Test)
		fmt.Fprintf(&file, "  - id: %s\n    sha256: \"%x\"\n    scopes: [%s]\n    credentials:\n", k.id, apikey.Hash(b.keys[k.id]), k.scopes)
		for _, backend := range strings.Fields(k.backends) {
			variable := strings.ToUpper(k.credentials + "_" + backend)
			b.env[variable] = "canary-" + k.credentials + "-" + backend
			fmt.Fprintf(&file, "      %s: env:%s\n", backend, variable)
			b.vendors[backend].Seed(b.env[variable])
		}
	}
	b.vendors["klen"].SeedDemo(b.env["ACME_KLEN"])
	b.vendors["agenthuman"].SeedDemo(b.env["ACME_AGENTHUMAN"])
	b.vendors["krosai"].SeedDemo(b.env["ACME_KROSAI"])
	b.vendors["talkifai"].SeedDemo(b.env["ACME_TALKIFAI"])
	b.file = file.String()
	b.start(providers)
	return b
}

func indent(yaml string) string {
	if yaml == "" {
		return ""
	}
	return "    " + strings.ReplaceAll(strings.TrimSpace(yaml), "\n", "\n    ") + "\n"
}

// load returns the bench's configuration after replacements, which are old and new in turn.
func (b *bench) load(edits ...string) (*config.Config, error) {
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(b.file, edits[i]) {
			b.t.Errorf("the configuration does not contain %q", edits[i])
		}
	}
	file := strings.NewReplacer(edits...).Replace(b.file)
	return config.Load(config.Source{
		Path: "config.yaml", Providers: all.Names(),
		ReadFile:  func(string) ([]byte, error) { return []byte(file), nil },
		LookupEnv: func(name string) (string, bool) { v, ok := b.env[name]; return v, ok },
	})
}

func (b *bench) start(providers []adapters.Provider) {
	t := b.t
	t.Helper()
	c, err := b.load()
	if err != nil {
		t.Fatal(err)
	}
	log, lines := telemetry.NewLogger(b.log, func(w io.Writer) slog.Handler {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
	})
	b.lines = lines
	t.Cleanup(lines.Close)
	tel, err := telemetry.New(context.Background(), telemetry.Options{Version: "test", Log: log, SpanProcessor: sdktrace.NewSimpleSpanProcessor(b.spans)})
	if err != nil {
		t.Fatal(err)
	}
	if b.store, err = sqlstore.Open(context.Background(), b.storeURL, log); err != nil {
		t.Fatal(err)
	}
	if b.gateway, err = New(Options{Providers: append(all.Providers(), providers...), Version: "test", Log: log, Telemetry: tel, Store: b.store}, c); err != nil {
		t.Fatal(err)
	}
	server := b.gateway.NewServer()
	b.server = server
	l, err := newLoopback()
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(server.Guard(l)) }()
	b.url = "http://" + l.Addr().String()
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := server.Shutdown(10 * time.Second); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		<-served
		b.gateway.Close()
		_ = b.store.Close()
		_ = tel.Shutdown(context.Background())
	})
}

// client is the HTTP client of tests. It follows no redirects.
var client = &http.Client{
	Timeout:       30 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// reply is a response of the gateway.
type reply struct {
	*http.Response
	text string
	body map[string]any
}

// ask sends a request with the key of that id; headers are "Name: value".
func (b *bench) ask(key, method, path, body string, headers ...string) reply {
	b.t.Helper()
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+b.keys[key])
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.document().Check(resp, text); err != nil {
		b.t.Errorf("%s %s answers %d, which /openapi.json does not describe: %v", method, path, resp.StatusCode, err)
	}
	r := reply{Response: resp, text: string(text)}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") && resp.Header.Get("Content-Encoding") == "" && len(text) > 0 {
		if err := json.Unmarshal(text, &r.body); err != nil {
			b.t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
	}
	return r
}

var (
	documentOnce sync.Once
	theDocument  *openapitest.Document
)

// document returns the gateway's OpenAPI document, which is the same in all tests.
func (b *bench) document() *openapitest.Document {
	documentOnce.Do(func() {
		resp, err := client.Get(b.url + "/openapi.json")
		if err != nil {
			b.t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err == nil {
			theDocument, err = openapitest.Parse(text)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	})
	return theDocument
}

func (b *bench) get(path string, headers ...string) reply {
	b.t.Helper()
	return b.ask(keyAcme, "GET", path, "", headers...)
}

// wants checks status and, for a problem, its code.
func (r reply) wants(t *testing.T, status int, code string) reply {
	t.Helper()
	got, _ := r.body["code"].(string)
	if r.StatusCode != status || got != code {
		t.Errorf("%s %s: %d %q, want %d %q: %s", r.Request.Method, r.Request.URL.Path, r.StatusCode, got, status, code, r.text)
	}
	if status >= 400 {
		if media := r.Header.Get("Content-Type"); media != "application/problem+json" && r.Request.Method != "HEAD" {
			t.Errorf("%s %s: Content-Type %q", r.Request.Method, r.Request.URL.Path, media)
		}
		if r.body != nil && r.body["request_id"] != r.Header.Get("X-Request-Id") {
			t.Errorf("request_id %v, header %q", r.body["request_id"], r.Header.Get("X-Request-Id"))
		}
	}
	return r
}

// at returns the value at a path of names and indexes, separated by dots.
func (r reply) at(path string) any {
	var v any = r.body
	for _, name := range strings.Split(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

// source returns a list's source of a backend.
func (r reply) source(backend string) map[string]any {
	sources, _ := r.body["sources"].([]any)
	for _, s := range sources {
		if s := s.(map[string]any); s["backend"] == backend {
			return s
		}
	}
	return nil
}

// ids returns the ids of the agents in a list.
func (r reply) ids() []string {
	data, _ := r.body["data"].([]any)
	ids := []string{}
	for _, a := range data {
		ids = append(ids, a.(map[string]any)["id"].(string))
	}
	return ids
}

// pointers returns the pointers of a problem's errors, each with its code.
func (r reply) pointers() string {
	list, _ := r.body["errors"].([]any)
	var words []string
	for _, e := range list {
		e := e.(map[string]any)
		words = append(words, fmt.Sprintf("%s %s", e["pointer"], e["code"]))
	}
	return strings.Join(words, ", ")
}

// requests returns the number of requests that a provider received.
func (b *bench) requests(vendor string) int { return len(b.vendors[vendor].Control().Requests()) }

// metrics returns the Prometheus page.
func (b *bench) metrics() string {
	w := httptest.NewRecorder()
	b.gateway.NewAdmin(nil).Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/metrics", nil))
	return w.Body.String()
}

// faultOf is a response with that status.
func faultOf(status int) sandbox.Fault { return sandbox.Fault{Status: status} }

// inFlight returns the number of requests in progress.
func (b *bench) inFlight() int64 { return b.gateway.inFlight.Load() }

// newLoopback listens on a free port of this machine.
func newLoopback() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
