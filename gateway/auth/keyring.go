// Package auth authenticates callers by their gateway keys. A key determines which backends
// a caller can use and with which credentials, its scopes and its rate limit.
//
// It may not know HTTP: gateway/api reads the key from the request. Begin with
// [Keyring.Find].
package auth

import (
	"crypto/subtle"
	"maps"
	"slices"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/apikey"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/limit"
)

// Keyring holds the callers of one configuration. It is immutable; a configuration reload
// creates another. It is safe for concurrent use.
type Keyring struct {
	byHash   map[[32]byte]*entry
	byID     map[string]*Caller
	accounts map[string][]string // the ids of the keys that have each
}

// entry is a key with its validity period.
type entry struct {
	hash                 [32]byte
	notBefore, expiresAt time.Time // zero expiresAt: it never expires
	caller               *Caller
}

// NewKeyring maps each key to the backends that it has credentials for. Rate limits that
// are unchanged since the previous keyring, which may be nil, keep their counts. slots
// supplies each caller's share of the concurrent requests.
func NewKeyring(keys []config.ResolvedKey, backends []*backend.Backend, slots *limit.FairSemaphore, previous *Keyring) *Keyring {
	limits := map[string]*RateLimit{}
	if previous != nil {
		for id, caller := range previous.byID {
			limits[id] = caller.Limit
		}
	}
	ring := &Keyring{byHash: make(map[[32]byte]*entry, len(keys)), byID: make(map[string]*Caller, len(keys)), accounts: map[string][]string{}}
	for _, k := range keys {
		caller := &Caller{KeyID: k.ID, AliasGroup: k.AliasGroup, scopes: k.Scopes, Limit: newRateLimit(k.Limit, limits[k.ID]), Slots: slots.Slots(k.ID)}
		for _, b := range backends {
			if s, ok := k.Credentials[b.Name]; ok && !s.Empty() {
				credential := adapters.NewCredential(s)
				account := accountOf(b.Name, credential)
				caller.Backends = append(caller.Backends, CallerBackend{Backend: b, Credential: credential, Account: account})
				ring.accounts[account] = append(ring.accounts[account], k.ID)
			}
		}
		ring.byHash[k.Hash] = &entry{hash: k.Hash, notBefore: k.NotBefore, expiresAt: k.ExpiresAt, caller: caller}
		ring.byID[k.ID] = caller
	}
	return ring
}

// Reasons for which a key is refused. They are values of a metric's label and are not
// disclosed to the caller.
const (
	ReasonMissing   = "missing"
	ReasonMalformed = "malformed"
	ReasonUnknown   = "unknown"
	ReasonNotYet    = "not_yet_valid"
	ReasonExpired   = "expired"
)

// Find returns the caller of a key that is valid at the given time, or nil and the reason
// why the key is refused.
func (r *Keyring) Find(key []byte, now time.Time) (caller *Caller, refused string) {
	if len(key) == 0 {
		return nil, ReasonMissing
	}
	if !apikey.Valid(key) {
		return nil, ReasonMalformed
	}
	hash := apikey.Hash(key)
	e, ok := r.byHash[hash]
	if !ok || subtle.ConstantTimeCompare(e.hash[:], hash[:]) != 1 {
		return nil, ReasonUnknown
	}
	if reason := e.refused(now); reason != "" {
		return nil, reason
	}
	return e.caller, ""
}

// refused returns why the key is not valid at that time, or the empty string if it is.
func (e *entry) refused(now time.Time) (reason string) {
	switch {
	case now.Before(e.notBefore):
		return ReasonNotYet
	case !e.expiresAt.IsZero() && !now.Before(e.expiresAt):
		return ReasonExpired
	}
	return ""
}

// Len returns the number of keys.
func (r *Keyring) Len() int { return len(r.byID) }

// IDs returns the ids of all keys in ascending order.
func (r *Keyring) IDs() []string { return slices.Sorted(maps.Keys(r.byID)) }

// Caller returns the caller of a key's id, nil if there is none. The key may have expired.
func (r *Keyring) Caller(id string) *Caller { return r.byID[id] }

// KeysWithAccount returns the ids of the keys that have a credential of an account, in ascending
// order.
func (r *Keyring) KeysWithAccount(account string) []string {
	return slices.Sorted(slices.Values(r.accounts[account]))
}

// Tenants returns the tenants that the keys map to.
func (r *Keyring) Tenants() map[*backend.Tenant]bool {
	inUse := map[*backend.Tenant]bool{}
	for _, caller := range r.byID {
		for _, b := range caller.Backends {
			inUse[b.Tenant(b.Credential)] = true
		}
	}
	return inUse
}

// CredentialKeys is a credential with the ids of the keys that map to it, in ascending
// order.
type CredentialKeys struct {
	Credential adapters.Credential
	KeyIDs     []string
}

// KeysByCredential returns the credentials at a backend with their keys, ordered by the
// keys' ids.
func (r *Keyring) KeysByCredential(b *backend.Backend) []CredentialKeys {
	var all []CredentialKeys
	for _, id := range r.IDs() {
		mapped, ok := r.byID[id].Backend(b.Name)
		if !ok || mapped.Backend != b {
			continue
		}
		i := slices.IndexFunc(all, func(c CredentialKeys) bool { return c.Credential.ID() == mapped.Credential.ID() })
		if i < 0 {
			all, i = append(all, CredentialKeys{Credential: mapped.Credential}), len(all)
		}
		all[i].KeyIDs = append(all[i].KeyIDs, id)
	}
	return all
}
