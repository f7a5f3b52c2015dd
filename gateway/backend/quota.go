package backend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// quotas limits the requests of each credential of a backend: to the configured rate, to
// what the provider's rate-limit headers say is left, and, after a 429, to none until its
// Retry-After has passed. It is safe for concurrent use.
type quotas struct {
	mu           sync.Mutex
	rate         *config.Rate // nil: no configured limit
	byCredential map[string]*quota
}

// quota is the state of one credential, guarded by quotas.mu.
//
// The configured rate is checked against a log of the window's requests and not with a
// token bucket, which allows up to twice its size within one window. A request counts from
// its start until one window after its end, because it is unknown when in between the
// provider counts it.
type quota struct {
	running         int
	ended           []time.Time    // when requests of the window ended, oldest first
	admitted        uint64         // requests so far; also the number of the last one
	reported        *providerLimit // nil: no rate-limit header that is still valid
	blockedUntil    time.Time      // because of a 429
	unspecified429s int            // consecutive 429s without Retry-After
}

// providerLimit is the latest rate limit that the provider reported. It includes every
// request that was answered before; running requests may or may not be included.
type providerLimit struct {
	limit     int
	remaining int       // the lowest report, minus the requests that ended without one since
	resetAt   time.Time // the report is valid until then
	asOf      uint64    // the number of the last request admitted before the report
}

// requestOutcome is how a request ended, as far as quotas are concerned.
type requestOutcome struct {
	sent        bool // the provider may have counted it
	rateLimited bool
	rateLimit   adapters.RateLimit // from the response's headers
}

func newQuotas() *quotas { return &quotas{byCredential: map[string]*quota{}} }

const (
	// The wait after a 429 without Retry-After. It doubles with each consecutive one.
	minBackoff = time.Second
	maxBackoff = time.Minute

	// 1/foregroundReserve of a quota, rounded down, is not available to requests with
	// background priority.
	foregroundReserve = 5

	// recheckAfter is the wait where running requests may account for all that is left:
	// their responses soon tell.
	recheckAfter = time.Second

	// resetTolerance is by how much reports of the same window may differ in their reset
	// times: providers round.
	resetTolerance = 2 * time.Second
)

// setRate sets the configured limit; nil for none. Requests sent before still count, as far
// back as the previous window reached.
func (q *quotas) setRate(rate *config.Rate) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rate = rate
}

func (q *quotas) middleware(b *Backend) RoundTripMiddleware {
	return func(next adapters.RoundTrip) adapters.RoundTrip {
		return func(ctx context.Context, req *adapters.Request) error {
			background := HasBackgroundPriority(ctx)
			c := b.Tenant(req.Credential).quota
			number, wait := q.acquire(c, time.Now(), background)
			if wait > 0 {
				return quotaExhausted(b, req, wait, background)
			}
			outcome := requestOutcome{sent: true} // also after a panic
			defer func() {
				now := time.Now()
				if req.Response.Status != 0 {
					outcome.rateLimit = adapters.ReadRateLimit(req.Response.Header, now)
				}
				q.release(c, number, outcome, now)
			}()
			err := next(ctx, req)
			failure, ok := err.(*normalize.Error)
			switch {
			case !ok:
			case failure.Kind == normalize.KindRateLimited:
				outcome.rateLimited = true
				failure.RetryAfter = q.block(c, failure.RetryAfter, time.Now())
			case req.Response.Status == 0 && !problem.Outcomes[failure.Kind].Ambiguous:
				outcome.sent = false
			}
			return err
		}
	}
}

func quotaExhausted(b *Backend, req *adapters.Request, wait time.Duration, background bool) error {
	message := "the quota of this credential is used up; retry in %s"
	if background {
		message = "the rest of this credential's quota is reserved for foreground requests; retry in %s"
	}
	return &normalize.Error{
		Kind: normalize.KindRateLimited, Provider: b.Info.Provider, Op: string(req.Op),
		RetryAfter: wait, Message: fmt.Sprintf(message, wait.Round(time.Millisecond)),
	}
}

// forCredential returns the quota of the credential with that ID.
func (q *quotas) forCredential(id string) *quota {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.byCredential[id]
	if c == nil {
		c = &quota{}
		q.byCredential[id] = c
	}
	return c
}

// acquire admits a request and returns its number, to be passed to release; or it returns
// how long to wait.
func (q *quotas) acquire(c *quota, now time.Time, background bool) (number uint64, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if wait := q.wait(c, now, background); wait > 0 {
		return 0, wait
	}
	c.admitted++
	c.running++
	return c.admitted, 0
}

