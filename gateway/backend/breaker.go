package backend

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// breaker stops asking a backend that keeps failing: at a share of failures in
// a rolling window, or at so many in a row. After a pause one request probes.
type breaker struct {
	provider  string
	gobreaker *gobreaker.CircuitBreaker[struct{}]
	tripped   atomic.Bool // it is not closed
	pause     *pause
	recent    window // under gobreaker's lock
}

// newBreaker makes one; changed is called under its lock, with how long it stays open if
// it opens.
func newBreaker(name, provider string, c config.Breaker, changed func(from, to string, openFor time.Duration)) *breaker {
	b := &breaker{provider: provider, pause: newPause(c), recent: window{length: c.Window.D()}}
	b.gobreaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        name,
		MaxRequests: 1,
		// gobreaker's own time is always the same; the pause is never shorter.
		Timeout: b.pause.shortest(),
		// gobreaker counts a request where it began: of the failures of a backend that
		// hangs it sees few, or none. The rules go by when requests ended.
		ReadyToTrip: func(gobreaker.Counts) bool {
			calls, failures := b.recent.counts(time.Now())
			return b.recent.row >= c.Consecutive || calls >= c.MinRequests && float64(failures) >= c.FailureRatio*float64(calls)
		},
		IsExcluded: func(err error) bool { return err != nil && problem.VerdictOf(err) == problem.VerdictNeutral },
		IsSuccessful: func(err error) bool {
			well := err == nil || problem.VerdictOf(err) == problem.VerdictSuccess
			b.recent.add(time.Now(), well)
			return well
		},
		// It runs under the breaker's lock: nothing here may ask the breaker.
		OnStateChange: func(_ string, from, to gobreaker.State) {
			b.recent = window{length: c.Window.D()}
			var openFor time.Duration
			switch to {
			case gobreaker.StateOpen:
				openFor = b.pause.begin(time.Now())
			case gobreaker.StateClosed:
				b.pause.end(time.Now())
			}
			b.tripped.Store(to != gobreaker.StateClosed)
			changed(stateName(from), stateName(to), openFor)
		},
	})
	return b
}

func (b *breaker) middleware() RoundTripMiddleware {
	return func(next adapters.RoundTrip) adapters.RoundTrip {
		return func(ctx context.Context, req *adapters.Request) error {
			if b.pause.left() > 0 {
				return b.refusal(req)
			}
			_, err := b.gobreaker.Execute(func() (struct{}, error) { return struct{}{}, next(ctx, req) })
			if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
				return b.refusal(req)
			}
			return err
		}
	}
}

func (b *breaker) refusal(req *adapters.Request) error {
	return &normalize.Error{Kind: normalize.KindBreakerOpen, Provider: b.provider, Op: string(req.Op), RetryAfter: b.retryAfter(), Message: "the breaker is open"}
}

// state is closed, open or half_open.
func (b *breaker) state() string {
	switch {
	case !b.tripped.Load(): // only a request's end changes that
		return stateName(gobreaker.StateClosed)
	case b.pause.left() > 0:
		return "open"
	}
	return stateName(b.gobreaker.State())
}

// retryAfter is how long the breaker stays open; at least a moment while a
// probe decides.
func (b *breaker) retryAfter() time.Duration {
	return max(b.pause.left(), time.Second)
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

// window is how requests ended lately, and in a row.
type window struct {
	length time.Duration
	row    int // failures since the last success
	steps  [windowSteps]struct {
		number          int64 // of the step since 1970; an older one counts no more
		calls, failures int
	}
}

// windowSteps is in how many steps the window moves.
const windowSteps = 10

func (w *window) step(now time.Time) int64 {
	return now.UnixNano() / max(1, int64(w.length)/windowSteps)
}

func (w *window) add(now time.Time, well bool) {
	number := w.step(now)
	s := &w.steps[number%windowSteps]
	if s.number != number {
		s.number, s.calls, s.failures = number, 0, 0
	}
	s.calls++
	w.row++
	if well {
		w.row = 0
	} else {
		s.failures++
	}
}

func (w *window) counts(now time.Time) (calls, failures int) {
	oldest := w.step(now) - windowSteps
	for _, s := range w.steps {
		if s.number > oldest {
			calls += s.calls
			failures += s.failures
		}
	}
	return calls, failures
}

// pause is how long a breaker stays open. It doubles each time that the breaker
// opens again, up to max_open_for, and halves for each window through which the
// breaker stayed closed, as Envoy's outlier detection has it. A tenth more or
// less keeps several gateways from probing together.
type pause struct {
	base, longest, window time.Duration

	mu       sync.Mutex
	length   time.Duration // of the last one, without the jitter
	until    time.Time
	closedAt time.Time // zero: not since it opened
}

const pauseJitter = 0.1

func newPause(c config.Breaker) *pause {
	return &pause{base: c.OpenFor.D(), longest: max(c.MaxOpenFor.D(), c.OpenFor.D()), window: c.Window.D()}
}

// shortest is the least that a pause can be.
func (p *pause) shortest() time.Duration {
	return max(1, time.Duration(float64(p.base)*(1-pauseJitter)))
}

// begin starts a pause and says how long it is.
func (p *pause) begin(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closedAt.IsZero() {
		p.length >>= min(62, now.Sub(p.closedAt)/p.window)
		p.closedAt = time.Time{}
	}
	p.length = min(max(2*p.length, p.base), p.longest)
	length := min(time.Duration(float64(p.length)*(1-pauseJitter+2*pauseJitter*rand.Float64())), p.longest)
	p.until = now.Add(length)
	return length
}

// end takes note that the breaker closed.
func (p *pause) end(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until, p.closedAt = time.Time{}, now
}

// left is how much of the pause is left.
func (p *pause) left() time.Duration {
	p.mu.Lock()
	until := p.until
	p.mu.Unlock()
	if until.IsZero() { // there is none
		return 0
	}
	return max(0, time.Until(until))
}
