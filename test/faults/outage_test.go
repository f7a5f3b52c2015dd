package faults

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/test/internal/gatewaytest"
)

// uncached makes every read a request to the provider.
const uncached = "\ncache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}"

// load is a number of callers that read different agents of a provider until it is stopped.
type load struct {
	cancel    context.CancelFunc
	group     sync.WaitGroup
	responses atomic.Int64
}

func startLoad(t *testing.T, g *gatewaytest.Gateway, callers int) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	var number atomic.Int64
	for range callers {
		l.group.Go(func() {
			for ctx.Err() == nil {
				if _, err := g.Ask(context.Background(), "acme", "GET", fmt.Sprintf("/v1/agents/talkifai:agent_%d", number.Add(1)), ""); err != nil {
					t.Error(err)
					return
				}
				l.responses.Add(1)
				time.Sleep(5 * time.Millisecond) // an open breaker responds at once
			}
		})
	}
	return l
}

// stop waits until every caller has its last response.
func (l *load) stop() { l.cancel(); l.group.Wait() }

// callers is how many requests run at the same time.
const callers = 8

// TestOutage_RetriesAreBounded tests that a provider that is down receives at most a tenth
// more requests than were let through, with the breaker and by the retry budget alone.
func TestOutage_RetriesAreBounded(t *testing.T) {
	for _, c := range []struct {
		name, settings string
		fault          sandbox.Fault
		requests       int // to the provider, until the test ends
	}{
		{"breaker, hangs", "timeout: 200ms\nbreaker: {open_for: 100ms, max_open_for: 200ms}", sandbox.Fault{Hang: true}, 12},
		{"breaker, fails", "breaker: {open_for: 100ms, max_open_for: 200ms}", sandbox.Fault{Status: 500}, 12},
		{"no breaker, fails", "breaker: {consecutive: 1000000, min_requests: 1000000}", sandbox.Fault{Status: 500}, 500},
		{"no breaker, resets", "breaker: {consecutive: 1000000, min_requests: 1000000}", sandbox.Fault{Reset: true}, 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := gatewaytest.Start(t, gatewaytest.Options{
				Backends: []string{"talkifai"}, PerBackend: c.settings + "\nmax_response_bytes: 1MiB" + uncached,
			})
			control := g.Vendors["talkifai"].Control()
			well := startLoad(t, g, callers)
			waittest.Until(t, "the retry budget to be full", func() bool { return well.responses.Load() >= 200 })
			well.stop()
			waittest.Until(t, "the breaker to be closed", func() bool {
				return g.Metrics().Sum("agentgw_breaker_state", `backend="talkifai"`, `state="closed"`) == 1
			})
			before := count(g)
			control.Fail(c.fault)
			began := time.Now()
			outage := startLoad(t, g, callers)
			waittest.Until(t, "requests to the provider", func() bool { return len(control.Requests())-before.received >= c.requests })
			outage.stop()
			took := time.Since(began)
			got := count(g).minus(before)
			letThrough := got.sent - got.retries
			t.Logf("%d requests were let through, %d sent: %.3f", letThrough, got.sent, float64(got.sent)/float64(letThrough))
			// The budget keeps ten retries from before, and allows one a second in any case. Outside
			// it, a read goes out again for each kept connection that the outage broke.
			if limit := float64(letThrough)*1.1 + 10 + took.Seconds() + callers; float64(got.sent) > limit || got.received > got.sent {
				t.Errorf("%d received, %d sent, %d let through", got.received, got.sent, letThrough)
			}
			if c.name == "no breaker, fails" && got.retries == 0 {
				t.Error("nothing was retried")
			}
		})
	}
}

// TestOutage_OtherBackendsAreUnaffected tests that a backend that never responds holds up no
// request to another one: with as many requests to it as there are callers, each hanging for
// good, each request to the other backend succeeds.
func TestOutage_OtherBackendsAreUnaffected(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backends: []string{"krosai", "talkifai"}, PerBackend: "max_response_bytes: 1MiB" + uncached,
	})
	r, err := g.Ask(context.Background(), "acme", "GET", "/v1/agents?backend=krosai", "")
	if err != nil {
		t.Fatal(err)
	}
	down := g.Vendors["talkifai"].Control()
	down.Fail(sandbox.Fault{Hang: true})
	hanging := startLoad(t, g, 64) // callers of more than a bulkhead's slots
	t.Cleanup(func() {             // the requests hang until the fault ends
		down.Heal()
		hanging.cancel()
	})
	waittest.Until(t, "requests to hang", func() bool { return len(down.Requests()) >= 8 })
	var callers sync.WaitGroup
	for _, a := range r.Body["data"].([]any) {
		id := a.(map[string]any)["id"].(string)
		callers.Go(func() {
			for range 100 {
				r, err := g.Ask(context.Background(), "acme", "GET", "/v1/agents/"+id, "")
				if err != nil || r.Status != 200 {
					t.Errorf("%v %d", err, r.Status)
					return
				}
			}
		})
	}
	callers.Wait()
}
