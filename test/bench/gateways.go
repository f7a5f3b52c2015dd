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
)

// Programs in the folder of the benchmark.
const (
	current = "agentgw"       // of this tree
	other   = "agentgw-other" // of the commit -ref
)

// bench has the programs and processes of a run.
type bench struct {
	folder    string   // of programs and files; temporary
	worktree  string   // of the other commit; empty for none
	programs  []string // current, and other if there is one
	keys      []key
	collector string            // URL of a collector that discards what it receives
	same      map[string]string // base URLs of providers, by name
	changing  map[string]string // of providers that never send the same reply twice
	servers   map[setup]*server // started so far
	configs   int

	mu        sync.Mutex
	processes []*process
}

// key is a key as `agentgw keys new --json` prints it.
type key struct {
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
}

// stop ends all processes and removes all files. It may be called at any time.
func (b *bench) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.processes {
		p.stop()
	}
	if b.worktree != "" {
		_ = exec.Command("git", "worktree", "remove", "--force", b.worktree).Run()
	}
	_ = os.RemoveAll(b.folder)
}

// started makes stop end a process.
func (b *bench) started(p *process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.processes = append(b.processes, p)
}

// manyKeys are more than there are connections: concurrent requests of one key for the same
// thing would share one request to the provider.
const manyKeys = 128

// prepare builds the programs and starts the providers.
func (b *bench) prepare() (err error) {
	if b.folder, err = os.MkdirTemp("", "agentgw-bench-"); err != nil {
		return err
	}
	for name, from := range map[string]string{current: "./cmd/agentgw", "vendors": "./test/bench/vendors", "bare": "./test/bench/bare"} {
		if err := b.build(".", name, from); err != nil {
			return err
		}
	}
	b.programs = []string{current}
	if *ref != "" {
		if err := b.buildOther(*ref); err != nil {
			return err
		}
	}
	if err := b.newKeys(); err != nil {
		return err
	}
	sink, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b.collector = "http://" + sink.Addr().String()
	go func() {
		_ = http.Serve(sink, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })) // until this process ends
	}()
	if b.same, err = b.vendors(*agents, "0"); err != nil {
		return err
	}
	b.changing, err = b.vendors(*agents, "0", "-changing")
	return err
}

// buildOther builds agentgw of another commit in a worktree. Only that program is used of the
// commit, so its packages may differ.
func (b *bench) buildOther(commit string) error {
	b.worktree = b.path("worktree")
	if out, err := exec.Command("git", "worktree", "add", "--detach", b.worktree, commit).CombinedOutput(); err != nil {
		return fmt.Errorf("git worktree add: %w: %s", err, out)
	}
	b.programs = append(b.programs, other)
	return b.build(b.worktree, other, "./cmd/agentgw")
}

// newKeys makes the keys of all gateways.
func (b *bench) newKeys() error {
	for range manyKeys {
		out, err := exec.Command(b.path(current), "keys", "new", "--id", "bench", "--test", "--json").Output()
		if err != nil {
			return fmt.Errorf("agentgw keys new: %w", err)
		}
		var k key
		if err := json.Unmarshal(out, &k); err != nil {
			return err
		}
		b.keys = append(b.keys, k)
	}
	return nil
}

// build builds a program from the sources in a folder.
func (b *bench) build(folder, name, from string) error {
	build := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", b.path(name), from)
	build.Dir = folder
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", from, err, out)
	}
	return nil
}

func (b *bench) path(name string) string { return filepath.Join(b.folder, name) }

func (b *bench) start(stderr bool, environ []string, program string, arguments ...string) (*process, error) {
	p, err := run(stderr, environ, b.path(program), arguments...)
	if err == nil {
		b.started(p)
	}
	return p, err
}

// providers starts emulated providers and returns their base URLs by name.
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

// backends returns the base URLs of providers that are not delayed.
func (b *bench) backends(changing bool) map[string]string {
	if changing {
		return b.changing
	}
	return b.same
}

// setup identifies a gateway that several cases use.
type setup struct {
	program  string
	changing bool
}

