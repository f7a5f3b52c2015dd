// Package soak runs a gateway under mixed load and random faults, and fails on a response
// outside the contract, growth of the heap, goroutines or descriptors that are not released,
// and secrets in responses, logs, spans or metrics.
//
// SOAK is the duration. Without it the test runs for a few seconds; `make soak` sets 30
// minutes.
package soak

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/test/internal/gatewaytest"
)

func TestMain(m *testing.M) { gatewaytest.Main(m) }

// The load. It is bounded, so that other tests can run beside it.
const (
	workers        = 12
	pace           = 40 * time.Millisecond // mean pause of a worker
	requestTimeout = 2 * time.Second
	perBackend     = `timeout: 300ms
quota: {requests: 400, per: 1s}
breaker: {open_for: 200ms, max_open_for: 1s}
cache: {ttl: 200ms, stale_while_revalidate: 300ms, stale_if_error: 3s}`
)

var tenants = []string{"acme", "beta", "gamma"}

// vendorText is in every response that a fault makes.
const vendorText = "canary-vendor-text"

func TestSoak(t *testing.T) {
	length := 5 * time.Second
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("SOAK=%s: %v", text, err)
		}
	}
	s := newSoak(t)
	resting := s.rest(nil)

	began := time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { s.work(ctx) })
	}
	wg.Go(func() { s.spoil(ctx) })
	wg.Go(func() { s.operate(ctx) })
	heap := s.sampleHeap(length)
	cancel()
	wg.Wait()
	s.mendAll()
	s.collect()

	after := s.rest(&resources{resting.goroutines + spareGoroutines, resting.descriptors + spareDescriptors})
	s.report(time.Since(began), heap, resting, after)
}

type soak struct {
	*gatewaytest.Gateway
	t        *testing.T
	canaries map[string]string // by tenant: a text that only its agents contain
	secrets  []string          // texts that no log, span or metric may contain
	hidden   []string          // texts that no response may contain

	requests, left, faults, reloads, troubles atomic.Int64

	mu     sync.Mutex
	status map[int]int
}

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, canaries: map[string]string{}, status: map[int]int{}}
	watch := &watcher{soak: s}
	s.Gateway = gatewaytest.Start(t, gatewaytest.Options{
		Server:     fmt.Sprintf("request_timeout: %s, max_inflight: 256", requestTimeout),
		PerBackend: perBackend, Tenants: tenants, Log: watch, Spans: watch,
		Proxied: []string{"klen", "agenthuman", "krosai", "talkifai"},
	})
	for _, tenant := range tenants {
		canary := "canary-" + tenant + "-" + fmt.Sprint(rand.Uint64())
		s.canaries[tenant] = canary
		for _, body := range []string{
			`{"backend": "krosai", "name": "keep", "system_prompt": "` + canary + `"}`,
			`{"backend": "talkifai", "name": "keep", "architecture": "text", "model": {"id": "gpt-4o"}, "system_prompt": "` + canary + `"}`,
		} {
			if r, err := s.Ask(context.Background(), tenant, "POST", "/v1/agents", body); err != nil || r.Status != 201 {
				t.Fatalf("%v %d %s", err, r.Status, r.Text)
			}
		}
	}
	s.hidden = slices.Concat(s.Secrets, []string{vendorText})
	watch.forbid(slices.Concat(slices.Collect(maps.Values(s.canaries)), s.hidden))
	return s
}

// trouble fails the test. Only the first few messages are printed.
func (s *soak) trouble(format string, args ...any) {
	if n := s.troubles.Add(1); n <= 20 {
		s.t.Errorf(format, args...)
	} else if n == 21 {
		s.t.Error("more failures follow")
	}
}

// pause waits for a random time with that mean. It returns false if ctx ends first.
func pause(ctx context.Context, about time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(rand.N(2 * about)):
		return true
	}
}

