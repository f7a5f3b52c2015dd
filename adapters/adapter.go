// Package adapters is the contract between the gateway and the adapters of
// providers, and what adapters share.
//
// An adapter translates between the model (package normalize) and one provider's
// API. It gets a RoundTrip to send requests with, and a Credential with each call.
// It does not know the gateway, other providers, caches, retries or the caller.
//
// Begin reading at Adapter. Info is what a provider's API can do, as data; Client
// and the functions of response.go are what adapters are built of. The smallest
// adapter is package klen.
package adapters

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/normalize"
)

// Adapter speaks one provider's API for one backend.
//
// Every method is safe for concurrent use and sends nothing once ctx is done.
// Errors are *normalize.Error. An operation that the provider's Info declares as
// None or Emulated returns KindUnsupported and sends nothing. A native id is one
// segment of the path, escaped; the gateway has checked it with Info.AcceptsNativeID, or
// has it from a list. No method sends a write more than once.
type Adapter interface {
	// List returns all agents that the credential sees, in no particular order.
	// The gateway keeps the first of two with the same id.
	List(ctx context.Context, cred Credential) (Listing, error)
	// Get returns one agent as the provider's own get shows it.
	Get(ctx context.Context, cred Credential, nativeID string) (*normalize.Agent, error)
	// Create creates an agent. The change was checked against Info. The agent
	// returned holds what the provider's response shows, at least its id.
	Create(ctx context.Context, cred Credential, change normalize.Change) (*normalize.Agent, error)
	// Update changes exactly what the change sets.
	Update(ctx context.Context, cred Credential, nativeID string, change normalize.Change) error
	// Delete deletes the agent.
	Delete(ctx context.Context, cred Credential, nativeID string) error
}

// Listing is the result of Adapter.List.
type Listing struct {
	Agents []*normalize.Agent
	// Warnings say which rows were left out because they cannot be agents.
	Warnings []normalize.Warning
	// Partial is why agents are missing; nil for a complete list.
	Partial *normalize.Error
	// Interrupted is true if the list is partial because a page could not be
	// read, and false if its paging contradicts itself.
	Interrupted bool
}

// NewListing returns the listing of what was read of a list. It is partial if rows could
// not be read.
func NewListing(provider string, agents []*normalize.Agent, unreadable []normalize.Warning) Listing {
	l := Listing{Agents: agents, Warnings: unreadable}
	if n := len(unreadable); n > 0 {
		l.Partial = &normalize.Error{Kind: normalize.KindWrongShape, Provider: provider, Op: string(OpList), Message: fmt.Sprintf("%d of %d rows cannot be read", n, n+len(agents))}
	}
	return l
}

// Credential is the secret that a backend accepts. The zero value is no
// credential.
type Credential struct {
	secret secret.String
	id     string
}

// NewCredential returns the credential of a secret.
func NewCredential(s secret.String) Credential {
	sum := sha256.Sum256([]byte(s.Reveal()))
	return Credential{secret: s, id: hex.EncodeToString(sum[:])}
}

// Reveal returns the secret itself, for the request to the backend.
func (c Credential) Reveal() string { return c.secret.Reveal() }

// Bearer returns the secret as the header field Authorization carries it (RFC
// 6750, section 2.1).
func (c Credential) Bearer() string { return "Bearer " + c.secret.Reveal() }

// ID identifies the credential without revealing it: the SHA-256 of the secret,
// in hex. Two keys that map to one credential have the same ID.
func (c Credential) ID() string { return c.id }

// Settings configure the adapter of one backend.
type Settings struct {
	// Backend is the operator's name for the backend, the first half of agent ids.
	Backend string
	// RoundTrip sends the adapter's requests.
	RoundTrip RoundTrip
}

// Provider describes one provider's API and makes adapters for it.
type Provider struct {
	Info *Info
	New  func(Settings) Adapter
}