// server is a running gateway.
type server struct {
	*process
	api   string
	keys  []key
	ready time.Duration // until it listened
	idle  int64         // memory then, in bytes
}

// server returns the gateway of a setup, and starts it the first time.
func (b *bench) server(s setup) (*server, error) {
	if g := b.servers[s]; g != nil {
		return g, nil
	}
	g, err := b.serve(s.program, b.backends(s.changing), manyKeys)
	if err == nil {
		b.servers[s] = g
	}
	return g, err
}

// serve starts a gateway as in production: keys, rate limits, breaker, cache, metrics by OTLP,
// access log and spans, of which none is sampled. Each key has its own credentials.
func (b *bench) serve(program string, backends map[string]string, keys int) (*server, error) {
	listen, err := free()
	if err != nil {
		return nil, err
	}
	g := &server{api: "http://" + listen, keys: b.keys[:keys]}
	environ := []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + b.collector, "OTEL_METRICS_EXPORTER=otlp",
		"OTEL_TRACES_EXPORTER=otlp", "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0",
	}
	var file strings.Builder
	fmt.Fprintf(&file, "server: {listen: %q}\nadmin: {listen: \"127.0.0.1:0\"}\nlog: {level: info, format: json}\ncache: {max_bytes: 4GiB}\nbackends:\n", listen)
	for _, name := range names(backends) {
		fmt.Fprintf(&file, "  %s: {provider: %[1]s, base_url: %q, max_concurrent: 512, max_response_bytes: 256MiB, cache: {ttl: 1h}}\n", name, backends[name])
	}
	file.WriteString("keys:\n")
	for i, k := range g.keys {
		id := fmt.Sprintf("bench%d", i)
		environ = append(environ, strings.ToUpper(id)+"="+id)
		var credentials []string
		for _, name := range names(backends) {
			credentials = append(credentials, name+": env:"+strings.ToUpper(id))
		}
		fmt.Fprintf(&file, "  - {id: %s, sha256: %q, scopes: [agents:read], rate_limit: {requests: 1000000, per: 1s, burst: 1000000}, credentials: {%s}}\n",
			id, k.SHA256, strings.Join(credentials, ", "))
	}
	b.configs++
	config := b.path(fmt.Sprintf("config-%d.yaml", b.configs))
	if err := os.WriteFile(config, []byte(file.String()), 0o600); err != nil {
		return nil, err
	}
	began := time.Now()
	if g.process, err = b.start(true, environ, program, "serve", "--config", config); err != nil {
		return nil, err
	}
	if err := listening(g.process, listen); err != nil {
		return nil, err
	}
	g.ready = time.Since(began)
	g.drain()
	g.idle, err = g.memory()
	return g, err
}

// bare starts the program bare and returns its URL.
func (b *bench) bare(flags ...string) (*process, string, error) {
	p, err := b.start(false, nil, "bare", flags...)
	if err != nil {
		return nil, "", err
	}
	url, err := p.line("http")
	if err != nil {
		p.stop()
		return nil, "", err
	}
	return p, url, nil
}

// free returns an address of loopback on which nothing listens.
func free() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// listening waits until a program accepts connections.
func listening(p *process, address string) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
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

// target returns a request with the first key.
func (g *server) target(path string, headers ...string) target { return g.as(0, path, headers...) }

// as returns a request with a key.
func (g *server) as(key int, path string, headers ...string) target {
	t := target{url: g.api + path, headers: map[string]string{"Authorization": "Bearer " + g.keys[key].Key}}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		t.headers[name] = value
	}
	return t
}

// inTurn returns a request that uses the keys in turn. The two threads of wrk begin with
// different keys.
func (b *bench) inTurn(g *server, path string, headers ...string) (target, error) {
	t := g.target(path, headers...)
	delete(t.headers, "Authorization")
	t.script = b.path(fmt.Sprintf("keys-%d.lua", g.cmd.Process.Pid))
	var keys []string
	for _, k := range g.keys {
		keys = append(keys, k.Key)
	}
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
`, strings.Join(keys, `", "`))), 0o600)
}
