// Command bench measures the gateway, whole and as it is configured in production, against
// the least that a program on the same libraries could do for the same answer.
//
//	go run ./test/bench              all of it, some ten minutes
//	go run ./test/bench -short       a second of each, to see that it works
//
// The figure to trust is CPU time per request, user and system, of the server's process;
// the two sides of each comparison take turns. It needs Linux and wrk.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

var (
	short  = flag.Bool("short", false, "a second of each, once")
	agents = flag.Int("agents", 25, "agents of each of the four vendors")
	rounds = flag.Int("rounds", 5, "how often the sides take turns")
	length = flag.Duration("for", 5*time.Second, "of each measurement")
	out    = flag.String("out", "docs/performance", "folder for the figures; empty for none")
)

// key is the caller's; its checksum is right.
const key = "agw_test_benchbenchbenchbenchbenchbenchbe2h0pdr"

func main() {
	log.SetFlags(0)
	flag.Parse()
	if *short {
		*rounds, *length = 1, time.Second
	}
	b, err := prepare()
	if err == nil {
		err = b.measure()
	}
	if b != nil {
		b.stop()
	}
	if err != nil {
		log.Fatalln("bench:", err)
	}
}

// bench is what runs.
type bench struct {
	folder    string // of the programs and files
	processes []*process
	gateway   *process
	api       string
	backends  map[string]string // of the gateway: base URLs by name
	collector string            // takes what it is sent and forgets it
	started   time.Duration     // until the gateway was ready
	idle      int64             // its memory then, in bytes
	size      int64             // of the program, in bytes
}

func (b *bench) stop() {
	for _, p := range b.processes {
		p.stop()
	}
	_ = os.RemoveAll(b.folder)
}

// prepare builds the programs and starts the vendors and the gateway.
func prepare() (*bench, error) {
	folder, err := os.MkdirTemp("", "agentgw-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{folder: folder}
	for name, from := range map[string]string{"agentgw": "./cmd/agentgw", "vendors": "./test/bench/vendors", "bare": "./test/bench/bare"} {
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.path(name), from)
		if said, err := build.CombinedOutput(); err != nil {
			return b, fmt.Errorf("%s: %w: %s", from, err, said)
		}
	}
	info, err := os.Stat(b.path("agentgw"))
	if err != nil {
		return b, err
	}
	b.size = info.Size()
	sink, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return b, err
	}
	b.collector = "http://" + sink.Addr().String()
	go func() {
		_ = http.Serve(sink, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })) // until we end
	}()
	if b.backends, err = b.vendors(0); err != nil {
		return b, err
	}
	b.gateway, b.api, err = b.serve(b.backends, unsampled)
	return b, err
}

func (b *bench) path(name string) string { return filepath.Join(b.folder, name) }

func (b *bench) start(errorsToo bool, environ []string, program string, arguments ...string) (*process, error) {
	p, err := run(errorsToo, environ, b.path(program), arguments...)
	if err == nil {
		b.processes = append(b.processes, p)
	}
	return p, err
}

// vendors starts them with a delay, and is their base URLs.
func (b *bench) vendors(delay time.Duration) (map[string]string, error) {
	p, err := b.start(false, nil, "vendors", "-agents", fmt.Sprint(*agents), "-delay", delay.String())
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

// serve starts a gateway before these backends: key check, rate limit, quota of none, breaker,
// cache, metrics, access log and spans in that way.
func (b *bench) serve(backends map[string]string, observed way) (*process, string, error) {
	listen, err := free()
	if err != nil {
		return nil, "", err
	}
	var file strings.Builder
	fmt.Fprintf(&file, "server: {listen: %q}\nadmin: {listen: \"127.0.0.1:0\"}\nlog: {level: %s, format: json}\nbackends:\n", listen, observed.level)
	var credentials []string
	for _, name := range names(backends) {
		fmt.Fprintf(&file, "  %s: {provider: %s, base_url: %q, max_concurrent: 512, cache: {ttl: 1h}}\n", name, name, backends[name])
		credentials = append(credentials, name+": env:BENCH_CREDENTIAL")
	}
	fmt.Fprintf(&file, "keys:\n  - {id: bench, sha256: \"%x\", scopes: [agents:read], rate_limit: {requests: 1000000, per: 1s, burst: 1000000}, credentials: {%s}}\n",
		sha256.Sum256([]byte(key)), strings.Join(credentials, ", "))
	config := b.path(fmt.Sprintf("config-%d.yaml", len(b.processes)))
	if err := os.WriteFile(config, []byte(file.String()), 0o600); err != nil {
		return nil, "", err
	}
	began := time.Now()
	environ := append([]string{"BENCH_CREDENTIAL=bench", "OTEL_EXPORTER_OTLP_ENDPOINT=" + b.collector, "OTEL_METRICS_EXPORTER=otlp"}, observed.env...)
	p, err := b.start(true, environ, "agentgw", "serve", "--config", config)
	if err != nil {
		return nil, "", err
	}
	api, err := listening(p, listen)
	if err != nil {
		return nil, "", err
	}
	b.started = time.Since(began)
	p.drain()
	b.idle, err = p.memory()
	return p, api, err
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
func listening(p *process, address string) (string, error) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			return "http://" + address, conn.Close()
		}
	}
	p.stop()
	return "", fmt.Errorf("nothing listens at %s", address)
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
func (b *bench) asked(path string, headers ...string) target {
	t := target{b.api + path, map[string]string{"Authorization": "Bearer " + key}}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		t.headers[name] = value
	}
	return t
}

const (
	list = "/v1/agents?limit=1000"
	one  = "/v1/agents/krosai:agent-1"
)

