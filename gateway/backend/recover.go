package backend

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// recoverPanics turns a panic below into this call's error. It covers the
// goroutine that it runs in: whoever starts another recovers there.
func recoverPanics(b *Backend, log *slog.Logger) Middleware {
	return func(next Endpoint) Endpoint {
		return func(ctx context.Context, call Call) (result Result, err error) {
			defer func() {
				if p := recover(); p != nil {
					result, err = Result{}, PanicError(ctx, b, call, p, log)
				}
			}()
			return next(ctx, call)
		}
	}
}

// RecoverPanic turns a panic in a goroutine of our own into an error.
func RecoverPanic(ctx context.Context, b *Backend, op adapters.Operation, log *slog.Logger, do func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = PanicError(ctx, b, Call{Op: op}, p, log)
		}
	}()
	do()
	return nil
}

// PanicError logs a panic by its type and place. Its value may quote a vendor or
// a credential and is not written anywhere.
func PanicError(ctx context.Context, b *Backend, call Call, p any, log *slog.Logger) error {
	log.ErrorContext(ctx, "panic in a backend's call", "backend", b.Name, "operation", string(call.Op), "panic_type", fmt.Sprintf("%T", p), "stack", telemetry.Stack())
	return &normalize.Error{Kind: normalize.KindInternal, Provider: b.Info.Provider, Op: string(call.Op), Message: "a panic"}
}
