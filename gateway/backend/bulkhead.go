package backend

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/limit"
	"github.com/agentgw/agentgw/normalize"
)

// bulkhead limits the concurrent requests to a backend and shares them fairly among its
// credentials. A request beyond the limit is refused, not queued.
type bulkhead struct {
	provider    string
	limit       int
	semaphore   *limit.FairSemaphore
	credentials atomic.Int32 // that keys map to
}

func newBulkhead(provider string, maxConcurrent int) *bulkhead {
	return &bulkhead{provider: provider, limit: maxConcurrent, semaphore: limit.NewFairSemaphore()}
}

func (b *bulkhead) middleware(of *Backend) RoundTripMiddleware {
	return func(next adapters.RoundTrip) adapters.RoundTrip {
		return func(ctx context.Context, req *adapters.Request) error {
			slots := of.Tenant(req.Credential).slots
			if !b.semaphore.Acquire(slots, b.limit) {
				return &normalize.Error{
					Kind: normalize.KindBusy, Provider: b.provider, Op: string(req.Op),
					Message: fmt.Sprintf("no request slot is free (max_concurrent: %d)", b.limit),
				}
			}
			defer b.semaphore.Release(slots)
			return next(ctx, req)
		}
	}
}
