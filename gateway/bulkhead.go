package gateway

import (
	"context"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// bulkhead lets a backend have only so many requests at once; one more is
// refused rather than kept waiting.
func bulkhead(provider string, limit int) ExchangeMiddleware {
	places := make(chan struct{}, limit)
	return func(next adapters.Exchange) adapters.Exchange {
		return func(ctx context.Context, req *adapters.Request) error {
			select {
			case places <- struct{}{}:
			default:
				return &normalize.Error{Kind: normalize.KindBusy, Provider: provider, Op: string(req.Op), Message: "max_concurrent requests are running"}
			}
			defer func() { <-places }()
			return next(ctx, req)
		}
	}
}
