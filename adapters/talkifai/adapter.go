package talkifai

import (
	"context"
	"net/http"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

// Adapter speaks to one talkifai backend.
type Adapter struct {
	backend  string
	client   adapters.Client
	maxBytes int // of a list, all pages together
}

var _ adapters.Adapter = (*Adapter)(nil)

func newAdapter(s adapters.Settings) adapters.Adapter {
	return &Adapter{backend: s.Backend, client: newClient(s.RoundTrip), maxBytes: maxBytes}
}

// List walks the pages of GET /agents.
func (a *Adapter) List(ctx context.Context, cred adapters.Credential) (adapters.Listing, error) {
	return a.walk(ctx, cred)
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

// Create is POST /agents, which answers a stub of an inactive agent.
func (a *Adapter) Create(ctx context.Context, cred adapters.Credential, change normalize.Change) (*normalize.Agent, error) {
	create := adapters.Call{Op: adapters.OpCreate, Method: http.MethodPost, Path: "/agents", Body: wire.Encode(change, writes)}
	return adapters.Read(ctx, a.client, cred, create, func(r adapters.Response) (*normalize.Agent, error) {
		return decodeDetail(a.backend, adapters.OpCreate, r)
	})
}

// Update is PATCH /agents/{id}; its reply is not documented beyond success.
func (a *Adapter) Update(ctx context.Context, cred adapters.Credential, nativeID string, change normalize.Change) error {
	path, err := agentPath(adapters.OpUpdate, nativeID)
	if err != nil {
		return err
	}
	update := adapters.Call{Op: adapters.OpUpdate, Method: http.MethodPatch, Path: path, Body: wire.Encode(change, writes)}
	return a.client.Send(ctx, cred, update, func(r adapters.Response) error { return checkSuccess(adapters.OpUpdate, r) })
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
