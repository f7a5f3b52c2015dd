package backend

import (
	"time"

	"github.com/agentgw/agentgw/gateway/problem"
)

// QuotaView is the configured quota of a credential as GET /v1/backends shows it.
type QuotaView struct {
	Requests    int     `json:"requests"`
	PerS        float64 `json:"per_s"`
	Remaining   int     `json:"remaining"`
	RetryAfterS *int    `json:"retry_after_s"`
}

// view returns the quota of a credential, or nil if none is configured.
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

// remaining returns how many requests of which limit a credential has left, by the
// configured rate or by the provider's report, whichever leaves less. A credential that
// must wait has none left. known is false if nothing limits it.
func (q *quotas) remaining(c *quota, now time.Time) (left, limit int, known bool) {
	wait := q.wait(c, now, false)
	if q.rate != nil {
		left, limit, known = q.rate.Requests-c.running-len(c.ended), q.rate.Requests, true
	}
	if c.reported != nil && (!known || c.reported.remaining-c.running < left) {
		left, limit, known = c.reported.remaining-c.running, c.reported.limit, true
	}
	if wait > 0 {
		return 0, max(1, limit), true
	}
	return max(0, left), max(1, limit), known
}

// lowest returns how many requests of which limit are left to the credential with the
// smallest share left. known is false if nothing limits any of them.
func (q *quotas) lowest() (left, limit int64, known bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.rate != nil {
		left, limit, known = int64(q.rate.Requests), int64(q.rate.Requests), true
	}
	now := time.Now()
	for _, c := range q.byCredential {
		cLeft, cLimit, limited := q.remaining(c, now)
		if limited && (!known || int64(cLeft)*limit < left*int64(cLimit)) {
			left, limit, known = int64(cLeft), int64(cLimit), true
		}
	}
	return left, limit, known
}