// work is one caller. It sends valid and invalid requests, and sometimes leaves early.
func (s *soak) work(ctx context.Context) {
	for pause(ctx, pace) {
		tenant := tenants[rand.IntN(len(tenants))]
		q := randomRequest()
		asking, leave := context.Background(), context.CancelFunc(func() {})
		if rand.IntN(20) == 0 {
			asking, leave = context.WithTimeout(asking, rand.N(200*time.Millisecond))
		}
		r, err := s.Ask(asking, tenant, q.method, q.path, q.body, q.headers...)
		gone := asking.Err() != nil
		leave()
		s.requests.Add(1)
		switch {
		case gone:
			s.left.Add(1)
		case err != nil:
			s.trouble("%s %s was lost: %v", q.method, q.path, err)
		default:
			s.mu.Lock()
			s.status[r.Status]++
			s.mu.Unlock()
			s.judge(tenant, q, r)
		}
	}
}

// spoil injects random faults, one at a time, and removes them again.
func (s *soak) spoil(ctx context.Context) {
	names := slices.Sorted(maps.Keys(s.Vendors))
	for pause(ctx, 100*time.Millisecond) {
		name := names[rand.IntN(len(names))]
		s.faults.Add(1)
		if rand.IntN(3) == 0 {
			s.Toxic(name, toxics[rand.IntN(len(toxics))])
			pause(ctx, 300*time.Millisecond)
			s.Mend(name)
			continue
		}
		s.Vendors[name].Control().Fail(randomFault())
		pause(ctx, 300*time.Millisecond)
		s.Vendors[name].Control().Heal()
	}
}

func (s *soak) mendAll() {
	for name, vendor := range s.Vendors {
		s.Mend(name)
		vendor.Control().Heal()
	}
}

// toxics does not have the slicer: it leaks goroutines if its connection is closed
// (Toxiproxy 2.5).
var toxics = []string{
	`{"name": "t", "type": "latency", "stream": "downstream", "attributes": {"latency": 150, "jitter": 140}}`,
	`{"name": "t", "type": "timeout", "stream": "upstream", "attributes": {"timeout": 0}}`,
	`{"name": "t", "type": "timeout", "stream": "downstream", "attributes": {"timeout": 100}}`,
	`{"name": "t", "type": "reset_peer", "stream": "upstream", "attributes": {"timeout": 20}}`,
	`{"name": "t", "type": "limit_data", "stream": "downstream", "attributes": {"bytes": 300}}`,
}

func randomFault() sandbox.Fault {
	body := `{"success": false, "error": "` + vendorText + `", "message": "` + vendorText + `"}`
	switch rand.IntN(8) {
	case 0:
		return sandbox.Fault{Hang: true}
	case 1:
		return sandbox.Fault{Reset: true}
	case 2:
		return sandbox.Fault{Cut: true}
	case 3:
		return sandbox.Fault{Drip: 20 * time.Millisecond}
	case 4:
		return sandbox.Fault{Status: 200, Body: "<html>" + vendorText, Header: map[string]string{"Content-Type": "text/html"}}
	case 5:
		return sandbox.Fault{Status: 429, Body: body, Header: map[string]string{"Retry-After": "0.2", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(time.Now().Unix() + 1)}}
	case 6:
		return sandbox.Fault{Delay: rand.N(400 * time.Millisecond)}
	}
	statuses := []int{500, 502, 503, 504, 401, 403, 404, 302, 400, 200}
	return sandbox.Fault{Status: statuses[rand.IntN(len(statuses))], Body: body, Header: map[string]string{"Location": "/" + vendorText}}
}

// operate reloads the configuration, purges the cache and reads the metrics.
func (s *soak) operate(ctx context.Context) {
	for round := 0; pause(ctx, 500*time.Millisecond); round++ {
		edits := [][]string{
			nil,
			{"timeout: 300ms", "timeout: 250ms"},
			{"open_for: 200ms", "open_for: 150ms", "requests: 400", "requests: 300"},
		}[round%3]
		if err := s.Reload(edits...); err != nil {
			s.trouble("reload: %v", err)
		}
		s.reloads.Add(1)
		if round%5 == 0 {
			s.Core().Purge("", "")
		}
		page := string(s.Metrics())
		for _, secret := range s.secrets {
			if strings.Contains(page, secret) {
				s.trouble("the metrics hold %.12s…", secret)
			}
		}
		s.collect()
		s.sweep(ctx)
	}
}

