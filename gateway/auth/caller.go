package auth

import (
	"encoding/hex"
	"fmt"
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

// Problem returns the problem of a failed call for an agent.
func (b CallerBackend) Problem(op adapters.Operation, nativeID string, err error) *problem.Problem {
	p := problem.FromBackend(b.Name, op, err)
	if p.Code == problem.CodeAgentNotFound {
		p.Detail = b.agentNotFound(nativeID)
	}
	return p
}

// AgentNotFound returns the problem of an id that this backend has no agent for.
func (b CallerBackend) AgentNotFound(nativeID string) *problem.Problem {
	p := problem.New(problem.CodeAgentNotFound, "%s", b.agentNotFound(nativeID))
	p.Backend = &b.Name
	return p
}

func (b CallerBackend) agentNotFound(nativeID string) string {
	return fmt.Sprintf("backend %s has no agent %q", b.Name, normalize.Shorten(nativeID))
}

// AgentNotFound returns the problem of a name in a path that is neither an alias of the caller nor
// the id of an agent at one of its backends. It is the same whether the backend exists or not.
func AgentNotFound(caller *Caller, name string) *problem.Problem {
	quoted := normalize.Shorten(name)
	backend, _, hasColon := strings.Cut(name, ":")
	if _, mapped := caller.Backend(backend); hasColon && !mapped {
		return problem.New(problem.CodeAgentNotFound, "no agent %q: %s", quoted, UnknownBackend(caller, backend).Detail)
	}
	detail := fmt.Sprintf("no agent or alias %q; the id of an agent is backend:id, as in %s:123, and an alias has lowercase letters, digits and -", quoted, exampleBackend(caller))
	if hasColon {
		detail = fmt.Sprintf("no agent %q: after the colon, an id has 1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-', or ~ and base64url", quoted)
	}
	return problem.New(problem.CodeAgentNotFound, "%s", detail)
}

func exampleBackend(caller *Caller) string {
	if len(caller.Backends) == 0 {
		return "klen"
	}
	return caller.Backends[0].Name
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
