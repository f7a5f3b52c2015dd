package auth

import (
	"encoding/hex"
	"slices"

	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/internal/digest"
	"github.com/agentgw/agentgw/gateway/limit"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// Scopes of a key.
const (
	ScopeRead    = "agents:read"
	ScopeWrite   = "agents:write"
	ScopeAliases = "aliases:write"
	ScopeMigrate = "migrations:write"
)

// Caller is an authenticated client, with the permissions of its gateway key. A
// configuration reload creates new callers.
type Caller struct {
	KeyID string
	// AliasGroup is the group whose keys share their aliases; empty for none.
	AliasGroup string
	scopes     []string
	Backends   []CallerBackend // in the order of the configuration
	Limit      *RateLimit      // nil means unlimited
	Slots      *limit.Slots    // the key's share of server.max_inflight
}

// CallerBackend is a backend that a key maps to, with the credential to use there.
type CallerBackend struct {
	*backend.Backend
	Credential adapters.Credential
	// Account identifies the credential at this backend in the store. It is a hash of
	// the credential's id, so that the store holds nothing that another system could
	// match with the credential.
	Account string
}

// accountOf returns the account of a credential at a backend.
func accountOf(backend string, c adapters.Credential) string {
	var h digest.Fields
	h = h.Text("account")
	h = h.Text(backend)
	h = h.Text(c.ID())
	sum := h.Sum()
	return hex.EncodeToString(sum[:16])
}

// HasScope reports whether the key has a scope. Every key has the empty scope.
func (c *Caller) HasScope(scope string) bool { return scope == "" || slices.Contains(c.scopes, scope) }

// Backend returns the backend of that name; ok is false if the key does not map to it.
func (c *Caller) Backend(name string) (b CallerBackend, ok bool) {
	for _, b := range c.Backends {
		if b.Name == name {
			return b, true
		}
	}
	return CallerBackend{}, false
}

// BackendNames returns the names of the backends that the key maps to.
func (c *Caller) BackendNames() []string { return BackendNames(c.Backends) }

// BackendNames returns the names of backends, in the same order.
func BackendNames(backends []CallerBackend) []string {
	names := make([]string, 0, len(backends))
	for _, b := range backends {
		names = append(names, b.Name)
	}
	return names
}

// UnknownBackend returns the problem of a backend name that the key does not map to. It
// lists the backends that the key maps to, and suggests the most similar name.
func UnknownBackend(caller *Caller, name string) *problem.Problem {
	detail := "the key maps to " + strings.Join(caller.BackendNames(), ", ")
	if len(caller.Backends) == 0 {
		detail = "the key maps to no backend"
	}
	if near := normalize.Nearest(name, caller.BackendNames()); near != "" {
		detail += "; did you mean " + near + "?"
	}
	return problem.New(problem.CodeBackendNotFound, "no backend %q: %s", normalize.Shorten(name), detail)
}
