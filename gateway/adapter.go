package gateway

import (
	"context"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/normalize"
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
				result.Snapshot, err = catalog.NewSnapshot(b.Info, listing, started)
			}
		case adapters.OpGet:
			var agent *normalize.Agent
			if agent, err = adapter.Get(ctx, call.Credential, call.NativeID); err == nil {
				result.Detail, err = catalog.NewDetail(b.Info, agent)
			}
		case adapters.OpCreate:
			result.Created, err = adapter.Create(ctx, call.Credential, call.Change)
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
