package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// quotas keep each credential of a backend within what the vendor allows it,
// and let one rest that the vendor asked to.
type quotas struct {
	rate *config.Rate // nil: no limit but the vendor's own word

	mu           sync.Mutex
	byCredential map[string]*quota
}

// quota is one credential's: when its last requests left, and until when it
// rests.
type quota struct {
	sent      []time.Time // a ring of the last rate.Requests
	next      int
	restUntil time.Time
}

func newQuotas(name string, rate *config.Rate, t *telemetry.Telemetry) *quotas {
	q := &quotas{rate: rate, byCredential: map[string]*quota{}}
	if rate != nil {
		t.ObserveQuota(name, q.lowest)
	}
	return q
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
		if q.rate != nil {
			c.sent = make([]time.Time, q.rate.Requests)
		}
		q.byCredential[id] = c
	}
	if wait := c.restUntil.Sub(now); wait > 0 {
		return wait
	}
	if q.rate == nil {
		return 0
	}
	// The slot to be used next holds the oldest of the last so-many requests;
	// once it has left the window, there is room for one more.
	if wait := c.sent[c.next].Add(q.rate.Per.D()).Sub(now); wait > 0 && !c.sent[c.next].IsZero() {
		return wait
	}
	c.sent[c.next] = now
	c.next = (c.next + 1) % len(c.sent)
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
	Requests    int      `json:"requests"`
	PerS        float64  `json:"per_s"`
	Remaining   int      `json:"remaining"`
	RetryAfterS *float64 `json:"retry_after_s"`
}

// view is nil where no quota is set.
func (q *quotas) view(id string, now time.Time) *quotaView {
	if q.rate == nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	v := &quotaView{Requests: q.rate.Requests, PerS: q.rate.Per.D().Seconds(), Remaining: q.rate.Requests}
	c := q.byCredential[id]
	if c == nil {
		return v
	}
	v.Remaining = q.remaining(c, now)
	if v.Remaining == 0 {
		wait := max(c.sent[c.next].Add(q.rate.Per.D()).Sub(now), c.restUntil.Sub(now), 0).Seconds()
		v.RetryAfterS = &wait
	}
	return v
}

func (q *quotas) remaining(c *quota, now time.Time) int {
	if c.restUntil.After(now) {
		return 0
	}
	used := 0
	for _, at := range c.sent {
		if !at.IsZero() && now.Sub(at) < q.rate.Per.D() {
			used++
		}
	}
	return q.rate.Requests - used
}

// lowest is what the credential that has least left has left.
func (q *quotas) lowest() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	low, now := q.rate.Requests, time.Now()
	for _, c := range q.byCredential {
		low = min(low, q.remaining(c, now))
	}
	return int64(low)
}

// forget drops the state of credentials that no key maps to any more.
func (q *quotas) forget(inUse map[string]bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id := range q.byCredential {
		if !inUse[id] {
			delete(q.byCredential, id)
		}
	}
}
