package gateway

import (
	"context"
	"log/slog"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// compose makes a full view where the vendor's own get cannot: of the list's
// row where there is no get, or of both where the get lacks what the list
// shows.
func compose(b *Backend, log *slog.Logger) Middleware {
	info := b.Info
	return func(next Endpoint) Endpoint {
		return func(ctx context.Context, call Call) (Result, error) {
			switch {
			case call.Op != adapters.OpGet:
				return next(ctx, call)
			case info.Operations[adapters.OpGet] == adapters.Emulated:
				return getFromList(ctx, next, call, info)
			case info.GetJoinsList:
				return getJoined(ctx, next, call, b, log)
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
// and says what it could not load; a list that is only an older one does not
// complete an answer that was asked for afresh.
func getJoined(ctx context.Context, next Endpoint, call Call, b *Backend, log *slog.Logger) (Result, error) {
	type answer struct {
		result Result
		err    error
	}
	listed := make(chan answer, 1)
	go func() {
		var a answer
		list := call
		list.Op, list.NativeID = adapters.OpList, ""
		defer func() {
			if p := recover(); p != nil {
				a = answer{err: panicked(b, list, p, log)}
			}
			listed <- a
		}()
		a.result, a.err = next(ctx, list)
	}()
	detail, err := next(ctx, call)
	if err != nil {
		return Result{}, err // whatever the list says
	}
	list := <-listed
	if list.err != nil || call.Fresh && list.result.Stale != nil {
		return detail, nil
	}
	detail.Agent = normalize.Join(detail.Agent, list.result.Snapshot.Find(call.NativeID))
	if list.result.Fetched.Before(detail.Fetched) { // an answer is as old as its oldest part
		detail.Fetched = list.result.Fetched
	}
	if list.result.Stale != nil {
		detail.Cache, detail.Stale = CacheStale, list.result.Stale
	}
	return detail, nil
}
