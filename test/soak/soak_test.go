// Package soak runs the gateway under mixed load and random faults for a time,
// and fails on anything that should not happen however long that is: an answer
// outside the contract, memory that grows, goroutines or descriptors that do not
// come back, a secret where it does not belong.
//
// SOAK says for how long: a few seconds without it, so that it stays in order;
// `make soak` says 30 minutes.
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

	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/test/live"
)

func TestMain(m *testing.M) { live.Main(m) }

// What is run, and how hard: bounded, so that a run beside other tests measures
// the gateway and not the machine.
const (
	workers        = 12
	pace           = 40 * time.Millisecond // of one worker, on average
	requestTimeout = 2 * time.Second
	perBackend     = `timeout: 300ms
quota: {requests: 400, per: 1s}
breaker: {open_for: 200ms, max_open_for: 1s}
cache: {ttl: 200ms, stale_while_revalidate: 300ms, stale_if_error: 3s}`
)

var tenants = []string{"acme", "beta", "gamma"}

// vendorText is in every body that a faulty vendor sends.
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
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { s.work(ctx) })
	}
	wg.Go(func() { s.spoil(ctx) })
	wg.Go(func() { s.operate(ctx) })
	heap := s.sampleHeap(ctx, length)
	wg.Wait()
	s.mendAll()
	s.collect()

	after := s.rest(&resources{resting.goroutines + spareGoroutines, resting.descriptors + spareDescriptors})
	s.report(time.Since(began), heap, resting, after)
}

type soak struct {
	*live.Live
	t        *testing.T
	canaries map[string]string // by tenant; what only its agents hold
	secrets  []string          // what is in no log, span or metric
	hidden   []string          // what is in no answer
	lateness *live.Lateness

	requests, left, faults, reloads, troubles atomic.Int64

	mu     sync.Mutex
	status map[int]int
}

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, canaries: map[string]string{}, status: map[int]int{}, lateness: live.WatchLateness(t)}
	watch := &watcher{soak: s}
	s.Live = live.Start(t, live.Options{
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

// trouble is something that should not happen; the first of them are told.
func (s *soak) trouble(format string, args ...any) {
	if n := s.troubles.Add(1); n <= 20 {
		s.t.Errorf(format, args...)
	} else if n == 21 {
		s.t.Error("and more")
	}
}

// pause waits about so long; false if ctx ended.
func pause(ctx context.Context, about time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(rand.N(2 * about)):
		return true
	}
}

// work is one caller: it asks what callers ask, and some of what they should not.
func (s *soak) work(ctx context.Context) {
	for pause(ctx, pace) {
		tenant := tenants[rand.IntN(len(tenants))]
		q := randomRequest()
		asking, leave := context.Background(), context.CancelFunc(func() {})
		impatient := rand.IntN(20) == 0
		if impatient {
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

// spoil has vendors fail, one way or another, and mends them again.
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

// The slicer is left out: its goroutines stay when its connection is closed
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

// operate is the operator: reloads, a key that comes and goes, purges, and a look
// at the metrics.
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
			s.Gateway.Purge("", "")
		}
		page := s.Metrics()
		for _, secret := range s.secrets {
			if strings.Contains(page, secret) {
				s.trouble("the metrics hold %.12s…", secret)
			}
		}
		s.collect()
		s.sweep(ctx)
	}
}

// collect reads what the vendors complain of, and empties their records.
func (s *soak) collect() {
	for _, vendor := range s.Vendors {
		for _, violation := range vendor.Control().Violations() {
			s.trouble("%s", violation)
		}
		vendor.Control().Forget()
	}
}

// sweep deletes what the callers created, as far as it can be seen.
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
				_, _ = s.Ask(context.Background(), tenant, http.MethodDelete, "/v1/agents/"+id, "") // or the next time
			}
		}
	}
}

// sampleHeap measures what is live, until ctx ends. The first fifth is warming up.
func (s *soak) sampleHeap(ctx context.Context, length time.Duration) []uint64 {
	var samples []uint64
	every := max(length/50, 100*time.Millisecond)
	for began := time.Now(); ; {
		select {
		case <-ctx.Done():
			return samples
		case <-time.After(every):
		}
		if time.Since(began) > length/5 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			samples = append(samples, m.HeapAlloc)
		}
	}
}

// resources are what a gateway at rest holds.
type resources struct{ goroutines, descriptors int }

// rest waits for everything to come to rest: to so little, or, where that is not
// known yet, to what stays the same for a while. It is what is held then.
func (s *soak) rest(target *resources) resources {
	var last resources
	still := 0
	for deadline := time.Now().Add(45 * time.Second); time.Now().Before(deadline); {
		s.Client.CloseIdleConnections()
		s.Gateway.Close()
		now := resources{runtime.NumGoroutine(), descriptors(s.t)}
		if still++; now != last {
			still = 0
		}
		last = now
		if target == nil && still >= 20 || target != nil && now.goroutines <= target.goroutines && now.descriptors <= target.descriptors {
			break
		}
		time.Sleep(100 * time.Millisecond) // between two looks
	}
	return last
}

func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("descriptors are counted in /proc/self/fd, which this system has not")
	}
	return len(entries)
}

// What may be left over: a goroutine or descriptor of the runtime's own, and
// memory that is kept in pools.
const (
	spareGoroutines  = 10
	spareDescriptors = 8
	spareHeap        = 6 << 20
)

// enough requests are some of every kind.
const enough = 150

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
	if len(heap) < 8 {
		t.Fatalf("only %d samples of the heap", len(heap))
	}
	first, last := median(heap[:len(heap)/4]), median(heap[len(heap)*3/4:])
	t.Logf("live heap: %.1f MB in the first quarter after warming up, %.1f MB in the last", float64(first)/1e6, float64(last)/1e6)
	if last > first+first/10+spareHeap {
		t.Errorf("the heap grew from %.1f to %.1f MB", float64(first)/1e6, float64(last)/1e6)
	}
	if s.requests.Load() < enough { // how many it is depends on the machine
		t.Errorf("only %d requests in %s", s.requests.Load(), took)
	}
}

func median(v []uint64) uint64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
