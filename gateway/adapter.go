package gateway

import (
	"context"
	"time"

	"github.com/agentgw/agentgw/adapters"
)

// callAdapter is the innermost endpoint: the vendor's adapter.
func callAdapter(adapter adapters.Adapter, b *Backend) Endpoint {
	return func(ctx context.Context, call Call) (Result, error) {
		started := time.Now()
		result := Result{Fetched: started, Cache: CacheMiss}
		var err error
		switch call.Op {
		case adapters.OpList:
			var listing adapters.Listing
			if listing, err = adapter.List(ctx, call.Credential); err == nil {
				result.Snapshot, err = newSnapshot(b.Info, listing, started)
			}
		case adapters.OpGet:
			result.Agent, err = adapter.Get(ctx, call.Credential, call.NativeID)
		case adapters.OpCreate:
			result.Agent, err = adapter.Create(ctx, call.Credential, call.Change)
		case adapters.OpUpdate:
			err = adapter.Update(ctx, call.Credential, call.NativeID, call.Change)
		case adapters.OpDelete:
			err = adapter.Delete(ctx, call.Credential, call.NativeID)
		default:
			err = adapters.Unsupported(b.Info.Provider, call.Op)
		}
		if err != nil {
			return Result{}, err
		}
		return result, nil
	}
}
