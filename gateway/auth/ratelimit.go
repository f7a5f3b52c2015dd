package auth

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/agentgw/agentgw/config"
)

// RateLimit bounds a key's requests.
type RateLimit struct {
	Config  config.KeyRate
	limiter *rate.Limiter
	Policy  string // value of the RateLimit-Policy header
}

// newRateLimit keeps the previous limit if it says the same.
func newRateLimit(c *config.KeyRate, previous *RateLimit) *RateLimit {
	if c == nil {
		return nil
	}
	if previous != nil && previous.Config == *c {
		return previous
	}
	perSecond := float64(c.Requests) / c.Per.D().Seconds()
	burst := c.Burst
	if burst == 0 {
		burst = c.Requests
	}
	policy := fmt.Sprintf(`"key";q=%d;w=%d`, c.Requests, max(1, int(c.Per.D().Seconds())))
	return &RateLimit{Config: *c, limiter: rate.NewLimiter(rate.Limit(perSecond), burst), Policy: policy}
}

// Take counts a request, or says how long to wait for the next.
func (l *RateLimit) Take(now time.Time) (wait time.Duration) {
	if l.limiter.AllowN(now, 1) {
		return 0
	}
	missing := 1 - l.limiter.TokensAt(now)
	return max(time.Millisecond, time.Duration(missing/float64(l.limiter.Limit())*float64(time.Second)))
}

// Header returns the value of the RateLimit header (draft-ietf-httpapi-ratelimit-headers).
func (l *RateLimit) Header(now time.Time) string {
	remaining, reset := l.remaining(now)
	return fmt.Sprintf(`"key";r=%d;t=%d`, remaining, reset)
}

// remaining is how many requests may come at once now, and in how many seconds
// all of them may again.
func (l *RateLimit) remaining(now time.Time) (requests int, resetS int) {
	tokens := l.limiter.TokensAt(now)
	missing := float64(l.limiter.Burst()) - tokens
	return max(0, int(tokens)), int(missing/float64(l.limiter.Limit()) + 0.999)
}
