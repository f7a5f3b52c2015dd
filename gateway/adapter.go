package gateway

import (
	"context"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/normalize"
)

// read has the adapter read a list or an agent; one that is the same as before is not made
// again, and neither are agents of a list that are.
func (r *Result) read(ctx context.Context, adapter adapters.Adapter, info *adapters.Info, call Call) (err error) {
	var heard *transcript
	if read := readingOf(ctx); read != nil {
		heard = &read.heard
	} else {
		heard = new(transcript) // of what does not come through the cache nothing is heard
	}
	var previous *catalog.Snapshot
	if call.Previous != nil {
		heard.before = call.Previous.reply
		if call.Op == adapters.OpList {
			previous = call.Previous.Snapshot
			heard.earlier = previous.Earlier()
		}
	}
	var listing adapters.Listing
	var agent *normalize.Agent
	if call.Op == adapters.OpList {
		listing, err = adapter.List(ctx, call.Credential)
	} else {
		agent, err = adapter.Get(ctx, call.Credential, call.NativeID)
	}
	r.reply = heard.heard()
	switch {
	case heard.recognised:
		r.Snapshot, r.Detail = call.Previous.Snapshot, call.Previous.Detail
		return nil
	case err != nil:
		return err
	case call.Op == adapters.OpList:
		r.Snapshot, err = catalog.NewSnapshot(info, listing, previous)
	default:
		r.Detail, err = catalog.NewDetail(info, agent)
	}
	if listing.Partial != nil {
		r.reply = nil // there may be more the next time
	}
	return err
}

// callAdapter is the innermost endpoint: the vendor's adapter.
func callAdapter(adapter adapters.Adapter, b *Backend) Endpoint {
	return func(ctx context.Context, call Call) (Result, error) {
		started := time.Now()
		result := Result{Fetched: started, Cache: CacheMiss}
		var err error
		switch call.Op {
		case adapters.OpList, adapters.OpGet:
			err = result.read(ctx, adapter, b.Info, call)
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
