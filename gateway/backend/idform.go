package backend

import (
	"context"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// checkID refuses native ids that the provider cannot have, before anything is sent: an id
// of a request is the caller's text, and becomes part of a path at the provider. An id of
// another form is accepted if the caller's own list, as it is cached, has it.
func checkID(b *Backend) Middleware {
	return func(next Endpoint) Endpoint {
		return func(ctx context.Context, call Call) (Result, error) {
			switch call.Op {
			case adapters.OpList, adapters.OpCreate:
				return next(ctx, call)
			}
			if !b.AcceptsID(ctx, next, call) {
				return Result{}, &normalize.Error{
					Kind: normalize.KindNotFound, Provider: b.Info.Provider, Op: string(call.Op), Unsent: true,
					Message: "the provider has no ids of this form",
				}
			}
			return next(ctx, call)
		}
	}
}

// AcceptsID reports whether a call's native id may become part of a path. cached is an
// endpoint that serves the list from the cache.
func (b *Backend) AcceptsID(ctx context.Context, cached Endpoint, call Call) bool {
	if b.Info.AcceptsNativeID(call.NativeID) || b.Info.Operations[call.Op] == adapters.Emulated {
		return true
	}
	list, err := cached(ctx, Call{Op: adapters.OpList, Credential: call.Credential, OnlyIfCached: true})
	return err == nil && list.Snapshot.Find(call.NativeID) >= 0
}

// checkAnswer returns an error if a get was answered with another agent than the one asked
// for. Nothing of it is kept.
func checkAnswer(b *Backend, call Call, agent *normalize.Agent) error {
	if agent.NativeID == call.NativeID {
		return nil
	}
	return &normalize.Error{
		Kind: normalize.KindWrongShape, Provider: b.Info.Provider, Op: string(call.Op), Status: 200,
		Message: "the response is another agent than the one asked for",
	}
}
