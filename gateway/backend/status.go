package backend

import (
	"math"
	"time"

	"github.com/agentgw/agentgw/adapters"
)

// Status is the state of a backend at one moment.
type Status struct {
	Breaker BreakerStatus
	// LastSuccess and LastFailure are nil for none.
	LastSuccess   *time.Time
	LastFailure   *Failure
	Running       int // requests
	MaxConcurrent int
	Credentials   int // that some key maps to
	// LowestQuota is that of the credential that has the fewest requests left; nil if no
	// quota is known.
	LowestQuota *QuotaStatus
}

// BreakerStatus is the state of a circuit breaker: closed, open or half_open.
type BreakerStatus struct {
	State       string `json:"state"`
	RetryAfterS *int   `json:"retry_after_s"` // while it is open
}

// Status returns the state of the backend.
func (b *Backend) Status() Status {
	s := Status{
		Breaker: b.breaker.status(), LastSuccess: b.health.lastSuccess(), LastFailure: b.health.failure.Load(),
		Running: b.bulkhead.places.Running(), MaxConcurrent: b.bulkhead.limit, Credentials: int(b.bulkhead.tenants.Load()),
	}
	if left, limit, known := b.quotas.lowest(); known {
		s.LowestQuota = &QuotaStatus{Remaining: left, Limit: limit}
	}
	return s
}

// QuotaStatus is how many requests a window has, and how many are left.
type QuotaStatus struct{ Remaining, Limit int64 }

// Quota returns the quota of a credential; nil where none is known.
func (b *Backend) Quota(c adapters.Credential) *QuotaView {
	return b.quotas.view(b.Tenant(c).quota, time.Now())
}

// status returns the state, and while it is open in how many seconds to try again.
func (b *breaker) status() BreakerStatus {
	s := BreakerStatus{State: b.state()}
	if s.State == "open" {
		seconds := max(1, int(math.Ceil(b.retryAfter().Seconds())))
		s.RetryAfterS = &seconds
	}
	return s
}
