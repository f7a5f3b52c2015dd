// Package live starts the whole gateway, in this process and on loopback, before
// emulated vendors that can be made to fail: by HTTP through their own faults, by
// the network through a Toxiproxy in front of them. It is for tests of the whole,
// and must not know any vendor.
package live

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway"
	"github.com/agentgw/agentgw/gateway/apikey"
	"github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/test/described"
)

// Options say what is started.
type Options struct {
	Server     string   // YAML of server, within braces: "request_timeout: 1s"
	Backends   []string // providers; none: all
	PerBackend string   // YAML under each backend
	Tenants    []string // ids of keys, each with credentials of its own; none: "acme"
	OneRequest bool     // vendors end each connection after one request: none that is kept dies
	Proxied    []string // providers behind a Toxiproxy, by names that Gone can take away; see Main
	TLS        bool     // they are spoken to by https, not by names
	Log        io.Writer
	Spans      sdktrace.SpanProcessor // nil: none are recorded
}

// Live is a running gateway and its vendors.
type Live struct {
	URL     string
	Gateway *gateway.Gateway
	Vendors map[string]sandbox.Emulator
	Proxies map[string]*toxiproxy.Proxy
	Keys    map[string]string // by tenant
	Secrets []string          // every key and credential
	Client  *http.Client

	t     testing.TB
	file  string
	env   map[string]string
	hosts map[string]string // names of the proxied vendors
	admin *gateway.Admin
}

// hosts tells the vendors of several gateways in one process apart.
var hosts atomic.Int64

// Start starts it, until the test ends.
func Start(t testing.TB, o Options) *Live {
	t.Helper()
	l := &Live{
		t: t, Vendors: map[string]sandbox.Emulator{}, Proxies: map[string]*toxiproxy.Proxy{}, Keys: map[string]string{},
		env: map[string]string{}, hosts: map[string]string{},
		Client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	if len(o.Tenants) == 0 {
		o.Tenants = []string{"acme"}
	}
	var file strings.Builder
	fmt.Fprintf(&file, "server: {%s}\nbackends:\n", o.Server)
	for _, v := range all.Entries() {
		name := v.Info.Provider
		if len(o.Backends) > 0 && !slices.Contains(o.Backends, name) {
			continue
		}
		l.Vendors[name] = v.Emulator()
		base := l.serve(name, slices.Contains(o.Proxied, name), o)
		fmt.Fprintf(&file, "  %s:\n    provider: %s\n    base_url: %s%s\n", name, name, base, l.Vendors[name].Prefix())
		for line := range strings.Lines(strings.TrimSpace(o.PerBackend)) {
			fmt.Fprintf(&file, "    %s\n", strings.TrimRight(line, "\n"))
		}
	}
	file.WriteString("keys:\n")
	for _, tenant := range o.Tenants {
		key := apikey.New(apikey.Test)
		l.Keys[tenant] = key
		l.Secrets = append(l.Secrets, key)
		fmt.Fprintf(&file, "  - id: %s\n    sha256: \"%x\"\n    scopes: [agents:read, agents:write, aliases:write, migrations:write]\n    credentials:\n", tenant, apikey.Hash(key))
		for name, vendor := range l.Vendors {
			credential := fmt.Sprintf("cred-%s-%s-%s", tenant, name, rand.Text())
			variable := strings.ToUpper(strings.ReplaceAll(tenant, "-", "_") + "_" + name)
			l.env[variable] = credential
			l.Secrets = append(l.Secrets, credential)
			fmt.Fprintf(&file, "      %s: env:%s\n", name, variable)
			vendor.SeedDemo(credential)
		}
	}
	l.file = file.String()
	l.start(o)
	return l
}

// serve runs a vendor and is the first part of its base URL.
func (l *Live) serve(name string, proxied bool, o Options) string {
	server := httptest.NewUnstartedServer(l.Vendors[name])
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of handshakes that are meant to fail
	server.Config.SetKeepAlivesEnabled(!o.OneRequest)
	scheme, secure := "http", proxied && o.TLS
	if secure {
		scheme = "https"
		server.StartTLS()
	} else {
		server.Start()
	}
	address := server.Listener.Addr().String()
	l.t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		for _, violation := range l.Vendors[name].Control().Violations() {
			l.t.Error(violation)
		}
	})
	if !proxied {
		return scheme + "://" + address
	}
	l.proxy(name, "127.0.0.1:0", address)
	l.t.Cleanup(func() { l.Proxies[name].Stop() })
	if secure { // the certificate is for the address
		return scheme + "://" + l.Proxies[name].Listen
	}
	_, port, _ := net.SplitHostPort(l.Proxies[name].Listen)
	l.hosts[name] = fmt.Sprintf("%s-%d.test", name, hosts.Add(1))
	return scheme + "://" + l.hosts[name] + ":" + port
}

