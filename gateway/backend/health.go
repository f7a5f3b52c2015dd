package backend

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// health notes when a backend last answered and what last went wrong with it.
type health struct {
	success atomic.Int64 // in seconds since 1970; 0: it never did
	failure atomic.Pointer[Failure]
	failing atomic.Bool
}

// lastSuccess is when the backend last answered; nil if it never did.
func (h *health) lastSuccess() *time.Time {
	second := h.success.Load()
	if second == 0 {
		return nil
	}
	at := time.Unix(second, 0).UTC()
	return &at
}

// Failure is the last failure of a backend.
type Failure struct {
	Code string    `json:"code"`
	At   time.Time `json:"at"`
}

// middleware notes how requests end, and logs when a backend begins to fail,
// with the reason in our own words, and when it answers again.
func (h *health) middleware(name string, log *slog.Logger) RoundTripMiddleware {
	return func(next adapters.RoundTrip) adapters.RoundTrip {
		return func(ctx context.Context, req *adapters.Request) error {
			err := next(ctx, req)
			now := time.Now()
			switch kind := normalize.KindOf(err); {
			case err == nil, problem.Outcomes[kind].Breaker == problem.VerdictSuccess:
				if second := now.Unix(); h.success.Load() != second {
					h.success.Store(second)
				}
				if h.failing.Swap(false) {
					log.InfoContext(ctx, "backend answers again", "backend", name)
				}
			case kind != normalize.KindCanceled:
				h.failure.Store(&Failure{Code: string(problem.Outcomes[kind].Code), At: now.UTC().Truncate(time.Second)})
				if problem.Outcomes[kind].Breaker == problem.VerdictFailure || kind == normalize.KindAuth || kind == normalize.KindNoRoute {
					if !h.failing.Swap(true) {
						log.WarnContext(ctx, "backend fails", "backend", name, "operation", string(req.Op), "reason", err.Error())
					}
				}
			}
			return err
		}
	}
}
