package backend

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/agentgw/agentgw/config"
)

// breakerBackoff is how long a breaker stays open. It starts with open_for, doubles each
// time that the breaker opens again, up to max_open_for, and halves for each window during
// which the breaker stayed closed, as in Envoy's outlier detection. Jitter of a tenth keeps
// several gateways from probing together. It is safe for concurrent use.
type breakerBackoff struct {
	base, limit, window time.Duration

	mu       sync.Mutex
	length   time.Duration // the last one, without jitter
	until    time.Time     // zero: not open
	closedAt time.Time     // zero: not closed since it last opened
}

const backoffJitter = 0.1

func newBreakerBackoff(c config.Breaker) *breakerBackoff {
	return &breakerBackoff{base: c.OpenFor.D(), limit: max(c.MaxOpenFor.D(), c.OpenFor.D()), window: c.Window.D()}
}

// shortest returns the least that start can return.
func (b *breakerBackoff) shortest() time.Duration {
	return max(1, time.Duration(float64(b.base)*(1-backoffJitter)))
}

// start begins a backoff and returns its length.
func (b *breakerBackoff) start(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closedAt.IsZero() {
		b.length >>= min(62, now.Sub(b.closedAt)/b.window)
		b.closedAt = time.Time{}
	}
	b.length = min(max(2*b.length, b.base), b.limit)
	length := min(time.Duration(float64(b.length)*(1-backoffJitter+2*backoffJitter*rand.Float64())), b.limit)
	b.until = now.Add(length)
	return length
}

// stop records that the breaker closed.
func (b *breakerBackoff) stop(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.until, b.closedAt = time.Time{}, now
}

// remaining returns how much of the backoff is left; 0 if there is none.
func (b *breakerBackoff) remaining() time.Duration {
	b.mu.Lock()
	until := b.until
	b.mu.Unlock()
	if until.IsZero() {
		return 0
	}
	return max(0, time.Until(until))
}
