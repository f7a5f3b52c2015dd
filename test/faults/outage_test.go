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
			stop := flood(t, l, 8)
			time.Sleep(time.Second) // in which all is well: the budget is as large as it gets
			// Looked first: what comes between the two is counted as sent alone, as is what
			// was on its way to the vendor.
			before := look(l)
			control.Forget()
			control.Fail(c.fault)
			const outage = 2 * time.Second
			time.Sleep(outage)
			stop()
			after := look(l)
			got, received := after.minus(before), after.received
			letThrough := got.sent - got.retries
			t.Logf("sent %d for %d that were let through: %.3f", got.sent, letThrough, float64(got.sent)/float64(letThrough))
			// Ten retries may be left over from before.
			if limit := float64(letThrough)*1.1 + 10; float64(got.sent) > limit || received > got.sent {
				t.Errorf("%d received, %d sent, %d let through", received, got.sent, letThrough)
			}
			if c.name == "no breaker, fails" && got.retries == 0 {
				t.Error("nothing was retried at all")
			}
		})
	}
}

// TestOthersDoNotNotice: the slowest answers of a backend take as long while another
// one is out as while it is well. Both are measured in turns, with the same callers asking
// the other one; of the rounds the middle one counts, and a machine that is busy with
// something else gets three tries.
func TestOthersDoNotNotice(t *testing.T) {
	l := live.Start(t, live.Options{
		Server: "request_timeout: 3s", Backends: []string{"krosai", "talkifai"},
		PerBackend: "timeout: 1s\nmax_response_bytes: 1MiB\nbreaker: {open_for: 100ms, max_open_for: 200ms}" + uncached,
	})
	l.Vendors["krosai"].Control().Fail(sandbox.Fault{Delay: 100 * time.Millisecond})
	r, err := l.Ask(context.Background(), "acme", "GET", "/v1/agents?backend=krosai", "")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, a := range r.Body["data"].([]any) {
		ids = append(ids, a.(map[string]any)["id"].(string))
	}
	// round is the p99 of the answers of one backend while the other does that.
	round := func(other sandbox.Fault) time.Duration {
		l.Vendors["talkifai"].Control().Fail(other)
		defer l.Vendors["talkifai"].Control().Heal()
		stop := flood(t, l, 4)
		defer stop()
		var mu sync.Mutex
		var took []time.Duration
		var wg sync.WaitGroup
		for _, id := range ids {
			wg.Go(func() {
				for began := time.Now(); time.Since(began) < time.Second; {
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
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	var ratio float64
	for try := 0; try == 0 || try < 3 && ratio > 1.1; try++ {
		var well, out []time.Duration
		for range 5 {
			well = append(well, round(sandbox.Fault{}))
			out = append(out, round(sandbox.Fault{Hang: true}))
		}
		slices.Sort(well)
		slices.Sort(out)
		ratio = float64(out[2]) / float64(well[2])
		t.Logf("p99 %s while the other backend is well, %s while it is out: %.3f", well[2], out[2], ratio)
	}
	if ratio > 1.1 {
		t.Errorf("the others' p99 is %.2f times as long", ratio)
	}
}
