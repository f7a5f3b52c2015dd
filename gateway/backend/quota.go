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

// quotas keep each credential of a backend within what the vendor allows it: by
// configuration, by what the vendor's answers say is left, and by letting one
// rest that the vendor asked to.
type quotas struct {
	mu           sync.Mutex
	rate         *config.Rate // nil: no limit but the vendor's own word
	byCredential map[string]*quota
}

// quota is one credential's. The requests of the window are a log rather than a
// bucket of tokens, which lets twice its size through around a moment. A request
// stays in the window from when it is let through until a window after it ended:
// when in between the vendor counts it is not known.
type quota struct {
	running   int
	ended     []time.Time // of the window, the oldest first
	taken     uint64      // ever; the number of the last one
	told      *told       // nil: the vendor said nothing that still holds
	restUntil time.Time
	strikes   int // 429s in a row that did not say how long
}

// told is what the vendor said last is left. It counts all that it had got by then:
// of what was answered, nothing is to be taken off; of what runs, it may have seen
// none.
type told struct {
	limit int
	least int       // of what the answers said, less what ended without saying
	until time.Time // it holds
	asOf  uint64    // the last request that had been let through
}

func newQuotas() *quotas { return &quotas{byCredential: map[string]*quota{}} }

// limit sets what the vendor allows. What is known to have been sent counts;
// without a limit, or beyond the window there was, nothing is noted.
func (q *quotas) limit(rate *config.Rate) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rate = rate
}

// How long a credential rests after a 429 that does not say: twice as long each
// time in a row.
const (
	restMin = time.Second
	restMax = time.Minute
)

// callersShare of a quota, rounded down, is kept for callers: what nobody waits
// for leaves it alone.
const callersShare = 5

func (q *quotas) middleware(of *Backend) RoundTripMiddleware {
	return func(next adapters.RoundTrip) adapters.RoundTrip {
		return func(ctx context.Context, req *adapters.Request) error {
			behind := HasBackgroundPriority(ctx)
			c := of.Tenant(req.Credential).quota
			number, wait := q.take(c, time.Now(), behind)
			if wait > 0 {
				said := "the quota for this credential is used up for %s"
				if behind {
					said = "what is left of the quota for this credential is kept for callers for %s"
				}
				return &normalize.Error{Kind: normalize.KindRateLimited, Provider: of.Info.Provider, Op: string(req.Op), RetryAfter: wait, Message: fmt.Sprintf(said, wait.Round(time.Millisecond))}
			}
			e := ending{sent: true} // also if it panics
			defer func() {
				now := time.Now()
				if req.Response.Status != 0 {
					e.limit = adapters.ReadRateLimit(req.Response.Header, now)
				}
				q.done(c, number, e, now)
			}()
			err := next(ctx, req)
			failure, ok := err.(*normalize.Error)
			switch {
			case !ok:
			case failure.Kind == normalize.KindRateLimited:
				e.limited = true
				failure.RetryAfter = q.rest(c, failure.RetryAfter, time.Now())
			case req.Response.Status == 0 && !problem.Outcomes[failure.Kind].Lost:
				e.sent = false
			}
			return err
		}
	}
}

// ending is how a request ended.
type ending struct {
	sent, limited bool
	limit         adapters.RateLimit
}

// of is the quota of a credential, by its ID.
func (q *quotas) of(id string) *quota {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.byCredential[id]
	if c == nil {
		c = &quota{}
		q.byCredential[id] = c
	}
	return c
}

// take counts a request of a credential, until done, and gives it a number; or says how long to
// wait for the next. One that nobody waits for finds the reserve taken.
func (q *quotas) take(c *quota, now time.Time, behind bool) (number uint64, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if wait := q.wait(c, now, behind); wait > 0 {
		return 0, wait
	}
	c.taken++
	c.running++ // it stays while any runs
	return c.taken, 0
}

// wait is how long until there is room for one more. It forgets what holds no
// longer.
func (q *quotas) wait(c *quota, now time.Time, behind bool) time.Duration {
	wait := c.restUntil.Sub(now)
	reserve := func(limit int) int {
		if !behind {
			return 0
		}
		return limit / callersShare
	}
	if c.told != nil && !c.told.until.After(now) {
		c.told = nil
	}
	if c.told != nil && c.told.least-c.running <= reserve(c.told.limit) {
		until := c.told.until.Sub(now)
		if c.told.least > reserve(c.told.limit) { // some that run may have been counted, which is known soon
			until = min(until, toldSoon)
		}
		wait = max(wait, until)
	}
	gone := len(c.ended)
	if q.rate != nil {
		gone = 0
		for gone < len(c.ended) && now.Sub(c.ended[gone]) >= q.rate.Per.D() {
			gone++
		}
	}
	c.ended = slices.Delete(c.ended, 0, gone)
	if q.rate == nil {
		return wait
	}
	if over := c.running + len(c.ended) - (q.rate.Requests - reserve(q.rate.Requests)); over >= 0 {
		frees := now // the first of those that run cannot end sooner
		if over < len(c.ended) {
			frees = c.ended[over]
		}
		wait = max(wait, frees.Add(q.rate.Per.D()).Sub(now))
	}
	return wait
}

