package gateway

import (
	"context"
	"sync/atomic"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// bulkhead lets a backend have only so many requests at once, and one credential
// only its share of them; one more is refused rather than kept waiting.
type bulkhead struct {
	provider string
	limit    int
	places   *shares
	tenants  atomic.Int32 // credentials that some key maps to
}

func newBulkhead(provider string, maxConcurrent int) *bulkhead {
	return &bulkhead{provider: provider, limit: maxConcurrent, places: newShares()}
}

func (b *bulkhead) middleware(of *Backend) RoundTripMiddleware {
	return func(next adapters.RoundTrip) adapters.RoundTrip {
		return func(ctx context.Context, req *adapters.Request) error {
			place := of.principal(req.Credential).place
			if !b.places.take(place, b.limit, b.tenants.Load() > 1) {
				return &normalize.Error{Kind: normalize.KindBusy, Provider: b.provider, Op: string(req.Op), Message: "max_concurrent requests are running"}
			}
			defer b.places.leave(place)
			return next(ctx, req)
		}
	}
}
