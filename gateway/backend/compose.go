package backend

import (
	"context"
	"log/slog"
	"slices"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// compose serves gets from the list where the provider has no get, and completes them with
// the list where the provider's get lacks fields that its list has.
func compose(b *Backend, log *slog.Logger) Middleware {
	info := b.Info
	emulated := info.Operations[adapters.OpGet] == adapters.Emulated
	return func(next Endpoint) Endpoint {
		return func(ctx context.Context, call Call) (Result, error) {
			switch {
			case call.Op != adapters.OpGet:
				return next(ctx, call)
			case emulated:
				return getFromList(ctx, next, call, info)
			case info.GetJoinsList:
				return getJoined(ctx, next, call, b, log)
			}
			return next(ctx, call)
		}
	}
}

func getFromList(ctx context.Context, next Endpoint, call Call, info *adapters.Info) (Result, error) {
	result, err := next(ctx, listCall(call))
	if err != nil {
		return Result{}, err
	}
	i := result.Snapshot.Find(call.NativeID)
	if i < 0 {
		return Result{}, &normalize.Error{Kind: normalize.KindNotFound, Provider: info.Provider, Op: string(call.Op), Message: "the list has no such agent"}
	}
	result.Detail, result.Snapshot = result.Snapshot.Full(i), nil
	return result, nil
}

// listCall returns the list that a get needs.
func listCall(get Call) Call {
	return Call{Op: adapters.OpList, Credential: get.Credential, NoCache: get.NoCache, OnlyIfCached: get.OnlyIfCached, Background: get.Background}
}

// getJoined gets an agent and its list concurrently and joins them; if the call has the row,
// it does not list. If the list fails, the agent is returned without the list's fields and
// says what is missing. A stale list does not complete a call with NoCache.
func getJoined(ctx context.Context, next Endpoint, call Call, b *Backend, log *slog.Logger) (Result, error) {
	if !call.Row.IsZero() {
		detail, err := next(ctx, call)
		if err == nil {
			detail.Dependencies = nil
			detail.Detail, err = detail.Detail.Join(b.Info, call.Row)
		}
		return detail, err
	}
	type outcome struct {
		result Result
		err    error
	}
	listed := make(chan outcome, 1)
	go func() {
		var o outcome
		list := listCall(call)
		defer func() {
			if p := recover(); p != nil {
				o = outcome{err: PanicError(ctx, b, list.Op, p, log)}
			}
			listed <- o
		}()
		o.result, o.err = next(ctx, list)
	}()
	detail, err := next(ctx, call)
	if err != nil {
		return Result{}, err // the list's outcome does not matter
	}
	list := <-listed
	if list.err != nil || call.NoCache && list.result.Stale != nil {
		detail.Dependencies = nil // the next read may have the list
		return detail, nil
	}
	if i := list.result.Snapshot.Find(call.NativeID); i >= 0 {
		if detail.Detail, err = detail.Detail.Join(b.Info, list.result.Snapshot.At(i)); err != nil {
			return Result{}, err
		}
	}
	detail.Dependencies = unionDependencies(detail.Dependencies, list.result.Dependencies)
	if list.result.Fetched.Before(detail.Fetched) { // a result is as old as its oldest part
		detail.Fetched = list.result.Fetched
	}
	if list.result.Stale != nil {
		detail.Cache, detail.Stale = CacheStale, list.result.Stale
	}
	return detail, nil
}

// unionDependencies returns the union of two sets of dependencies, or nil if either is unknown.
func unionDependencies(a, b []Dependency) []Dependency {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	return slices.Concat(a, b)
}