// collect reads the emulators' violations and empties their records.
func (s *soak) collect() {
	for _, vendor := range s.Vendors {
		for _, violation := range vendor.Control().Violations() {
			s.trouble("%s", violation)
		}
		vendor.Control().Forget()
	}
}

// sweep deletes agents that the callers created and that the gateway lists.
func (s *soak) sweep(ctx context.Context) {
	for _, tenant := range tenants {
		r, err := s.Ask(context.Background(), tenant, "GET", "/v1/agents?q=made-by-soak&limit=1000", "")
		if err != nil {
			s.trouble("sweeping: %v", err)
			continue
		}
		agents, _ := r.Body["data"].([]any)
		for _, a := range agents {
			if id, _ := a.(map[string]any)["id"].(string); id != "" && ctx.Err() == nil {
				_, _ = s.Ask(context.Background(), tenant, http.MethodDelete, "/v1/agents/"+id, "") // if it fails, the next sweep does it
			}
		}
	}
}

// sampleHeap returns samples of the live heap. It takes them for length, without the first
// fifth, and goes on until there are enough samples and requests, however slow the machine is.
func (s *soak) sampleHeap(length time.Duration) []uint64 {
	var samples []uint64
	every := max(length/50, 100*time.Millisecond)
	for began := time.Now(); time.Since(began) < length || len(samples) < 8 || s.requests.Load() < enough; time.Sleep(every) {
		if time.Since(began) > length/5 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			samples = append(samples, m.HeapAlloc)
		}
	}
	return samples
}

// resources are what the process holds while the gateway is idle.
type resources struct{ goroutines, descriptors int }

// rest waits until the process holds no more than target, or, without a target, until what it
// holds does not change. It returns what is held then; after waittest.HangGuard that may be
// more than target.
func (s *soak) rest(target *resources) resources {
	var last resources
	still := 0
	for deadline := time.Now().Add(waittest.HangGuard); time.Now().Before(deadline); {
		s.Client.CloseIdleConnections()
		s.Core().Close()
		now := resources{runtime.NumGoroutine(), descriptors(s.t)}
		if still++; now != last {
			still = 0
		}
		last = now
		if target == nil && still >= 20 || target != nil && now.goroutines <= target.goroutines && now.descriptors <= target.descriptors {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return last
}

func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("descriptors are counted in /proc/self/fd, which this system does not have")
	}
	return len(entries)
}

// Allowances for goroutines and descriptors of the runtime, and for memory in pools.
const (
	spareGoroutines  = 10
	spareDescriptors = 8
	spareHeap        = 6 << 20
)

// enough requests include some of each kind.
const enough = 150

// settled requests have filled the caches, however slow the machine is: after fewer, a heap that
// grows says nothing. The run of a few seconds may stay below it; `make soak` does not.
const settled = 5000

func (s *soak) report(took time.Duration, heap []uint64, before, after resources) {
	t := s.t
	t.Logf("%s: %d requests (%d left early), %d faults, %d reloads, statuses %v", took.Round(time.Second), s.requests.Load(), s.left.Load(), s.faults.Load(), s.reloads.Load(), s.status)
	t.Logf("at rest: goroutines %d, then %d; descriptors %d, then %d", before.goroutines, after.goroutines, before.descriptors, after.descriptors)
	if after.goroutines > before.goroutines+spareGoroutines {
		var stacks strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1) // a builder takes everything
		t.Errorf("%d goroutines, %d before: %s", after.goroutines, before.goroutines, stacks.String())
	}
	if after.descriptors > before.descriptors+spareDescriptors {
		t.Errorf("%d descriptors, %d before", after.descriptors, before.descriptors)
	}
	first, last := median(heap[:len(heap)/4]), median(heap[len(heap)*3/4:])
	t.Logf("live heap: %.1f MB in the first quarter after warming up, %.1f MB in the last", float64(first)/1e6, float64(last)/1e6)
	if s.requests.Load() < settled {
		t.Logf("the heap is not judged: fewer than %d requests", settled)
		return
	}
	if last > first+first/10+spareHeap {
		t.Errorf("the heap grew from %.1f to %.1f MB", float64(first)/1e6, float64(last)/1e6)
	}
}

func median(v []uint64) uint64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