// proxy starts a vendor's Toxiproxy.
func (l *Live) proxy(name, listen, upstream string) {
	quiet := zerolog.Nop()
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), quiet), name, listen, upstream)
	if err := proxy.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.Proxies[name] = proxy
}

func (l *Live) start(o Options) {
	log := slog.New(slog.DiscardHandler)
	if o.Log != nil {
		log = slog.New(slog.NewJSONHandler(o.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	c, err := l.config(l.file)
	if err != nil {
		l.t.Fatal(err)
	}
	recorded, err := telemetry.New(context.Background(), telemetry.Options{Version: "test", Log: log, SpanProcessor: o.Spans})
	if err != nil {
		l.t.Fatal(err)
	}
	store, err := store.Open(context.Background(), store.Memory, log)
	if err != nil {
		l.t.Fatal(err)
	}
	if l.Gateway, err = gateway.New(gateway.Options{Providers: all.Providers(), Version: "test", Log: log, Telemetry: recorded, Store: store}, c); err != nil {
		l.t.Fatal(err)
	}
	l.admin = l.Gateway.NewAdmin(func() ([]string, error) { return nil, nil })
	server := l.Gateway.NewServer()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(server.Guard(listener)) }()
	l.URL = "http://" + listener.Addr().String()
	l.t.Cleanup(func() {
		l.Client.CloseIdleConnections()
		l.admin.Close()
		if err := server.Shutdown(10 * time.Second); err != nil {
			l.t.Errorf("Shutdown: %v", err)
		}
		<-served
		l.Gateway.Close()
		_ = store.Close()
		bounded, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = recorded.Shutdown(bounded) // who it is told to may be gone
	})
}

func (l *Live) config(file string) (*config.Config, error) {
	return config.Load(config.Source{
		Path: "config.yaml", Providers: all.Names(),
		ReadFile:  func(string) ([]byte, error) { return []byte(file), nil },
		LookupEnv: func(name string) (string, bool) { v, ok := l.env[name]; return v, ok },
	})
}

// Reload reloads the configuration with every old replaced by its new.
func (l *Live) Reload(oldnew ...string) error {
	c, err := l.config(strings.NewReplacer(oldnew...).Replace(l.file))
	if err != nil {
		return err
	}
	return l.Gateway.Reload(c)
}

// File is the configuration.
func (l *Live) File() string { return l.file }

// Admin is the operators' listener.
func (l *Live) Admin() http.Handler { return l.admin.Handler() }

// CloseAdmin ends what is open there, as the end of the program does.
func (l *Live) CloseAdmin() { l.admin.Close() }

// Metrics is the page that Prometheus would read.
func (l *Live) Metrics() string {
	w := httptest.NewRecorder()
	l.Admin().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// Sum adds up the samples of a metric whose labels hold all of these.
func (l *Live) Sum(metric string, labels ...string) int {
	sum := 0.0
	for line := range strings.Lines(l.Metrics()) {
		rest, ok := strings.CutPrefix(line, metric)
		if !ok || rest[0] != '{' && rest[0] != ' ' || slices.ContainsFunc(labels, func(label string) bool { return !strings.Contains(rest, label) }) {
			continue
		}
		var value float64
		if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &value); err != nil {
			l.t.Errorf("%s: %v", line, err)
		}
		sum += value
	}
	return int(sum)
}

// Reply is an answer of the gateway.
type Reply struct {
	Status int
	Header http.Header
	Text   string
	Body   map[string]any // where it is JSON
	Took   time.Duration
}

// Code is a problem's code; empty for none.
func (r Reply) Code() string {
	code, _ := r.Body["code"].(string)
	return code
}

// Source is one backend's part of a list; nil for none.
func (r Reply) Source(backend string) map[string]any {
	sources, _ := r.Body["sources"].([]any)
	for _, s := range sources {
		if s := s.(map[string]any); s["backend"] == backend {
			return s
		}
	}
	return nil
}

// Ask sends a request with a tenant's key; headers are "Name: value".
func (l *Live) Ask(ctx context.Context, tenant, method, path, body string, headers ...string) (Reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, l.URL+path, strings.NewReader(body))
	if err != nil {
		return Reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+l.Keys[tenant])
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	started := time.Now()
	resp, err := l.Client.Do(req)
	if err != nil {
		return Reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	r := Reply{Status: resp.StatusCode, Header: resp.Header, Text: string(text), Took: time.Since(started)}
	if err != nil {
		return r, err
	}
	if err := l.describes(resp, text); err != nil {
		return r, err
	}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") && len(text) > 0 {
		err = json.Unmarshal(text, &r.Body)
	}
	return r, err
}

// What is checked of the answers of each method and status: the first ones, and then one
// in so many, for it takes longer than to answer.
const (
	checkedFirst = 20
	checkedOneIn = 25
)

var (
	documentMu  sync.Mutex
	theDocument *described.Document
	answers     sync.Map // how many there were of a method and status, *atomic.Int64
)

// describes holds an answer against the gateways' OpenAPI document, which is the same for
// all of a process.
func (l *Live) describes(resp *http.Response, body []byte) error {
	document := l.document()
	if document == nil {
		return nil
	}
	seen, _ := answers.LoadOrStore(fmt.Sprint(resp.Request.Method, resp.StatusCode), &atomic.Int64{})
	if n := seen.(*atomic.Int64).Add(1); n > checkedFirst && n%checkedOneIn != 0 {
		return nil
	}
	return document.Check(resp, body)
}

// document is nil as long as no gateway could be asked for it: the first one may be
// overloaded, or about to end, as its test has it.
func (l *Live) document() *described.Document {
	documentMu.Lock()
	defer documentMu.Unlock()
	if theDocument == nil {
		if d, err := described.Fetch(l.Client, l.URL); err == nil {
			theDocument = d
		}
	}
	return theDocument
}

// Plain has a proxied vendor's connections lead to an HTTP server without TLS.
func (l *Live) Plain(name string) {
	server := httptest.NewServer(http.NotFoundHandler())
	l.t.Cleanup(server.Close)
	proxy := l.Proxies[name]
	if err := proxy.Update(&toxiproxy.Proxy{Listen: proxy.Listen, Upstream: server.Listener.Addr().String(), Enabled: true}); err != nil {
		l.t.Fatal(err)
	}
}

// Toxic adds a Toxiproxy toxic, as its API takes it, and ends the connections
// that are kept.
func (l *Live) Toxic(name, toxic string) {
	proxy := l.Proxies[name]
	proxy.Stop()
	if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		l.t.Fatal(err)
	}
	if err := proxy.Start(); err != nil {
		l.t.Fatal(err)
	}
}

// Mend takes a proxied vendor's toxics away, and has it reachable.
func (l *Live) Mend(name string) {
	// A new one: to take the toxics away can hang (Toxiproxy 2.5).
	old := l.Proxies[name]
	old.Stop()
	l.proxy(name, old.Listen, old.Upstream)
}

// Gone ends the connections that are kept, and has a proxied vendor's name
// resolve no more.
func (l *Live) Gone(name string) {
	names.take(l.hosts[name])
	proxy := l.Proxies[name]
	proxy.Stop()
	if err := proxy.Start(); err != nil {
		l.t.Fatal(err)
	}
}

// Main is a TestMain for tests with proxied vendors: their process asks a name
// server of its own, and trusts what httptest's servers show.
func Main(m *testing.M) {
	dir, err := os.MkdirTemp("", "live")
	if err == nil {
		err = prepare(dir)
	}
	if err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir) // it is in the temporary folder
	os.Exit(code)
}

func prepare(dir string) error {
	if err := names.serve(); err != nil {
		return err
	}
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		return err
	}
	return os.Setenv("SSL_CERT_FILE", file)
}
