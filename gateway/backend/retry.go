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

// retrier sends a read once more if its failure may be transient. It never sends a write
// twice.
type retrier struct {
	backend       string
	timeout       time.Duration                // of one request
	breakerClosed func(credential string) bool // a probe of a half-open breaker is not retried
	budget        *retryBudget
}

const (
	// The delay before a retry is random between these.
	retryDelayMin = 20 * time.Millisecond
	retryDelayMax = 120 * time.Millisecond
	// maxRetryAfter is the longest Retry-After that is waited for while the caller waits.
	maxRetryAfter = time.Second
)

func (r *retrier) middleware(t *telemetry.Telemetry) RoundTripMiddleware {
	return func(next adapters.RoundTrip) adapters.RoundTrip {
		return func(ctx context.Context, req *adapters.Request) error {
			decode, header := req.Decode, req.Header // the middlewares below replace them in each attempt
			err := next(ctx, req)
			if !notSent(err) {
				r.budget.deposit()
			}
			failure, ok := err.(*normalize.Error)
			if !ok || !problem.Outcomes[failure.Kind].Retry || !req.Op.IsRead() || !r.breakerClosed(req.Credential.ID()) {
				return err
			}
			delay := failure.RetryAfter + retryDelayMin + rand.N(retryDelayMax-retryDelayMin)
			if failure.RetryAfter > maxRetryAfter || !r.hasTime(ctx, delay) {
				return err
			}
			// A pooled connection that was closed is no sign of trouble at the backend.
			if !failure.StaleConnection && !r.budget.withdraw(time.Now()) {
				return err
			}
			if !Sleep(ctx, delay) {
				return err
			}
			second := *req
			second.Decode, second.Header, second.Response, second.Resend = decode, header, adapters.Response{}, 1
			secondErr := next(ctx, &second)
			if notSent(secondErr) {
				return err
			}
			t.CountRetry(r.backend)
			return secondErr
		}
	}
}

// hasTime reports whether a request that starts after the delay has a quarter of the
// request timeout left before the deadline.
func (r *retrier) hasTime(ctx context.Context, delay time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > delay+r.timeout/4
}

// notSent reports whether the request never left the gateway.
func notSent(err error) bool {
	failure, ok := err.(*normalize.Error)
	if !ok {
		return false
	}
	switch failure.Kind {
	case normalize.KindBreakerOpen, normalize.KindBusy:
		return true
	case normalize.KindRateLimited:
		return failure.Status == 0 // by our own quota
	}
	return failure.Unsent
}

// Sleep waits for d. It returns false if ctx ended first.
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

// retryBudget bounds retries to a tenth of the requests sent, but allows one each second, so
// that retries do not double the load on a failing backend (as in Finagle; see also the SRE
// book, "Handling Overload"). At most maxRetryTokens accumulate. It is safe for concurrent
// use.
type retryBudget struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time // when a retry was last allowed
}

const (
	retryRatio     = 0.1 // of the requests sent
	maxRetryTokens = 10
)

// deposit counts a request that was sent.
func (b *retryBudget) deposit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+retryRatio, maxRetryTokens)
}

// withdraw reports whether a retry is allowed, and counts it.
func (b *retryBudget) withdraw(now time.Time) bool {
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
