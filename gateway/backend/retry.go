package backend

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// retries send a read that failed once more, where its failure may be a passing
// one. A write is never sent twice.
type retries struct {
	backend string
	timeout time.Duration // of one request
	closed  func() bool   // the breaker is: neither is the backend out, nor is this its probe
	budget  *retryBudget
}

// How long a retry waits: long enough for a passing failure to pass, and for
// many retries not to come at once.
const (
	retryDelayMin = 20 * time.Millisecond
	retryDelayMax = 120 * time.Millisecond
	// retryPatience is how long a wait that the backend asks for can be for the
	// caller to be kept waiting.
	retryPatience = time.Second
)

func (r *retries) middleware(t *telemetry.Telemetry) RoundTripMiddleware {
	return func(next adapters.RoundTrip) adapters.RoundTrip {
		return func(ctx context.Context, req *adapters.Request) error {
			decode, header := req.Decode, req.Header // what wraps one attempt must not wrap the next
			err := next(ctx, req)
			if !notSent(err) {
				r.budget.called()
			}
			failure, ok := err.(*normalize.Error)
			if !ok || !problem.Outcomes[failure.Kind].Retry || !isRead(req.Op) || !r.closed() {
				return err
			}
			delay := failure.RetryAfter + retryDelayMin + rand.N(retryDelayMax-retryDelayMin)
			if failure.RetryAfter > retryPatience || !r.inTime(ctx, delay) {
				return err
			}
			// A kept connection that turns out to be dead says nothing of the backend.
			if !failure.StaleConnection && !r.budget.take(time.Now()) {
				return err
			}
			if !Sleep(ctx, delay) {
				return err
			}
			again := *req
			again.Decode, again.Header, again.Response, again.Resend = decode, header, adapters.Response{}, 1
			last := next(ctx, &again)
			if notSent(last) {
				return err
			}
			t.CountRetry(r.backend)
			return last
		}
	}
}

// inTime reports whether a request that begins after the delay would have a
// chance to end in time.
func (r *retries) inTime(ctx context.Context, delay time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > delay+r.timeout/4
}

func isRead(op adapters.Operation) bool { return op == adapters.OpList || op == adapters.OpGet }

// notSent reports whether a request was refused by ourselves.
func notSent(err error) bool {
	failure, ok := err.(*normalize.Error)
	if !ok {
		return false
	}
	switch failure.Kind {
	case normalize.KindBreakerOpen, normalize.KindBusy:
		return true
	case normalize.KindRateLimited:
		return failure.Status == 0
	}
	return failure.Unsent
}

// Sleep is false if ctx ended first.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// retryBudget bounds retries to a tenth of the calls, and at least one a second
// (as Finagle has it, and the SRE book's chapter on overload): a backend that fails
// everybody must not be asked twice as often for it. What good times leave unused is
// kept for a few retries only, so that an outage begins with no more.
type retryBudget struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time // when a retry was last allowed
}

const (
	retryShare  = 0.1 // of the calls
	retryTokens = 10  // at most kept
)

func (b *retryBudget) called() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+retryShare, retryTokens)
}

// take counts a retry if there is room for one.
func (b *retryBudget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.tokens >= 1:
		b.tokens--
	case now.Sub(b.last) < time.Second:
		return false
	}
	b.last = now
	return true
}
