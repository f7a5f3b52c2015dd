package krosai

import (
	"context"
	"net/http"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/wire"
	"github.com/agentgw/agentgw/normalize"
)

// Adapter speaks to one krosai backend.
type Adapter struct {
	backend string
	client  adapters.Client
}

var _ adapters.Adapter = (*Adapter)(nil)

func newAdapter(s adapters.Settings) adapters.Adapter {
	return &Adapter{backend: s.Backend, client: newClient(s.Exchange)}
}

// List is GET /agents, a bare array without pages.
func (a *Adapter) List(ctx context.Context, cred adapters.Credential) (listing adapters.Listing, err error) {
	err = a.client.Send(ctx, cred, adapters.Call{Op: adapters.OpList, Method: http.MethodGet, Path: "/agents"}, func(r adapters.Response) (err error) {
		listing.Agents, err = decodeList(a.backend, r)
		return err
	})
	return listing, err
}

// Get is GET /agents/{id}.
func (a *Adapter) Get(ctx context.Context, cred adapters.Credential, nativeID string) (agent *normalize.Agent, err error) {
	path, err := agentPath(adapters.OpGet, nativeID)
	if err != nil {
		return nil, err
	}
	err = a.client.Send(ctx, cred, adapters.Call{Op: adapters.OpGet, Method: http.MethodGet, Path: path}, func(r adapters.Response) (err error) {
		agent, err = decodeDetail(a.backend, adapters.OpGet, r)
		return err
	})
	return agent, err
}

// Create is POST /agents, which answers the whole agent.
func (a *Adapter) Create(ctx context.Context, cred adapters.Credential, change normalize.Change) (agent *normalize.Agent, err error) {
	create := adapters.Call{Op: adapters.OpCreate, Method: http.MethodPost, Path: "/agents", Body: wire.Encode(change, writes)}
	err = a.client.Send(ctx, cred, create, func(r adapters.Response) (err error) {
		agent, err = decodeDetail(a.backend, adapters.OpCreate, r)
		return err
	})
	return agent, err
}

// Update is PUT /agents/{id}. By the vendor's sample it keeps what is left
// out, so only the change is sent: reading and writing back would undo what
// others write meanwhile.
func (a *Adapter) Update(ctx context.Context, cred adapters.Credential, nativeID string, change normalize.Change) error {
	path, err := agentPath(adapters.OpUpdate, nativeID)
	if err != nil {
		return err
	}
	return a.client.Send(ctx, cred, adapters.Call{Op: adapters.OpUpdate, Method: http.MethodPut, Path: path, Body: wire.Encode(change, writes)}, acknowledged(adapters.OpUpdate))
}

// Delete is DELETE /agents/{id}.
func (a *Adapter) Delete(ctx context.Context, cred adapters.Credential, nativeID string) error {
	path, err := agentPath(adapters.OpDelete, nativeID)
	if err != nil {
		return err
	}
	return a.client.Send(ctx, cred, adapters.Call{Op: adapters.OpDelete, Method: http.MethodDelete, Path: path}, acknowledged(adapters.OpDelete))
}

// acknowledged: of these replies the status is all that is needed.
func acknowledged(op adapters.Operation) func(adapters.Response) error {
	return func(r adapters.Response) error { return adapters.Acknowledged(provider, op, r) }
}

func agentPath(op adapters.Operation, nativeID string) (string, error) {
	segment, err := adapters.PathSegment(provider, op, nativeID)
	return "/agents/" + segment, err
}
