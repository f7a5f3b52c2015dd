package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// breaker stops asking a backend that keeps failing: at a share of failures in
// a rolling window, or at so many in a row. After open_for one request probes.
type breaker struct {
	provider  string
	gobreaker *gobreaker.CircuitBreaker[struct{}]
	openFor   time.Duration
	openedAt  atomic.Int64 // Unix nanoseconds of the last opening
}

// bucket is the step in which the rolling window moves.
const bucket = time.Second

func newBreaker(name, provider string, c config.Breaker, t *telemetry.Telemetry, log *slog.Logger) *breaker {
	b := &breaker{provider: provider, openFor: c.OpenFor.D()}
	b.gobreaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         name,
		MaxRequests:  1,
		Interval:     c.Window.D(),
		BucketPeriod: min(bucket, c.Window.D()),
		Timeout:      c.OpenFor.D(),
		ReadyToTrip: func(counts gobreaker.Counts) bool {
			if counts.ConsecutiveFailures >= uint32(c.Consecutive) {
				return true
			}
			// Excluded calls stay in Requests (gobreaker 2.4).
			calls := counts.Requests - counts.TotalExclusions
			return calls >= uint32(c.MinRequests) && float64(counts.TotalFailures) >= c.FailureRatio*float64(calls)
		},
		IsExcluded:   func(err error) bool { return err != nil && verdictOf(err) == verdictNeutral },
		IsSuccessful: func(err error) bool { return err == nil || verdictOf(err) == verdictSuccess },
		// It runs under the breaker's lock: nothing here may ask the breaker.
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				b.openedAt.Store(time.Now().UnixNano())
			}
			t.BreakerChanged(name, stateName(from), stateName(to))
			log.Warn("breaker changed", "backend", name, "from", stateName(from), "to", stateName(to))
		},
	})
	return b
}

func (b *breaker) middleware() ExchangeMiddleware {
	return func(next adapters.Exchange) adapters.Exchange {
		return func(ctx context.Context, req *adapters.Request) error {
			_, err := b.gobreaker.Execute(func() (struct{}, error) { return struct{}{}, next(ctx, req) })
			if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
				return &normalize.Error{Kind: normalize.KindBreakerOpen, Provider: b.provider, Op: string(req.Op), RetryAfter: b.retryAfter(), Message: "the breaker is open"}
			}
			return err
		}
	}
}

// state is closed, open or half_open.
func (b *breaker) state() string { return stateName(b.gobreaker.State()) }

// retryAfter is how long the breaker stays open; at least a moment while a
// probe decides.
func (b *breaker) retryAfter() time.Duration {
	left := b.openFor - time.Since(time.Unix(0, b.openedAt.Load()))
	return max(left, time.Second)
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
