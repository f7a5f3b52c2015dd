package klen

import (
	"context"
	"net/http"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// Adapter implements adapters.Adapter for one klen backend.
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

// Get is not supported: the gateway answers it from the list.
func (a *Adapter) Get(context.Context, adapters.Credential, string) (*normalize.Agent, error) {
	return nil, adapters.Unsupported(provider, adapters.OpGet)
}

// Create is not supported.
func (a *Adapter) Create(context.Context, adapters.Credential, normalize.Change) (*normalize.Agent, error) {
	return nil, adapters.Unsupported(provider, adapters.OpCreate)
}

// Update is not supported.
func (a *Adapter) Update(context.Context, adapters.Credential, string, normalize.Change) error {
	return adapters.Unsupported(provider, adapters.OpUpdate)
}

// Delete is not supported.
func (a *Adapter) Delete(context.Context, adapters.Credential, string) error {
	return adapters.Unsupported(provider, adapters.OpDelete)
}
