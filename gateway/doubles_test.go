package gateway

import (
	"context"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/normalize"
)

// provider is the provider of that name.
func provider(name string) adapters.Provider {
	for _, p := range all.Providers() {
		if p.Info.Provider == name {
			return p
		}
	}
	panic("there is no provider " + name)
}

// panicking panics on every read, with a credential in the panic's value.
type panicking struct{ adapters.Adapter }

func (panicking) List(_ context.Context, cred adapters.Credential) (adapters.Listing, error) {
	panic("with " + cred.Reveal())
}

func (panicking) Get(_ context.Context, cred adapters.Credential, _ string) (*normalize.Agent, error) {
	panic("with " + cred.Reveal())
}

// callers finds a caller by the id of its key.
func (s *state) callers(id string) *auth.Caller { return s.keys.Caller(id) }
