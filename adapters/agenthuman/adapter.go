package agenthuman

import (
	"context"
	"net/http"
	"regexp"

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
	agents, err := adapters.Read(ctx, a.client, cred, list, func(r adapters.Response) ([]*normalize.Agent, error) {
		return decodeList(a.backend, r)
	})
	return adapters.Listing{Agents: agents}, err
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

// Delete is DELETE /agents/{id}, documented for the newer generation only. Any 2xx
// counts as done, with or without a body, unless it says success:false.
func (a *Adapter) Delete(ctx context.Context, cred adapters.Credential, nativeID string) error {
	path, err := agentPath(adapters.OpDelete, nativeID)
	if err != nil {
		return err
	}
	return a.client.Send(ctx, cred, adapters.Call{Op: adapters.OpDelete, Method: http.MethodDelete, Path: path}, func(r adapters.Response) error {
		if len(r.Body) == 0 {
			return nil
		}
		return checkSuccess(adapters.OpDelete, r)
	})
}

// agentID matches the ids of both generations.
var agentID = regexp.MustCompile(`^(0|[1-9][0-9]{0,18}|agnt_[A-Za-z0-9_-]{1,120})$`)

// agentPath returns the path of an agent. It refuses what cannot be an id.
func agentPath(op adapters.Operation, nativeID string) (string, error) {
	if !agentID.MatchString(nativeID) {
		return "", &normalize.Error{Kind: normalize.KindNotFound, Provider: provider, Op: string(op), Message: "an agent's id is an integer, or begins with agnt_"}
	}
	return "/agents/" + nativeID, nil
}
