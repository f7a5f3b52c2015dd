package backend

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// circuit is one level of a breaker. It opens when the share of failures in a rolling window,
// or the number of consecutive failures, reaches its limit. While it is open, requests are
// refused. After a backoff it is half open: one request is let through as a probe and decides
// whether it closes or opens again.
type circuit struct {
	provider  string
	gobreaker *gobreaker.CircuitBreaker[struct{}]
	notClosed atomic.Bool
	backoff   *breakerBackoff
	recent    outcomeWindow // guarded by gobreaker's lock
}

// outcome is how a request ended, for gobreaker. Only failures have an account.
type outcome struct {
	error
	excluded bool // says nothing about what the circuit guards
	success  bool // counts as one
	account  string
}

// newCircuit returns a closed circuit. It calls changed on each change of state, with how long
// the circuit stays open if it opens. changed runs under the circuit's lock and must not call
// the circuit. weigh returns how many failures, by account, count together.
func newCircuit(name, provider string, c config.Breaker, weigh func(byAccount map[string]int) int, changed func(from, to string, openFor time.Duration)) *circuit {
	b := &circuit{provider: provider, backoff: newBreakerBackoff(c), recent: newOutcomeWindow(c.Window.D())}
	b.gobreaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        name,
		MaxRequests: 1,
		// gobreaker's timeout is constant, so it is the shortest one and do waits for the
		// backoff.
		Timeout: b.backoff.shortest(),
		// gobreaker counts a request in the window in which it began, and so misses the
		// failures of a backend that hangs. outcomeWindow counts it when it ends.
		ReadyToTrip: func(gobreaker.Counts) bool {
			if weigh(b.recent.consecutive) >= int(c.Consecutive) {
				return true
			}
			calls, byAccount := b.recent.counts(time.Now())
			failures := weigh(byAccount)
			calls -= sum(byAccount) - failures
			return calls >= int(c.MinRequests) && float64(failures) >= c.FailureRatio*float64(calls)
		},
		IsExcluded: func(err error) bool {
			o, _ := err.(outcome)
			return o.excluded || err != nil && !o.success && problem.VerdictOf(err) == problem.VerdictNeutral
		},
		IsSuccessful: func(err error) bool {
			o, _ := err.(outcome)
			if err == nil || o.success || problem.VerdictOf(err) == problem.VerdictSuccess {
				b.recent.addSuccess(time.Now())
				return true
			}
			b.recent.addFailure(time.Now(), o.account)
			return false
		},
		// gobreaker calls it under its lock.
		OnStateChange: func(_ string, from, to gobreaker.State) {
			b.recent = newOutcomeWindow(c.Window.D())
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

// Unwrap returns the failure itself.
func (o outcome) Unwrap() error { return o.error }

// do sends a request unless the circuit is open. classify says how a failure counts.
func (b *circuit) do(op adapters.Operation, send func() error, classify func(error) outcome) error {
	if b.backoff.remaining() > 0 {
		return b.openError(op)
	}
	var failure error
	_, err := b.gobreaker.Execute(func() (struct{}, error) {
		if failure = send(); failure == nil {
			return struct{}{}, nil
		}
		return struct{}{}, classify(failure)
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return b.openError(op)
	}
	return failure
}

func (b *circuit) openError(op adapters.Operation) error {
	return &normalize.Error{
		Kind: normalize.KindBreakerOpen, Provider: b.provider, Op: string(op),
		RetryAfter: b.retryAfter(), Message: "the circuit breaker is open",
	}
}

// state returns closed, open or half_open.
func (b *circuit) state() string {
	switch {
	case !b.notClosed.Load(): // a closed circuit only changes when a request ends
		return stateName(gobreaker.StateClosed)
	case b.backoff.remaining() > 0:
		return "open"
	}
	return stateName(b.gobreaker.State())
}

// retryAfter returns how long the circuit stays open, or a second while a probe runs.
func (b *circuit) retryAfter() time.Duration {
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
