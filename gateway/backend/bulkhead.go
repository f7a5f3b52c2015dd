package backend

import (
	"context"
	"sync/atomic"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/limit"
	"github.com/agentgw/agentgw/normalize"
)

// bulkhead lets a backend have only so many requests at once, and one credential
// only its share of them; one more is refused rather than kept waiting.
type bulkhead struct {
	provider string
	limit    int
	places   *limit.FairSemaphore
	tenants  atomic.Int32 // credentials that some key maps to
}

func newBulkhead(provider string, maxConcurrent int) *bulkhead {
	return &bulkhead{provider: provider, limit: maxConcurrent, places: limit.NewFairSemaphore()}
}

func (b *bulkhead) middleware(of *Backend) RoundTripMiddleware {
	return func(next adapters.RoundTrip) adapters.RoundTrip {
		return func(ctx context.Context, req *adapters.Request) error {
			place := of.Tenant(req.Credential).place
			if !b.places.Acquire(place, b.limit, b.tenants.Load() > 1) {
				return &normalize.Error{Kind: normalize.KindBusy, Provider: b.provider, Op: string(req.Op), Message: "max_concurrent requests are running"}
			}
			defer b.places.Release(place)
			return next(ctx, req)
		}
	}
}
