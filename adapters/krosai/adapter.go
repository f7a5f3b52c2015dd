package krosai

import (
	"context"
	"net/http"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

// Adapter implements adapters.Adapter for one krosai backend.
type Adapter struct {
	backend string
	client  adapters.Client
}

var _ adapters.Adapter = (*Adapter)(nil)

func newAdapter(s adapters.Settings) adapters.Adapter {
	return &Adapter{backend: s.Backend, client: newClient(s.RoundTrip)}
}

// List is GET /agents, a bare array without pages.
func (a *Adapter) List(ctx context.Context, cred adapters.Credential) (adapters.Listing, error) {
	list := adapters.Call{Op: adapters.OpList, Method: http.MethodGet, Path: "/agents"}
	return adapters.Read(ctx, a.client, cred, list, func(r adapters.Response) (adapters.Listing, error) {
		return decodeList(a.backend, r)
	})
}

// Get is GET /agents/{id}.
func (a *Adapter) Get(ctx context.Context, cred adapters.Credential, nativeID string) (*normalize.Agent, error) {
	path, err := agentPath(adapters.OpGet, nativeID)
	if err != nil {
		return nil, err
	}
	get := adapters.Call{Op: adapters.OpGet, Method: http.MethodGet, Path: path}
	return adapters.Read(ctx, a.client, cred, get, func(r adapters.Response) (*normalize.Agent, error) {
		return decodeDetail(a.backend, adapters.OpGet, r)
	})
}

// Create is POST /agents, which answers the whole agent.
func (a *Adapter) Create(ctx context.Context, cred adapters.Credential, change normalize.Change) (*normalize.Agent, error) {
	create := adapters.Call{Op: adapters.OpCreate, Method: http.MethodPost, Path: "/agents", Body: wire.Encode(change, writes)}
	return adapters.Read(ctx, a.client, cred, create, func(r adapters.Response) (*normalize.Agent, error) {
		return decodeDetail(a.backend, adapters.OpCreate, r)
	})
}

// Update is PUT /agents/{id}. In the provider's sample it keeps the members that the
// body leaves out, so only the change is sent: reading the agent and writing it back
// would undo concurrent writes.
func (a *Adapter) Update(ctx context.Context, cred adapters.Credential, nativeID string, change normalize.Change) error {
	path, err := agentPath(adapters.OpUpdate, nativeID)
	if err != nil {
		return err
	}
	return a.client.Send(ctx, cred, adapters.Call{Op: adapters.OpUpdate, Method: http.MethodPut, Path: path, Body: wire.Encode(change, writes)}, func(r adapters.Response) error {
		return adapters.Acknowledged(provider, adapters.OpUpdate, r)
	})
}

// Delete is DELETE /agents/{id}.
func (a *Adapter) Delete(ctx context.Context, cred adapters.Credential, nativeID string) error {
	path, err := agentPath(adapters.OpDelete, nativeID)
	if err != nil {
		return err
	}
	return a.client.Send(ctx, cred, adapters.Call{Op: adapters.OpDelete, Method: http.MethodDelete, Path: path}, func(r adapters.Response) error {
		return adapters.Deleted(provider, r)
	})
}

func agentPath(op adapters.Operation, nativeID string) (string, error) {
	segment, err := adapters.PathSegment(provider, op, nativeID)
	return "/agents/" + segment, err
}