// wait returns how long until another request is admitted; zero or less if one is now. It
// drops what is out of date first.
func (q *quotas) wait(c *quota, now time.Time, background bool) time.Duration {
	q.expire(c, now)
	wait := max(c.blockedUntil.Sub(now), c.providerWait(now, background))
	if q.rate != nil {
		wait = max(wait, c.rateWait(q.rate, now, background))
	}
	return wait
}

// expire drops an expired report and the requests that are no longer in the window, which
// are all of them if no rate is configured.
func (q *quotas) expire(c *quota, now time.Time) {
	if c.reported != nil && !c.reported.resetAt.After(now) {
		c.reported = nil
	}
	expired := len(c.ended)
	if q.rate != nil {
		expired = 0
		for expired < len(c.ended) && now.Sub(c.ended[expired]) >= q.rate.Per.D() {
			expired++
		}
	}
	c.ended = slices.Delete(c.ended, 0, expired)
}

// providerWait returns the wait by the reported limit.
func (c *quota) providerWait(now time.Time, background bool) time.Duration {
	if c.reported == nil {
		return 0
	}
	reserved := reservedOf(c.reported.limit, background)
	if c.reported.remaining-c.running > reserved {
		return 0
	}
	untilReset := c.reported.resetAt.Sub(now)
	if c.reported.remaining > reserved { // the report may include some of the running requests
		return min(untilReset, recheckAfter)
	}
	return untilReset
}

// rateWait returns the wait by the configured rate.
func (c *quota) rateWait(rate *config.Rate, now time.Time, background bool) time.Duration {
	over := c.running + len(c.ended) - (rate.Requests - reservedOf(rate.Requests, background))
	if over < 0 {
		return 0
	}
	slotEnded := now // a running request ends now at the earliest
	if over < len(c.ended) {
		slotEnded = c.ended[over]
	}
	return slotEnded.Add(rate.Per.D()).Sub(now)
}

// reservedOf returns how much of a limit a request may not use.
func reservedOf(limit int, background bool) int {
	if !background {
		return 0
	}
	return limit / foregroundReserve
}

// release ends an admitted request and records what its response reports.
func (q *quotas) release(c *quota, number uint64, outcome requestOutcome, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c.running--
	if !outcome.sent {
		return
	}
	if q.rate != nil {
		c.ended = append(c.ended, now)
	}
	if !outcome.rateLimited {
		c.unspecified429s = 0
	}
	c.record(number, outcome.rateLimit, now)
}

// record updates the reported limit with that of the response to a request.
func (c *quota) record(number uint64, l adapters.RateLimit, now time.Time) {
	resetAt := now.Add(l.Reset)
	switch {
	case !l.Known:
		if c.reported != nil {
			c.reported.remaining--
		}
	case c.reported == nil || number > c.reported.asOf:
		unreported := max(0, int(c.admitted-number)-c.running) // admitted later and already ended
		c.reported = &providerLimit{limit: l.Limit, remaining: l.Remaining - unreported, resetAt: resetAt, asOf: c.admitted}
	case resetAt.Before(c.reported.resetAt.Add(-resetTolerance)):
		// The report is of an earlier window.
	default:
		// The request overlapped with the one that reported before: either may be newer.
		c.reported.remaining = min(c.reported.remaining, l.Remaining)
	}
}

// block admits no request of the credential for retryAfter after a 429, or for an
// exponential backoff if that is 0. It returns the wait.
func (q *quotas) block(c *quota, retryAfter time.Duration, now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if retryAfter == 0 {
		if left := c.blockedUntil.Sub(now); left > 0 {
			return left // a concurrent request was refused before
		}
		retryAfter = minBackoff << min(c.unspecified429s, 30)
		retryAfter = min(retryAfter+rand.N(retryAfter/4), maxBackoff)
		c.unspecified429s++
	}
	if until := now.Add(retryAfter); until.After(c.blockedUntil) {
		c.blockedUntil = until
	}
	return retryAfter
}

// retain drops the state of credentials that are not in use, unless it still limits them: a
// key that is removed and added again within the window gets no new quota.
func (q *quotas) retain(inUse map[string]bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for id, c := range q.byCredential {
		q.expire(c, now)
		if !inUse[id] && c.running == 0 && len(c.ended) == 0 && c.reported == nil && !c.blockedUntil.After(now) {
			delete(q.byCredential, id)
		}
	}
}
