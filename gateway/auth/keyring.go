// Package auth finds callers by their keys: which backends a key maps to and with which
// credentials, its scopes and its rate limit.
//
// It may not know HTTP: gateway/api reads the key from the request. Begin with
// [Keyring.Find].
package auth

import (
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/apikey"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/internal/digest"
	"github.com/agentgw/agentgw/gateway/limit"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// Caller is whoever showed a key, and what the key opens.
type Caller struct {
	KeyID    string
	scopes   []string
	Backends []CallerBackend // in the order of the configuration
	Limit    *RateLimit      // nil: none
	Slots    *limit.Slots    // of server.max_inflight
}

// CallerBackend is a backend that the key maps to, with its credential.
type CallerBackend struct {
	*backend.Backend
	Credential adapters.Credential
	// Account tells the credential at this backend from others, in the store: a hash of
	// its hash, so that the store has nothing that another system could know it by.
	Account string
}

// accountOf is the account of a credential at a backend.
func accountOf(backend string, c adapters.Credential) string {
	var h digest.Fields
	h = h.Text("account")
	h = h.Text(backend)
	h = h.Text(c.ID())
	sum := h.Sum()
	return hex.EncodeToString(sum[:16])
}

// Backend is the backend of that name, if the key maps to it.
func (c *Caller) Backend(name string) (CallerBackend, bool) {
	for _, b := range c.Backends {
		if b.Name == name {
			return b, true
		}
	}
	return CallerBackend{}, false
}

// Names are the backends that the key maps to.
func (c *Caller) Names() []string { return Names(c.Backends) }

func Names(backends []CallerBackend) []string {
	names := make([]string, 0, len(backends))
	for _, b := range backends {
		names = append(names, b.Name)
	}
	return names
}

// Scopes.
const (
	ScopeRead    = "agents:read"
	ScopeWrite   = "agents:write"
	ScopeAliases = "aliases:write"
	ScopeMigrate = "migrations:write"
)

func (c *Caller) HasScope(scope string) bool { return scope == "" || slices.Contains(c.scopes, scope) }

// Keyring finds callers by their keys. It is not changed after it was made; a
// reload makes another.
type Keyring struct {
	ByHash map[[32]byte]*entry
	ByID   map[string]*Caller
	// Accounts are those that some key has.
	Accounts map[string]bool
}

type entry struct {
	hash                 [32]byte
	notBefore, expiresAt time.Time
	Caller               *Caller
}

// NewKeyring maps each key to its credentials; a backend without one does not
// exist for it. Limits that did not change go on counting.
func NewKeyring(keys []config.ResolvedKey, backends []*backend.Backend, places *limit.FairSemaphore, previous *Keyring) *Keyring {
	limits := map[string]*RateLimit{}
	if previous != nil {
		for _, e := range previous.ByHash {
			limits[e.Caller.KeyID] = e.Caller.Limit
		}
	}
	ring := &Keyring{ByHash: make(map[[32]byte]*entry, len(keys)), ByID: make(map[string]*Caller, len(keys)), Accounts: map[string]bool{}}
	for _, k := range keys {
		caller := &Caller{KeyID: k.ID, scopes: k.Scopes, Limit: newRateLimit(k.Limit, limits[k.ID]), Slots: places.Slots(k.ID)}
		for _, b := range backends {
			if s, ok := k.Credentials[b.Name]; ok && !s.Empty() {
				credential := adapters.NewCredential(s)
				with := CallerBackend{b, credential, accountOf(b.Name, credential)}
				caller.Backends = append(caller.Backends, with)
				ring.Accounts[with.Account] = true
			}
		}
		ring.ByHash[k.Hash] = &entry{hash: k.Hash, notBefore: k.NotBefore, expiresAt: k.ExpiresAt, Caller: caller}
		ring.ByID[k.ID] = caller
	}
	return ring
}

// Reasons for which a key is refused, for the metric; a caller is not told.
const (
	ReasonMissing   = "missing"
	ReasonMalformed = "malformed"
	ReasonUnknown   = "unknown"
	ReasonNotYet    = "not_yet_valid"
	ReasonExpired   = "expired"
)

// Find is the key's entry, or why it is not accepted.
func (r *Keyring) Find(key []byte, now time.Time) (e *entry, refused string) {
	if len(key) == 0 {
		return nil, ReasonMissing
	}
	if !apikey.Valid(key) {
		return nil, ReasonMalformed
	}
	hash := apikey.Hash(key)
	e, ok := r.ByHash[hash]
	if !ok || subtle.ConstantTimeCompare(e.hash[:], hash[:]) != 1 {
		return nil, ReasonUnknown
	}
	return e, e.refused(now)
}

// refused is why the key is not valid at that time; empty if it is.
func (e *entry) refused(now time.Time) (reason string) {
	switch {
	case now.Before(e.notBefore):
		return ReasonNotYet
	case !e.expiresAt.IsZero() && !now.Before(e.expiresAt):
		return ReasonExpired
	}
	return ""
}

// Tenants are those that some key maps to.
func (r *Keyring) Tenants() map[*backend.Tenant]bool {
	inUse := map[*backend.Tenant]bool{}
	for _, e := range r.ByHash {
		for _, b := range e.Caller.Backends {
			inUse[b.Tenant(b.Credential)] = true
		}
	}
	return inUse
}

func UnknownBackend(caller *Caller, name string) *problem.Problem {
	detail := "the key maps to " + strings.Join(caller.Names(), ", ")
	if len(caller.Backends) == 0 {
		detail = "the key maps to no backend"
	}
	if near := normalize.Nearest(name, caller.Names()); near != "" {
		detail += "; did you mean " + near + "?"
	}
	return problem.New(problem.CodeBackendNotFound, "no backend %q: %s", normalize.Shorten(name), detail)
}

// Holders are the keys that map to each credential of a backend, in the order
// of their ids.
func (r *Keyring) Holders(b *backend.Backend) []Holder {
	var all []Holder
	for _, e := range r.ByHash {
		for _, mapped := range e.Caller.Backends {
			if mapped.Backend != b {
				continue
			}
			i := slices.IndexFunc(all, func(h Holder) bool { return h.Credential.ID() == mapped.Credential.ID() })
			if i < 0 {
				all, i = append(all, Holder{Credential: mapped.Credential}), len(all)
			}
			all[i].IDs = append(all[i].IDs, e.Caller.KeyID)
		}
	}
	for i := range all {
		slices.Sort(all[i].IDs)
	}
	slices.SortFunc(all, func(a, b Holder) int { return slices.Compare(a.IDs, b.IDs) })
	return all
}

type Holder struct {
	Credential adapters.Credential
	IDs        []string
}
