// Package adapters says what an adapter is: the one contract between the
// gateway and a vendor's agent API.
//
// An adapter translates to and from one vendor's shapes and nothing else. It
// must not know the gateway, other vendors, caching, retrying or who the
// caller is: it is given an Exchange to speak through and a Credential for
// each call.
package adapters

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/normalize"
)

// Adapter speaks one vendor's API for one backend.
//
// Every method is safe for concurrent use and sends nothing once ctx is done.
// Errors are *normalize.Error. An operation that the provider's Info declares
// none, or emulated, answers KindUnsupported and sends nothing. A native id
// that the vendor cannot have answers KindNotFound and sends nothing. No
// method sends a write more than once.
type Adapter interface {
	// List reads all agents that the credential sees, in no particular order.
	// Of two with one id the gateway keeps the first.
	List(ctx context.Context, cred Credential) (Listing, error)
	// Get reads one agent as the vendor's own get shows it.
	Get(ctx context.Context, cred Credential, nativeID string) (*normalize.Agent, error)
	// Create makes an agent. The change was checked against Info. The agent
	// returned is what the vendor's reply shows, at least its id.
	Create(ctx context.Context, cred Credential, change normalize.Change) (*normalize.Agent, error)
	// Update changes exactly what the change sets.
	Update(ctx context.Context, cred Credential, nativeID string, change normalize.Change) error
	// Delete removes the agent for good.
	Delete(ctx context.Context, cred Credential, nativeID string) error
}

// Listing is what a list gave.
type Listing struct {
	Agents []*normalize.Agent
	// Partial says why this is not all of it; nil if it is.
	Partial *normalize.Error
	// Interrupted: it is partial because a page could not be read, and not
	// because the list itself is odd.
	Interrupted bool
}

// Credential is the secret that a backend accepts. The zero value is none, and not to be
// asked for anything.
type Credential struct{ of *credential }

// credential is what a Credential is of: it goes through many hands, and is not copied each time.
type credential struct {
	secret, bearer secret.String
	id             string
	note           any
}

// NewCredential makes a credential of the secret.
func NewCredential(s secret.String) Credential {
	sum := sha256.Sum256([]byte(s.Reveal()))
	return Credential{&credential{secret: s, bearer: secret.New("Bearer " + s.Reveal()), id: hex.EncodeToString(sum[:])}}
}

// Reveal is the secret itself, for the request to the backend.
func (c Credential) Reveal() string { return c.of.secret.Reveal() }

// Bearer is the same as the header field Authorization has it (RFC 6750, section 2.1).
func (c Credential) Bearer() string { return c.of.bearer.Reveal() }

// ID tells credentials apart without revealing them: the SHA-256 of the
// secret, in hex. Two keys that map to one credential have the same ID.
func (c Credential) ID() string { return c.of.id }

// WithNote is the same credential with a note of whoever gives it to an adapter, for the
// Exchange that the adapter then gives it to. Adapters do not read it.
func (c Credential) WithNote(note any) Credential {
	with := *c.of
	with.note = note
	return Credential{&with}
}

// Note is that of WithNote; nil for none.
func (c Credential) Note() any { return c.of.note }

// Settings are what a provider needs to make the adapter of one backend.
type Settings struct {
	// Backend is the operator's name for it, the first half of agent ids.
	Backend string
	// Exchange is how the adapter speaks to the backend.
	Exchange Exchange
}

// Provider is a vendor: what its API can do, and how to make an adapter.
type Provider struct {
	Info *Info
	New  func(Settings) Adapter
}
