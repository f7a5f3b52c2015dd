package gateway

import (
	"context"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// compose makes a full view where the vendor's own get cannot: of the list's
// row where there is no get, or of both where the get lacks what the list
// shows.
func compose(info *adapters.Info) Middleware {
	return func(next Endpoint) Endpoint {
		return func(ctx context.Context, call Call) (Result, error) {
			switch {
			case call.Op != adapters.OpGet:
				return next(ctx, call)
			case info.Operations[adapters.OpGet] == adapters.Emulated:
				return getFromList(ctx, next, call, info)
			case info.GetJoinsList:
				return getJoined(ctx, next, call, info)
			}
			return next(ctx, call)
		}
	}
}

func getFromList(ctx context.Context, next Endpoint, call Call, info *adapters.Info) (Result, error) {
	list := call
	list.Op, list.NativeID = adapters.OpList, ""
	result, err := next(ctx, list)
	if err != nil {
		return Result{}, err
	}
	row := result.Snapshot.Find(call.NativeID)
	if row == nil {
		return Result{}, &normalize.Error{Kind: normalize.KindNotFound, Provider: info.Provider, Op: string(call.Op), Message: "the list has no such agent"}
	}
	full := *row
	full.View = normalize.ViewFull
	result.Snapshot, result.Agent = nil, &full
	return result, nil
}

// getJoined asks for both at once. Without the list the detail stands alone,
// and says what it could not load.
func getJoined(ctx context.Context, next Endpoint, call Call, info *adapters.Info) (Result, error) {
	type answer struct {
		result Result
		err    error
	}
	listed := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if recover() != nil {
				a = answer{err: &normalize.Error{Kind: normalize.KindInternal, Provider: info.Provider, Op: string(adapters.OpList), Message: "a panic"}}
			}
			listed <- a
		}()
		list := call
		list.Op, list.NativeID = adapters.OpList, ""
		a.result, a.err = next(ctx, list)
	}()
	detail, err := next(ctx, call)
	list := <-listed
	if err != nil {
		return Result{}, err
	}
	if list.err == nil {
		joined := *detail.Agent
		detail.Agent = normalize.Join(&joined, list.result.Snapshot.Find(call.NativeID))
	}
	return detail, nil
}
