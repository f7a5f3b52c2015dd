package gateway

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// health notes when a backend last answered and what last went wrong with it.
type health struct {
	success atomic.Pointer[time.Time]
	failure atomic.Pointer[failureNote]
	failing atomic.Bool
}

type failureNote struct {
	Code string    `json:"code"`
	At   time.Time `json:"at"`
}

// middleware notes how requests end, and logs when a backend begins to fail,
// with the reason in our own words, and when it answers again.
func (h *health) middleware(name string, log *slog.Logger) ExchangeMiddleware {
	return func(next adapters.Exchange) adapters.Exchange {
		return func(ctx context.Context, req *adapters.Request) error {
			err := next(ctx, req)
			now := time.Now().UTC().Truncate(time.Second)
			switch kind := normalize.KindOf(err); {
			case err == nil, outcomes[kind].breaker == verdictSuccess:
				h.success.Store(&now)
				if h.failing.Swap(false) {
					log.InfoContext(ctx, "backend answers again", "backend", name)
				}
			case kind != normalize.KindCanceled:
				h.failure.Store(&failureNote{Code: string(outcomes[kind].code), At: now})
				if outcomes[kind].breaker == verdictFailure || kind == normalize.KindAuth || kind == normalize.KindNoRoute {
					if !h.failing.Swap(true) {
						log.WarnContext(ctx, "backend fails", "backend", name, "operation", string(req.Op), "reason", err.Error())
					}
				}
			}
			return err
		}
	}
}
