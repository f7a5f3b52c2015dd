package backend

import (
	"context"
	"log/slog"
	"slices"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// compose makes a full view where the vendor's own get cannot: of the list's
// row where there is no get, or of both where the get lacks what the list
// shows.
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
	result, err := next(ctx, listOf(call))
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

// listOf is the list that a get is made of.
func listOf(get Call) Call {
	return Call{Op: adapters.OpList, Credential: get.Credential, NoCache: get.NoCache, OnlyIfCached: get.OnlyIfCached, Background: get.Background}
}

// getJoined asks for both at once, unless the caller has the list's row.
// Without the list the detail stands alone, and says what it could not load; a
// list that is only an older one does not complete an answer that was asked for
// afresh.
func getJoined(ctx context.Context, next Endpoint, call Call, b *Backend, log *slog.Logger) (Result, error) {
	if !call.Row.IsZero() {
		detail, err := next(ctx, call)
		if err == nil {
			detail.Dependencies = nil
			detail.Detail, err = detail.Detail.Join(b.Info, call.Row)
		}
		return detail, err
	}
	type answer struct {
		result Result
		err    error
	}
	listed := make(chan answer, 1)
	go func() {
		var a answer
		list := listOf(call)
		defer func() {
			if p := recover(); p != nil {
				a = answer{err: PanicError(ctx, b, list, p, log)}
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
	if list.err != nil || call.NoCache && list.result.Stale != nil {
		detail.Dependencies = nil // the next read may complete it
		return detail, nil
	}
	if i := list.result.Snapshot.Find(call.NativeID); i >= 0 {
		if detail.Detail, err = detail.Detail.Join(b.Info, list.result.Snapshot.At(i)); err != nil {
			return Result{}, err
		}
	}
	detail.Dependencies = bothDependencies(detail.Dependencies, list.result.Dependencies)
	if list.result.Fetched.Before(detail.Fetched) { // an answer is as old as its oldest part
		detail.Fetched = list.result.Fetched
	}
	if list.result.Stale != nil {
		detail.Cache, detail.Stale = CacheStale, list.result.Stale
	}
	return detail, nil
}

// bothDependencies returns the union of two sets of dependencies, or nil if either is unknown.
func bothDependencies(a, b []Dependency) []Dependency {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	return slices.Concat(a, b)
}
