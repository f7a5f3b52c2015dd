package faults

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/test/live"
)

// uncached has every read go to its vendor.
const uncached = "\ncache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}"

// flood asks a vendor that may be out for agents that nobody else asks for, from so
// many callers, until it is stopped.
func flood(t *testing.T, l *live.Live, callers int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var number atomic.Int64
	for range callers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := l.Ask(context.Background(), "acme", "GET", fmt.Sprintf("/v1/agents/talkifai:agent_%d", number.Add(1)), ""); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(5 * time.Millisecond) // a caller's own work; an open breaker answers at once
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// TestAnOutageIsNotMadeWorse: what a backend that is out is sent is at most a tenth
// more than what was let through, with the breaker and by the retry budget alone.
func TestAnOutageIsNotMadeWorse(t *testing.T) {
	for _, c := range []struct {
		name, breaker string
		fault         sandbox.Fault
	}{
		{"breaker, hangs", "breaker: {open_for: 100ms, max_open_for: 200ms}", sandbox.Fault{Hang: true}},
		{"breaker, fails", "breaker: {open_for: 100ms, max_open_for: 200ms}", sandbox.Fault{Status: 500}},
		{"no breaker, fails", "breaker: {consecutive: 1000000, min_requests: 1000000}", sandbox.Fault{Status: 500}},
		{"no breaker, resets", "breaker: {consecutive: 1000000, min_requests: 1000000}", sandbox.Fault{Reset: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := live.Start(t, live.Options{
				Server: "request_timeout: 3s", Backends: []string{"talkifai"},
				PerBackend: "timeout: 200ms\nmax_response_bytes: 1MiB\n" + c.breaker + uncached,
			})
			control := l.Vendors["talkifai"].Control()
			const callers = 8
			stop := flood(t, l, callers)
			time.Sleep(time.Second) // in which all is well: the budget is as large as it gets
			control.Forget()
			before := look(l)
			control.Fail(c.fault)
			const outage = 2 * time.Second
			time.Sleep(outage)
			stop()
			got := look(l).minus(before)
			letThrough := got.sent - got.retries
			t.Logf("sent %d for %d that were let through: %.3f", got.sent, letThrough, float64(got.sent)/float64(letThrough))
			// Ten retries may be left over from before, and each caller was asking.
			if limit := float64(letThrough)*1.1 + 10; float64(got.sent) > limit || got.received > got.sent+callers {
				t.Errorf("%d received, %d sent, %d let through", got.received, got.sent, letThrough)
			}
			if c.name == "no breaker, fails" && got.retries == 0 {
				t.Error("nothing was retried at all")
			}
		})
	}
}

// TestOthersDoNotNotice: the slowest answers of the other backends take as long
// while many ask for one that is out as while nobody does. Both are measured in turns;
// a machine that is busy with something else gets three tries.
func TestOthersDoNotNotice(t *testing.T) {
	l := live.Start(t, live.Options{
		Server: "request_timeout: 3s", Backends: []string{"krosai", "talkifai"},
		PerBackend: "timeout: 1s\nmax_response_bytes: 1MiB\nbreaker: {open_for: 100ms, max_open_for: 200ms}" + uncached,
	})
	l.Vendors["krosai"].Control().Fail(sandbox.Fault{Delay: 100 * time.Millisecond})
	l.Vendors["talkifai"].Control().Fail(sandbox.Fault{Hang: true})
	r, err := l.Ask(context.Background(), "acme", "GET", "/v1/agents?backend=krosai", "")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, a := range r.Body["data"].([]any) {
		ids = append(ids, a.(map[string]any)["id"].(string))
	}
	measure := func(d time.Duration) (took []time.Duration) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, id := range ids {
			wg.Go(func() {
				for began := time.Now(); time.Since(began) < d; {
					r, err := l.Ask(context.Background(), "acme", "GET", "/v1/agents/"+id, "")
					if err != nil || r.Status != 200 {
						t.Errorf("%v %d", err, r.Status)
						return
					}
					mu.Lock()
					took = append(took, r.Took)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		return took
	}
	var ratio float64
	for try := 0; try == 0 || try < 3 && ratio > 1.1; try++ {
		var before, during []time.Duration
		for range 3 {
			before = append(before, measure(1500*time.Millisecond)...)
			stop := flood(t, l, 4) // of the one that is out
			during = append(during, measure(1500*time.Millisecond)...)
			stop()
		}
		ratio = float64(p99(during)) / float64(p99(before))
		t.Logf("p99 %s by themselves, %s in the outage of another: %.3f (%d and %d answers)", p99(before), p99(during), ratio, len(before), len(during))
	}
	if ratio > 1.1 {
		t.Errorf("the others' p99 is %.2f times as long", ratio)
	}
}

func p99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)*99/100]
}
