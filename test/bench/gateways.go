package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/agentgw/agentgw/gateway/apikey"
)

// bench is what runs.
type bench struct {
	folder    string // of the programs and files
	configs   int
	gateway   *server
	backends  map[string]string // of the gateway: base URLs by name
	collector string            // takes what it is sent and forgets it
	size      int64             // of the program, in bytes

	mu        sync.Mutex
	processes []*process
}

// stop ends all of it; it may come at any time.
func (b *bench) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.processes {
		p.stop()
	}
	_ = os.RemoveAll(b.folder)
}

// started has a process stopped in the end.
func (b *bench) started(p *process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.processes = append(b.processes, p)
}

// manyKeys are more than there are connections: what one key asks for anew, two requests at
// the same time would share.
const manyKeys = 128

// prepare builds the programs and starts the vendors and the gateway.
func (b *bench) prepare() (err error) {
	if b.folder, err = os.MkdirTemp("", "agentgw-bench-"); err != nil {
		return err
	}
	for name, from := range map[string]string{"agentgw": "./cmd/agentgw", "vendors": "./test/bench/vendors", "bare": "./test/bench/bare"} {
		if err := b.build(".", name, from); err != nil {
			return err
		}
	}
	info, err := os.Stat(b.path("agentgw"))
	if err != nil {
		return err
	}
	b.size = info.Size()
	sink, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b.collector = "http://" + sink.Addr().String()
	go func() {
		_ = http.Serve(sink, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })) // until we end
	}()
	if b.backends, err = b.vendors(*agents, "0"); err != nil {
		return err
	}
	b.gateway, err = b.serve(b.usual())
	return err
}

// usual is the gateway that is measured where nothing else is said.
func (b *bench) usual() setup {
	return setup{program: "agentgw", backends: b.backends, keys: manyKeys, observed: unsampled}
}

// build makes one of our programs of the sources in a folder.
func (b *bench) build(folder, name, from string) error {
	build := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", b.path(name), from)
	build.Dir = folder
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", from, err, said)
	}
	return nil
}

func (b *bench) path(name string) string { return filepath.Join(b.folder, name) }

func (b *bench) start(errorsToo bool, environ []string, program string, arguments ...string) (*process, error) {
	p, err := run(errorsToo, environ, b.path(program), arguments...)
	if err == nil {
		b.started(p)
	}
	return p, err
}

// vendors starts them with so many agents each, and is their base URLs. The other flags are
// in pairs, beginning with the delay.
func (b *bench) vendors(agents int, delay string, flags ...string) (map[string]string, error) {
	p, err := b.start(false, nil, "vendors", append([]string{"-agents", strconv.Itoa(agents), "-delay", delay}, flags...)...)
	if err != nil {
		return nil, err
	}
	line, err := p.line("{")
	if err != nil {
		return nil, err
	}
	var backends map[string]string
	return backends, json.Unmarshal([]byte(line), &backends)
}

// way is a way to observe a gateway.
type way struct {
	name  string
	level string // of the log
	env   []string
}

