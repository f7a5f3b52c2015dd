package gateway

import (
	"context"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/normalize"
)

// provider returns the provider of that name.
func provider(name string) adapters.Provider {
	for _, p := range all.Providers() {
		if p.Info.Provider == name {
			return p
		}
	}
	panic("unknown provider " + name)
}

// panicking is an adapter whose reads panic with a value that contains a credential.
type panicking struct{ adapters.Adapter }

func (panicking) List(_ context.Context, cred adapters.Credential) (adapters.Listing, error) {
	panic("with " + cred.Reveal())
}

func (panicking) Get(_ context.Context, cred adapters.Credential, _ string) (*normalize.Agent, error) {
	panic("with " + cred.Reveal())
}

// caller returns the caller of a key by the key's id.
func (g *Gateway) caller(id string) *auth.Caller { return g.state.Load().keys.Caller(id) }
