package backend

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// breaker is the circuit breaker of a backend. It opens when the share of failures in a
// rolling window, or the number of consecutive failures, reaches its limit. While it is
// open, requests are refused. After a backoff it is half open: one request is let through
// as a probe and decides whether it closes or opens again.
type breaker struct {
	provider  string
	gobreaker *gobreaker.CircuitBreaker[struct{}]
	notClosed atomic.Bool
	backoff   *breakerBackoff
	recent    outcomeWindow // guarded by gobreaker's lock
}

// newBreaker returns a closed breaker. It calls changed on each change of state, with how
// long the breaker stays open if it opens. changed runs under the breaker's lock and must
// not call the breaker.
func newBreaker(name, provider string, c config.Breaker, changed func(from, to string, openFor time.Duration)) *breaker {
	b := &breaker{provider: provider, backoff: newBreakerBackoff(c), recent: outcomeWindow{length: c.Window.D()}}
	b.gobreaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        name,
		MaxRequests: 1,
		// gobreaker's timeout is constant, so it is the shortest one and the middleware
		// waits for the backoff.
		Timeout: b.backoff.shortest(),
		// gobreaker counts a request in the window in which it began, and so misses the
		// failures of a backend that hangs. outcomeWindow counts it when it ends.
		ReadyToTrip: func(gobreaker.Counts) bool {
			calls, failures := b.recent.counts(time.Now())
			return b.recent.consecutive >= c.Consecutive || calls >= c.MinRequests && float64(failures) >= c.FailureRatio*float64(calls)
		},
		IsExcluded: func(err error) bool { return err != nil && problem.VerdictOf(err) == problem.VerdictNeutral },
		IsSuccessful: func(err error) bool {
			success := err == nil || problem.VerdictOf(err) == problem.VerdictSuccess
			b.recent.add(time.Now(), success)
			return success
		},
		// gobreaker calls it under its lock.
		OnStateChange: func(_ string, from, to gobreaker.State) {
			b.recent = outcomeWindow{length: c.Window.D()}
			var openFor time.Duration
			switch to {
			case gobreaker.StateOpen:
				openFor = b.backoff.start(time.Now())
			case gobreaker.StateClosed:
				b.backoff.stop(time.Now())
			}
			b.notClosed.Store(to != gobreaker.StateClosed)
			changed(stateName(from), stateName(to), openFor)
		},
	})
	return b
}

func (b *breaker) middleware() RoundTripMiddleware {
	return func(next adapters.RoundTrip) adapters.RoundTrip {
		return func(ctx context.Context, req *adapters.Request) error {
			if b.backoff.remaining() > 0 {
				return b.openError(req)
			}
			_, err := b.gobreaker.Execute(func() (struct{}, error) { return struct{}{}, next(ctx, req) })
			if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
				return b.openError(req)
			}
			return err
		}
	}
}

func (b *breaker) openError(req *adapters.Request) error {
	return &normalize.Error{
		Kind: normalize.KindBreakerOpen, Provider: b.provider, Op: string(req.Op),
		RetryAfter: b.retryAfter(), Message: "the circuit breaker is open",
	}
}

// state returns closed, open or half_open.
func (b *breaker) state() string {
	switch {
	case !b.notClosed.Load(): // a closed breaker only changes when a request ends
		return stateName(gobreaker.StateClosed)
	case b.backoff.remaining() > 0:
		return "open"
	}
	return stateName(b.gobreaker.State())
}

// retryAfter returns how long the breaker stays open, or a second while a probe runs.
func (b *breaker) retryAfter() time.Duration {
	return max(b.backoff.remaining(), time.Second)
}

func stateName(s gobreaker.State) string {
	switch s {
	case gobreaker.StateOpen:
		return "open"
	case gobreaker.StateHalfOpen:
		return "half_open"
	}
	return "closed"
}
