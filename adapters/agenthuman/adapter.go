package agenthuman

import (
	"context"
	"net/http"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

// Adapter implements adapters.Adapter for one agenthuman backend.
type Adapter struct {
	backend string
	client  adapters.Client
}

var _ adapters.Adapter = (*Adapter)(nil)

func newAdapter(s adapters.Settings) adapters.Adapter {
	return &Adapter{backend: s.Backend, client: newClient(s.RoundTrip)}
}

// List is GET /agents, which has no pages.
func (a *Adapter) List(ctx context.Context, cred adapters.Credential) (adapters.Listing, error) {
	list := adapters.Call{Op: adapters.OpList, Method: http.MethodGet, Path: "/agents"}
	return adapters.Read(ctx, a.client, cred, list, func(r adapters.Response) (adapters.Listing, error) {
		return decodeList(a.backend, r)
	})
}

// Get is GET /agents/{id}. It lacks the avatar's name, picture and voice,
// which only the list has.
func (a *Adapter) Get(ctx context.Context, cred adapters.Credential, nativeID string) (*normalize.Agent, error) {
	path, err := agentPath(adapters.OpGet, nativeID)
	if err != nil {
		return nil, err
	}
	get := adapters.Call{Op: adapters.OpGet, Method: http.MethodGet, Path: path}
	return adapters.Read(ctx, a.client, cred, get, func(r adapters.Response) (*normalize.Agent, error) {
		return decodeDetail(a.backend, r)
	})
}

// Create is POST /agents. The response shows part of the agent.
func (a *Adapter) Create(ctx context.Context, cred adapters.Credential, change normalize.Change) (*normalize.Agent, error) {
	create := adapters.Call{Op: adapters.OpCreate, Method: http.MethodPost, Path: "/agents", Body: wire.Encode(change, writes)}
	return adapters.Read(ctx, a.client, cred, create, func(r adapters.Response) (*normalize.Agent, error) {
		return decodeCreated(a.backend, r)
	})
}

// Update is PUT /agents/{id}. Despite its method it changes only the members in the
// body. The response is {"success": true}.
func (a *Adapter) Update(ctx context.Context, cred adapters.Credential, nativeID string, change normalize.Change) error {
	path, err := agentPath(adapters.OpUpdate, nativeID)
	if err != nil {
		return err
	}
	update := adapters.Call{Op: adapters.OpUpdate, Method: http.MethodPut, Path: path, Body: wire.Encode(change, writes)}
	return a.client.Send(ctx, cred, update, func(r adapters.Response) error { return checkSuccess(adapters.OpUpdate, r) })
}

// Delete is DELETE /agents/{id}, documented for the newer generation only.
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
