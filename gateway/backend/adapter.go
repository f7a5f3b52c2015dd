package backend

import (
	"context"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/normalize"
)

// read lists or gets with the adapter. If the backend's reply equals the one that
// call.Previous was decoded from, it returns the previous snapshot or agent.
func (r *Result) read(ctx context.Context, adapter adapters.Adapter, b *Backend, call Call) (err error) {
	tracker := &replyTracker{}
	if call.Previous != nil {
		tracker.previous = call.Previous.reply
	}
	ctx = context.WithValue(ctx, replyTrackerKey{}, tracker)
	var listing adapters.Listing
	var agent *normalize.Agent
	if call.Op == adapters.OpList {
		listing, err = adapter.List(ctx, call.Credential)
	} else {
		if agent, err = adapter.Get(ctx, call.Credential, call.NativeID); err == nil {
			err = checkAnswer(b, call, agent)
		}
	}
	r.reply = tracker.hash()
	switch {
	case tracker.unchanged():
		r.Snapshot, r.Detail = call.Previous.Snapshot, call.Previous.Detail
		return nil
	case err != nil:
		return err
	case call.Op == adapters.OpList:
		b.Tenant(call.Credential).noteListed(listing.Agents)
		r.Snapshot, err = catalog.NewSnapshot(b.Info, listing)
	default:
		r.Detail, err = catalog.NewDetail(b.Info, agent)
	}
	if listing.Partial != nil {
		r.reply = nil // an equal reply may be followed by more pages the next time
	}
	return err
}

// CallAdapter returns the innermost endpoint of the chain, which calls the adapter.
func CallAdapter(adapter adapters.Adapter, b *Backend) Endpoint {
	return func(ctx context.Context, call Call) (Result, error) {
		started := time.Now()
		result := Result{Fetched: started, Cache: CacheMiss}
		var err error
		switch call.Op {
		case adapters.OpList, adapters.OpGet:
			err = result.read(ctx, adapter, b, call)
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
