package gateway

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/normalize"
)

// quotas keep each credential of a backend within what the vendor allows it,
// and let one rest that the vendor asked to.
type quotas struct {
	mu           sync.Mutex
	rate         *config.Rate // nil: no limit but the vendor's own word
	byCredential map[string]*quota
}

// quota is one credential's: when its requests of the window left, the oldest
// first, and until when it rests.
type quota struct {
	sent      []time.Time
	restUntil time.Time
}

func newQuotas() *quotas { return &quotas{byCredential: map[string]*quota{}} }

// limit sets what the vendor allows. What is known to have been sent counts;
// without a limit, or beyond the window there was, nothing is noted.
func (q *quotas) limit(rate *config.Rate) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rate = rate
}

// defaultRest is how long a credential rests after a 429 that does not say.
const defaultRest = time.Second

func (q *quotas) middleware(provider string) ExchangeMiddleware {
	return func(next adapters.Exchange) adapters.Exchange {
		return func(ctx context.Context, req *adapters.Request) error {
			id := req.Credential.ID()
			if wait := q.take(id, time.Now()); wait > 0 {
				return &normalize.Error{Kind: normalize.KindRateLimited, Provider: provider, Op: string(req.Op), RetryAfter: wait, Message: fmt.Sprintf("the quota for this credential is used up for %s", wait.Round(time.Millisecond))}
			}
			err := next(ctx, req)
			if failure, ok := err.(*normalize.Error); ok && failure.Kind == normalize.KindRateLimited {
				if failure.RetryAfter == 0 {
					failure.RetryAfter = defaultRest
				}
				q.rest(id, time.Now().Add(failure.RetryAfter))
			}
			return err
		}
	}
}

// take counts a request, or says how long to wait for the next.
func (q *quotas) take(id string, now time.Time) (wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.byCredential[id]
	if c == nil {
		c = &quota{}
		q.byCredential[id] = c
	}
	if wait := c.restUntil.Sub(now); wait > 0 {
		return wait
	}
	if q.rate == nil {
		return 0
	}
	if wait := q.wait(c, now); wait > 0 {
		return wait
	}
	c.sent = append(c.sent, now)
	return 0
}

// wait forgets what has left the window and is how long until there is room in
// it for one more.
func (q *quotas) wait(c *quota, now time.Time) time.Duration {
	left := 0
	for left < len(c.sent) && now.Sub(c.sent[left]) >= q.rate.Per.D() {
		left++
	}
	c.sent = slices.Delete(c.sent, 0, left)
	if over := len(c.sent) - q.rate.Requests; over >= 0 {
		return c.sent[over].Add(q.rate.Per.D()).Sub(now)
	}
	return 0
}

func (q *quotas) rest(id string, until time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c := q.byCredential[id]; c != nil && until.After(c.restUntil) {
		c.restUntil = until
	}
}

// quotaView is a credential's quota as GET /v1/backends shows it.
type quotaView struct {
	Requests    int     `json:"requests"`
	PerS        float64 `json:"per_s"`
	Remaining   int     `json:"remaining"`
	RetryAfterS *int    `json:"retry_after_s"`
}

// view is nil where no quota is set.
func (q *quotas) view(id string, now time.Time) *quotaView {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.rate == nil {
		return nil
	}
	v := &quotaView{Requests: q.rate.Requests, PerS: q.rate.Per.D().Seconds(), Remaining: q.rate.Requests}
	c := q.byCredential[id]
	if c == nil {
		return v
	}
	wait := max(q.wait(c, now), c.restUntil.Sub(now))
	v.Remaining = q.remaining(c, now)
	if wait > 0 {
		s := retryAfterSeconds(wait)
		v.RetryAfterS = &s
	}
	return v
}

// remaining is of a quota whose window was just looked at by wait.
func (q *quotas) remaining(c *quota, now time.Time) int {
	if c.restUntil.After(now) {
		return 0
	}
	return max(0, q.rate.Requests-len(c.sent))
}

// lowest is what the credential that has least left has left.
func (q *quotas) lowest() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.rate == nil {
		return 0
	}
	low, now := q.rate.Requests, time.Now()
	for _, c := range q.byCredential {
		q.wait(c, now)
		low = min(low, q.remaining(c, now))
	}
	return int64(low)
}

// forget drops the state of credentials that no key maps to any more, once it
// says nothing: a key that comes back within the window has what was left.
func (q *quotas) forget(inUse map[string]bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for id, c := range q.byCredential {
		if q.rate != nil {
			q.wait(c, now)
		} else {
			c.sent = nil
		}
		if !inUse[id] && len(c.sent) == 0 && !c.restUntil.After(now) {
			delete(q.byCredential, id)
		}
	}
}