const (
	// toldSoon is when to ask again what may be known by then.
	toldSoon = time.Second
	// sameReset is how far the resets of one window can be apart: vendors round.
	sameReset = 2 * time.Second
)

// done takes note of how a request ended, and of what its answer says is left.
func (q *quotas) done(c *quota, number uint64, e ending, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c.running--
	if !e.sent {
		return
	}
	if q.rate != nil {
		c.ended = append(c.ended, now)
	}
	if !e.limited {
		c.strikes = 0
	}
	switch {
	case e.limit.Known && (c.told == nil || number > c.told.asOf):
		unsaid := max(0, int(c.taken-number)-c.running) // began later, and ended without a word
		c.told = &told{limit: e.limit.Limit, least: e.limit.Remaining - unsaid, until: now.Add(e.limit.Reset), asOf: c.taken}
	case e.limit.Known && now.Add(e.limit.Reset).Before(c.told.until.Add(-sameReset)): // it is of the window before
	case e.limit.Known: // it ran beside the one that said so, and may be the older or the newer
		c.told.least = min(c.told.least, e.limit.Remaining)
	case c.told != nil:
		c.told.least--
	}
}

// rest lets a credential rest after a 429: for as long as the vendor says, or,
// where it does not say, longer each time. It is how long that is.
func (q *quotas) rest(c *quota, asked time.Duration, now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if asked == 0 {
		if left := c.restUntil.Sub(now); left > 0 {
			return left // one of several at once
		}
		asked = restMin << min(c.strikes, 30)
		asked = min(asked+rand.N(asked/4), restMax)
		c.strikes++
	}
	if until := now.Add(asked); until.After(c.restUntil) {
		c.restUntil = until
	}
	return asked
}

// QuotaView is a credential's quota as GET /v1/backends shows it.
type QuotaView struct {
	Requests    int     `json:"requests"`
	PerS        float64 `json:"per_s"`
	Remaining   int     `json:"remaining"`
	RetryAfterS *int    `json:"retry_after_s"`
}

// view is nil where no quota is set.
func (q *quotas) view(c *quota, now time.Time) *QuotaView {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.rate == nil {
		return nil
	}
	v := &QuotaView{Requests: q.rate.Requests, PerS: q.rate.Per.D().Seconds()}
	if wait := q.wait(c, now, false); wait > 0 {
		s := problem.RetryAfterSeconds(wait)
		v.RetryAfterS = &s
	}
	v.Remaining, _, _ = q.remaining(c, now)
	return v
}

// remaining is what is left, and of how many, by whichever leaves less: the configuration
// or the vendor's word; false if neither says anything. Of one who was told to rest it is
// nothing, of one where nothing else is known.
func (q *quotas) remaining(c *quota, now time.Time) (left, limit int, known bool) {
	wait := q.wait(c, now, false)
	if q.rate != nil {
		left, limit, known = q.rate.Requests-c.running-len(c.ended), q.rate.Requests, true
	}
	if c.told != nil && (!known || c.told.least-c.running < left) {
		left, limit, known = c.told.least-c.running, c.told.limit, true
	}
	if wait > 0 {
		return 0, max(1, limit), true
	}
	return max(0, left), max(1, limit), known
}

// lowest is what the credential that has least left has left, and of how many; false if
// nobody limits them.
func (q *quotas) lowest() (left, limit int64, known bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.rate != nil {
		left, limit, known = int64(q.rate.Requests), int64(q.rate.Requests), true
	}
	now := time.Now()
	for _, c := range q.byCredential {
		its, of, limited := q.remaining(c, now)
		if limited && (!known || int64(its)*limit < left*int64(of)) { // the smaller share
			left, limit, known = int64(its), int64(of), true
		}
	}
	return left, limit, known
}

// forget drops the state of credentials that no key maps to any more, if it says nothing: a key
// that comes back within the window has what was left. A list that is between two of its pages
// then goes on with what it had; that a vendor asks it to rest is its own.
func (q *quotas) forget(inUse map[string]bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for id, c := range q.byCredential {
		q.wait(c, now, false)
		if !inUse[id] && c.running == 0 && len(c.ended) == 0 && c.told == nil && !c.restUntil.After(now) {
			delete(q.byCredential, id)
		}
	}
}
