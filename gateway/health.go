package gateway

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// health notes when a backend last answered and what last went wrong with it.
type health struct {
	success atomic.Pointer[time.Time]
	failure atomic.Pointer[failureNote]
}

type failureNote struct {
	Code string    `json:"code"`
	At   time.Time `json:"at"`
}

func (h *health) middleware() ExchangeMiddleware {
	return func(next adapters.Exchange) adapters.Exchange {
		return func(ctx context.Context, req *adapters.Request) error {
			err := next(ctx, req)
			now := time.Now().UTC().Truncate(time.Second)
			switch kind := normalize.KindOf(err); {
			case err == nil, outcomes[kind].breaker == verdictSuccess:
				h.success.Store(&now)
			case kind != normalize.KindCanceled:
				h.failure.Store(&failureNote{Code: string(outcomes[kind].code), At: now})
			}
			return err
		}
	}
}