// comparison is a case: the gateway against a bare limit.
type comparison struct {
	name  string
	bare  []string // flags of the program bare
	asked target
	goal  float64 // of the ratio
}

// comparisons are the cases; the bodies that the bare limit answers are the gateway's own.
func (b *bench) comparisons() ([]comparison, error) {
	tag := ""
	for name, path := range map[string]string{"list.json": list, "one.json": one} {
		body, header, err := fetch(b.asked(path))
		if err != nil {
			return nil, err
		}
		if path == list {
			tag = header.Get("ETag")
		}
		if err := os.WriteFile(b.path(name), body, 0o600); err != nil {
			return nil, err
		}
	}
	var lists []string
	for _, name := range names(b.backends) {
		lists = append(lists, b.backends[name]+"/agents")
	}
	return []comparison{
		{"list from memory", []string{"-fixed", b.path("list.json")}, b.asked(list), 1.25},
		{"agent from memory", []string{"-fixed", b.path("one.json")}, b.asked(one), 1.45},
		{"list, not modified", []string{"-fixed", b.path("list.json")}, b.asked(list, "If-None-Match: "+tag), 1},
		{"agent, asked anew", []string{"-proxy", b.backends["krosai"] + "/agents/agent-1"}, b.asked(one, "Cache-Control: no-cache"), 2},
		{"list of 4, asked anew", []string{"-merge", strings.Join(lists, ",")}, b.asked(list, "Cache-Control: no-cache"), 3.5},
	}, nil
}

func fetch(t target) ([]byte, http.Header, error) {
	req, err := http.NewRequest(http.MethodGet, t.url, nil)
	if err != nil {
		return nil, nil, err
	}
	for name, value := range t.headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d: %.200s", t.url, resp.StatusCode, body)
	}
	return body, resp.Header, err
}

// measure does all of it and says what came out.
func (b *bench) measure() error {
	r := &report{At: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), CPUs: runtime.NumCPU(), Agents: *agents}
	comparisons, err := b.comparisons()
	if err != nil {
		return err
	}
	for _, c := range comparisons {
		row, err := b.compare(c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		r.Closed = append(r.Closed, row)
	}
	if r.Observed, err = b.observed(); err != nil {
		return err
	}
	if r.Open, err = b.slow(); err != nil {
		return err
	}
	loaded, err := b.gateway.memory()
	if err != nil {
		return err
	}
	r.Process = processRow{ReadyMs: milliseconds(b.started), IdleMiB: mebibytes(b.idle), LoadedMiB: mebibytes(loaded), BinaryMiB: mebibytes(b.size)}
	r.print(os.Stdout)
	if *out == "" || *short {
		return nil
	}
	return r.write(*out)
}

// compare has the two sides take turns.
func (b *bench) compare(c comparison) (closedRow, error) {
	row := closedRow{Name: c.name, Goal: c.goal}
	p, err := b.start(false, nil, "bare", c.bare...)
	if err != nil {
		return row, err
	}
	defer p.stop()
	address, err := p.line("http")
	if err != nil {
		return row, err
	}
	for range *rounds {
		cpu, rate, err := closed(target{url: address + "/x"}, p, *length)
		if err != nil {
			return row, err
		}
		row.Bare.add(cpu, rate)
		if cpu, rate, err = closed(c.asked, b.gateway, *length); err != nil {
			return row, err
		}
		row.Gateway.add(cpu, rate)
	}
	return row, nil
}

// observed is the list from memory in each way of observing it.
func (b *bench) observed() ([]observedRow, error) {
	rows := make([]observedRow, len(ways))
	gateways, targets := make([]*process, len(ways)), make([]target, len(ways))
	for i, w := range ways {
		p, api, err := b.serve(b.backends, w)
		if err != nil {
			return nil, err
		}
		gateways[i], targets[i] = p, b.asked(list)
		targets[i].url = api + list
		rows[i].Name = w.name
		defer p.stop()
		if _, _, err := fetch(targets[i]); err != nil { // it is in memory from now on
			return nil, err
		}
	}
	for range *rounds {
		for i := range ways {
			cpu, rate, err := closed(targets[i], gateways[i], *length)
			if err != nil {
				return nil, err
			}
			rows[i].add(cpu, rate)
		}
	}
	return rows, nil
}

// slow is the list of vendors that take 20 ms, in an open loop, against the fan-out alone.
func (b *bench) slow() ([]openRow, error) {
	const delay = 20 * time.Millisecond
	backends, err := b.vendors(delay)
	if err != nil {
		return nil, err
	}
	var lists []string
	for _, name := range names(backends) {
		lists = append(lists, backends[name]+"/agents")
	}
	bare, err := b.start(false, nil, "bare", "-merge", strings.Join(lists, ","))
	if err != nil {
		return nil, err
	}
	address, err := bare.line("http")
	if err != nil {
		return nil, err
	}
	_, api, err := b.serve(backends, unsampled)
	if err != nil {
		return nil, err
	}
	asked := b.asked(list, "Cache-Control: no-cache")
	asked.url = api + list
	rates := []int{250, 1000}
	if *short {
		rates = []int{50}
	}
	var rows []openRow
	for _, perSecond := range rates {
		row := openRow{PerSecond: perSecond, DelayMs: milliseconds(delay)}
		for side, t := range map[*[]float64]target{&row.BareMs: {url: address + "/x"}, &row.GatewayMs: asked} {
			took, failed, err := open(t, perSecond, max(*length, 2*time.Second))
			if err != nil {
				return nil, err
			}
			row.Failed += failed
			*side = []float64{milliseconds(quantile(took, 0.5)), milliseconds(quantile(took, 0.99))}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
