package auth

import (
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/agentgw/agentgw/config"
)

// RateLimit limits the requests of one key with a token bucket. It is safe for concurrent use.
type RateLimit struct {
	Config  config.KeyRate
	Policy  string // value of the RateLimit-Policy header
	limiter *rate.Limiter
}

// newRateLimit returns the limit of a configuration, nil for none. If the configuration is
// unchanged, it returns the previous limit, which keeps its count.
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

// Take counts a request and returns 0, or returns how long to wait before the next one is
// allowed.
func (l *RateLimit) Take(now time.Time) (wait time.Duration) {
	if l.limiter.AllowN(now, 1) {
		return 0
	}
	missing := 1 - l.limiter.TokensAt(now)
	return max(time.Millisecond, time.Duration(missing/float64(l.limiter.Limit())*float64(time.Second)))
}

// Header returns the value of the RateLimit header field
// (draft-ietf-httpapi-ratelimit-headers).
func (l *RateLimit) Header(now time.Time) string {
	remaining, reset := l.remaining(now)
	return fmt.Sprintf(`"key";r=%d;t=%d`, remaining, reset)
}

// remaining returns how many requests are allowed at once now, and the seconds until the
// whole burst is allowed again.
func (l *RateLimit) remaining(now time.Time) (requests int, resetS int) {
	tokens := l.limiter.TokensAt(now)
	missing := float64(l.limiter.Burst()) - tokens
	return max(0, int(tokens)), int(missing/float64(l.limiter.Limit()) + 0.999)
}
