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

// health records the last successful response of a backend and its last failure. It is safe
// for concurrent use.
type health struct {
	success atomic.Int64 // Unix time in seconds; 0: never
	failure atomic.Pointer[Failure]
	failing atomic.Bool // logged as failing
}

// lastSuccess returns when the backend last responded successfully, or nil if it never did.
func (h *health) lastSuccess() *time.Time {
	second := h.success.Load()
	if second == 0 {
		return nil
	}
	at := time.Unix(second, 0).UTC()
	return &at
}

// Failure is a failure of a backend: the problem code and the time.
type Failure struct {
	Code string    `json:"code"`
	At   time.Time `json:"at"`
}

// middleware records how requests end. It logs when the backend starts to fail, with an
// error text that quotes nothing of the response, and when it recovers.
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
					log.InfoContext(ctx, "backend recovered", "backend", name)
				}
			case kind != normalize.KindCanceled:
				h.failure.Store(&Failure{Code: string(problem.Outcomes[kind].Code), At: now.UTC().Truncate(time.Second)})
				if problem.Outcomes[kind].Breaker == problem.VerdictFailure || kind == normalize.KindAuth || kind == normalize.KindNoRoute {
					if !h.failing.Swap(true) {
						log.WarnContext(ctx, "backend is failing", "backend", name, "operation", string(req.Op), "reason", err.Error())
					}
				}
			}
			return err
		}
	}
}
