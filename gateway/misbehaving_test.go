package gateway

import (
	"fmt"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentgw/agentgw/gateway/apikey"
	"github.com/agentgw/agentgw/sandbox/misbehaving"
)

// behind puts a misbehaving server in front of a provider, or of another handler.
func (b *bench) behind(vendor string, inner http.Handler, behaviour misbehaving.Behaviour) {
	b.t.Helper()
	if inner == nil {
		inner = b.vendors[vendor]
	}
	server, err := misbehaving.Start(inner, behaviour)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(server.Close)
	address := regexp.MustCompile(`provider: ` + vendor + `\n    base_url: (http://[^/]+)`).FindStringSubmatch(b.file)
	b.file = strings.Replace(b.file, address[1], server.URL, 1)
	b.reload()
}

// TestMisbehaving_AnswersTwice: a response that nobody asked for, which arrives on a kept
// connection, reaches no other tenant. With one pool of connections for all credentials a
// third of the responses were another tenant's.
func TestMisbehaving_AnswersTwice(t *testing.T) {
	t.Parallel()
	const tenants, requests = 6, 300
	b := newBench(t, "cache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}\nbreaker: {consecutive: 1000000, min_requests: 1000000}")
	file := b.file[:strings.Index(b.file, "keys:\n")] + "keys:\n"
	for i := range tenants {
		id, variable := fmt.Sprint("tenant-", i), fmt.Sprint("TENANT_", i)
		b.keys[id], b.env[variable] = apikey.New(apikey.Test), fmt.Sprint("secret-", i)
		file += fmt.Sprintf("  - {id: %s, sha256: \"%x\", scopes: [agents:read, agents:write], credentials: {krosai: env:%s}}\n", id, apikey.Hash(b.keys[id]), variable)
		b.vendors["krosai"].Seed(b.env[variable], []byte(fmt.Sprintf(`{"id": "agent", "name": "canary-%d-", "created_by": "canary-%[1]d-"}`, i)))
	}
	b.file = file
	b.behind("krosai", nil, misbehaving.Twice(time.Millisecond))
	var foreign, good atomic.Int32
	var wg sync.WaitGroup
	for i := range tenants {
		wg.Go(func() {
			own, id := fmt.Sprintf("canary-%d-", i), fmt.Sprint("tenant-", i)
			for n := range requests {
				path := []string{"/v1/agents", "/v1/agents/krosai:agent"}[n%2]
				got := b.ask(id, "GET", path, "", "Cache-Control: no-cache")
				switch {
				case strings.Contains(strings.ReplaceAll(got.text, own, ""), "canary-"):
					foreign.Add(1)
				case strings.Contains(got.text, own):
					good.Add(1)
				}
				if n%50 == 0 { // a create is told no other tenant's id
					made := b.ask(id, "POST", "/v1/agents", fmt.Sprintf(`{"backend": "krosai", "name": %q}`, own))
					if made.StatusCode == 201 && made.body["name"] != own {
						foreign.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	if foreign.Load() != 0 || good.Load() == 0 {
		t.Errorf("%d foreign responses, %d good ones of %d", foreign.Load(), good.Load(), tenants*requests)
	}
}

// TestMisbehaving_KeptConnectionsAreDead: a read that fails on a kept connection goes out again
// on a fresh one, outside the retry budget.
func TestMisbehaving_KeptConnectionsAreDead(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.behind("krosai", nil, misbehaving.DeadWhenKept)
	for range 60 {
		b.get(krosaiAgent, "Cache-Control: no-cache").wants(t, 200, "")
	}
	if got := b.get("/v1/backends/krosai").at("breaker.state"); got != "closed" {
		t.Errorf("the breaker is %v", got)
	}
}

// TestMisbehaving_StatusLines: a status below 100 is no HTTP, and no interim response.
func TestMisbehaving_StatusLines(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"HTTP/1.1 020 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 OK", "ICY 200 OK", ""} {
		b := newBench(t, "")
		b.behind("krosai", nil, misbehaving.StatusLine(line))
		if got := b.get(krosaiAgent); got.StatusCode != 502 {
			t.Errorf("%q: %d %s", line, got.StatusCode, got.text)
		}
	}
}

// largeAgents asks for many agents at once and returns how many responses had each status, and
// by how many bytes the heap had grown when they had been answered.
func (b *bench) largeAgents(n int, answered func(status int)) (statuses map[int]int, heap uint64) {
	b.t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	statuses = map[int]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			got := b.get(fmt.Sprint("/v1/agents/krosai:", i), "Accept-Encoding: identity")
			mu.Lock()
			defer mu.Unlock()
			statuses[got.StatusCode]++
			answered(got.StatusCode)
			runtime.ReadMemStats(&after)
			heap = max(heap, after.HeapAlloc-min(before.HeapAlloc, after.HeapAlloc))
		})
	}
	wg.Wait()
	return statuses, heap
}

func idOf(r *http.Request) string {
	return fmt.Sprintf(`"name": "n", "id": %q`, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
}

// TestMisbehaving_CompressedAgents: agents that are small on the wire and large in memory are
// refused before they are in memory.
func TestMisbehaving_CompressedAgents(t *testing.T) {
	b := newBench(t, "timeout: 30s\nbreaker: {consecutive: 1000000, min_requests: 1000000}")
	b.behind("krosai", misbehaving.Inflated(4<<20, idOf), misbehaving.Properly)
	statuses, heap := b.largeAgents(64, func(int) {})
	if statuses[502] != 64 {
		t.Errorf("%v", statuses)
	}
	t.Logf("64 agents of 4 MiB: %d MiB of heap, garbage included", heap>>20)
}

// TestMisbehaving_ManyLargeAgents: responses that are being read take memory from a bound, of
// which one credential gets half. What it has no room for is 503, and all of it is given back.
func TestMisbehaving_ManyLargeAgents(t *testing.T) {
	t.Parallel()
	const half = 4 << 20 // of max_upstream_bytes
	b := newBench(t, "timeout: 2m\nmax_response_bytes: 4MiB\nbreaker: {consecutive: 1000000, min_requests: 1000000}")
	b.file = strings.Replace(b.file, "request_timeout: 2m", "request_timeout: 10m, max_upstream_bytes: 8MiB", 1)
	release := make(chan struct{})
	b.behind("krosai", misbehaving.Inflated(900<<10, idOf), func(conn net.Conn, _ int, response []byte) bool {
		_, err := conn.Write(response[:len(response)-4]) // all but the end
		<-release
		return err == nil && misbehaving.Properly(conn, 0, response[len(response)-4:])
	})
	refused := sync.OnceFunc(func() {
		if used := b.gateway.upstream.Used(); used > half {
			t.Errorf("%d bytes in use, of one credential", used)
		}
		close(release)
	})
	statuses, _ := b.largeAgents(64, func(status int) {
		if status == 503 {
			refused()
		}
	})
	if statuses[200] == 0 || statuses[503] == 0 || statuses[200]+statuses[503] != 64 {
		t.Errorf("%v", statuses)
	}
	if used := b.gateway.upstream.Used(); used != 0 {
		t.Errorf("%d bytes in use", used)
	}
}