var (
	off       = way{"off", "warn", []string{"OTEL_SDK_DISABLED=true"}}
	unsampled = way{"unsampled", "info", []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0"}}
	ways      = []way{
		off, unsampled,
		{"1 %", "info", []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.01"}},
		{"100 %", "info", []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_TRACES_SAMPLER=always_on"}},
	}
)

// setup is a gateway to be started.
type setup struct {
	program  string            // "agentgw", or that of another commit
	backends map[string]string // base URLs by name; a number behind a vendor's name makes another one
	keys     int               // each with credentials of its own
	observed way
}

// server is a gateway that runs.
type server struct {
	*process
	api  string
	keys []string
	up   time.Duration // until it was ready
	idle int64         // its memory then, in bytes
}

// serve starts a gateway: key check, rate limit, breaker, cache, metrics, access log and
// spans, as the setup has it.
func (b *bench) serve(s setup) (*server, error) {
	listen, err := free()
	if err != nil {
		return nil, err
	}
	g := &server{api: "http://" + listen}
	environ := append([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + b.collector, "OTEL_METRICS_EXPORTER=otlp"}, s.observed.env...)
	var file strings.Builder
	fmt.Fprintf(&file, "server: {listen: %q}\nadmin: {listen: \"127.0.0.1:0\"}\nlog: {level: %s, format: json}\ncache: {max_bytes: 4GiB}\nbackends:\n", listen, s.observed.level)
	for _, name := range names(s.backends) {
		fmt.Fprintf(&file, "  %s: {provider: %s, base_url: %q, max_concurrent: 512, max_response_bytes: 256MiB, cache: {ttl: 1h}}\n", name, strings.TrimRight(name, "0123456789"), s.backends[name])
	}
	file.WriteString("keys:\n")
	for i := range max(s.keys, 1) {
		id := fmt.Sprintf("bench%d", i)
		g.keys = append(g.keys, apikey.Seal("agw_test_"+strings.Repeat("b", 32)+id))
		environ = append(environ, strings.ToUpper(id)+"="+id)
		var credentials []string
		for _, name := range names(s.backends) {
			credentials = append(credentials, name+": env:"+strings.ToUpper(id))
		}
		fmt.Fprintf(&file, "  - {id: %s, sha256: \"%x\", scopes: [agents:read], rate_limit: {requests: 1000000, per: 1s, burst: 1000000}, credentials: {%s}}\n",
			id, apikey.Hash(g.keys[i]), strings.Join(credentials, ", "))
	}
	b.configs++
	config := b.path(fmt.Sprintf("config-%d.yaml", b.configs))
	if err := os.WriteFile(config, []byte(file.String()), 0o600); err != nil {
		return nil, err
	}
	began := time.Now()
	if g.process, err = b.start(true, environ, s.program, "serve", "--config", config); err != nil {
		return nil, err
	}
	if err := listening(g.process, listen); err != nil {
		return nil, err
	}
	g.up = time.Since(began)
	g.drain()
	g.idle, err = g.memory()
	return g, err
}

// free is an address of loopback that nobody has.
func free() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// listening waits until a gateway answers at its address.
func listening(p *process, address string) error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
	}
	p.stop()
	return fmt.Errorf("nothing listens at %s", address)
}

func names(backends map[string]string) []string {
	all := make([]string, 0, len(backends))
	for name := range backends {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// asked is a target at the gateway.
func (g *server) asked(path string, headers ...string) target {
	t := target{url: g.api + path, headers: map[string]string{"Authorization": "Bearer " + g.keys[0]}}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		t.headers[name] = value
	}
	return t
}

// warm has the lists of every key in memory, and a page of them ready to be sent.
func (g *server) warm(page string) error {
	for _, key := range g.keys {
		if _, _, err := fetch(target{url: g.api + page, headers: map[string]string{"Authorization": "Bearer " + key}}); err != nil {
			return err
		}
	}
	return nil
}

// inTurn is a target that each key asks for in its turn; the two threads of wrk begin with
// different ones.
func (b *bench) inTurn(g *server, path string, headers ...string) (target, error) {
	t := g.asked(path, headers...)
	delete(t.headers, "Authorization")
	t.script = b.path(fmt.Sprintf("keys-%d.lua", g.cmd.Process.Pid))
	return t, os.WriteFile(t.script, []byte(fmt.Sprintf(`local keys = {"%s"}
local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("number", threads * math.floor(#keys / 2))
end
function request()
  number = number + 1
  wrk.headers["Authorization"] = "Bearer " .. keys[number %% #keys + 1]
  return wrk.format()
end
`, strings.Join(g.keys, `", "`))), 0o600)
}

// withIDs is a target that is asked for with a header as programs send it that trace, through a
// proxy: two ids and an address are others each time.
func (b *bench) withIDs(g *server, path string) (target, error) {
	t := g.asked(path)
	t.script = b.path("ids.lua")
	return t, os.WriteFile(t.script, []byte(`local number = 0
wrk.headers["User-Agent"] = "python-httpx/0.28.1"
wrk.headers["Accept"] = "application/json"
wrk.headers["X-Forwarded-Proto"] = "https"
function request()
  number = number + 1
  local id = string.format("%032x", number)
  wrk.headers["X-Request-Id"] = id
  wrk.headers["traceparent"] = "00-" .. id .. "-b7ad6b7169203331-00"
  wrk.headers["X-Forwarded-For"] = "192.0.2." .. number % 255
  return wrk.format()
end
`), 0o600)
}
