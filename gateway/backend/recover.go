package backend

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// recoverPanics turns a panic in the chain below into an error of this call. It only covers
// its own goroutine: code that starts another one must recover there.
func recoverPanics(b *Backend, log *slog.Logger) Middleware {
	return func(next Endpoint) Endpoint {
		return func(ctx context.Context, call Call) (result Result, err error) {
			defer func() {
				if p := recover(); p != nil {
					result, err = Result{}, PanicError(ctx, b, call.Op, p, log)
				}
			}()
			return next(ctx, call)
		}
	}
}

// RecoverPanic calls do and returns its panic, if any, as an error. Use it in goroutines
// that call a backend.
func RecoverPanic(ctx context.Context, b *Backend, op adapters.Operation, log *slog.Logger, do func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = PanicError(ctx, b, op, p, log)
		}
	}()
	do()
	return nil
}

// PanicError logs the type and the stack of a panic p and returns an error for it. The value
// is not logged: it may contain a credential or a provider's data.
func PanicError(ctx context.Context, b *Backend, op adapters.Operation, p any, log *slog.Logger) error {
	log.ErrorContext(ctx, "panic in a backend's call", "backend", b.Name, "operation", string(op), "panic_type", fmt.Sprintf("%T", p), "stack", telemetry.Stack())
	return &normalize.Error{Kind: normalize.KindInternal, Provider: b.Info.Provider, Op: string(op), Message: "the call panicked; the stack is in the gateway's log"}
}
