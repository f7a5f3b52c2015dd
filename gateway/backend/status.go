package backend

import (
	"math"
	"time"

	"github.com/agentgw/agentgw/adapters"
)

// Status is the state of a backend at one moment.
type Status struct {
	Breaker       BreakerStatus
	LastSuccess   *time.Time // nil: none yet
	LastFailure   *Failure   // nil: none yet
	Running       int        // requests
	MaxConcurrent int
	Credentials   int // that keys map to
	// LowestQuota is that of the credential with the smallest share left; nil if no quota is
	// known.
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
		Breaker: b.breaker.backend.status(), LastSuccess: b.health.lastSuccess(), LastFailure: b.health.failure.Load(),
		Running: b.bulkhead.semaphore.InUse(), MaxConcurrent: b.bulkhead.limit, Credentials: int(b.bulkhead.credentials.Load()),
	}
	if left, limit, known := b.quotas.lowest(); known {
		s.LowestQuota = &QuotaStatus{Remaining: left, Limit: limit}
	}
	return s
}

// Breaker returns the state of the circuit breaker for the calls of a credential.
func (b *Backend) Breaker(c adapters.Credential) BreakerStatus {
	return b.breaker.forAccount(c.ID()).status()
}

// QuotaStatus is the limit of a window in requests, and how many remain.
type QuotaStatus struct{ Remaining, Limit int64 }

// Quota returns the quota of a credential, or nil if none is configured.
func (b *Backend) Quota(c adapters.Credential) *QuotaView {
	return b.quotas.view(b.Tenant(c).quota, time.Now())
}

// status returns the state and, while it is open, in how many seconds to try again.
func (b *circuit) status() BreakerStatus {
	s := BreakerStatus{State: b.state()}
	if s.State == "open" {
		seconds := max(1, int(math.Ceil(b.retryAfter().Seconds())))
		s.RetryAfterS = &seconds
	}
	return s
}
