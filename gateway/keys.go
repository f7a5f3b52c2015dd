package gateway

import (
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/apikey"
)

// Caller is whoever showed a key, and what the key opens.
type Caller struct {
	KeyID    string
	scopes   []string
	backends []CallerBackend // in the order of the configuration
	limit    *keyLimit       // nil: none
	place    *held           // of server.max_inflight
}

// CallerBackend is a backend that the key maps to, with its credential.
type CallerBackend struct {
	*Backend
	Credential adapters.Credential
	// account tells the credential at this backend from others, in the store: a hash of
	// its hash, so that the store has nothing that another system could know it by.
	account string
}

// accountOf is the account of a credential at a backend.
func accountOf(backend string, c adapters.Credential) string {
	var h fields
	h = h.text("account")
	h = h.text(backend)
	h = h.text(c.ID())
	sum := h.sum()
	return hex.EncodeToString(sum[:16])
}

// Backend is the backend of that name, if the key maps to it.
func (c *Caller) Backend(name string) (CallerBackend, bool) {
	for _, b := range c.backends {
		if b.Name == name {
			return b, true
		}
	}
	return CallerBackend{}, false
}

// Names are the backends that the key maps to.
func (c *Caller) Names() []string { return names(c.backends) }

func names(backends []CallerBackend) []string {
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

func (c *Caller) has(scope string) bool { return scope == "" || slices.Contains(c.scopes, scope) }

// keyring finds callers by their keys. It is not changed after it was made; a
// reload makes another.
type keyring struct {
	byHash map[[32]byte]*keyEntry
	byID   map[string]*Caller
	// accounts are those that some key has.
	accounts map[string]bool
}

type keyEntry struct {
	hash                 [32]byte
	notBefore, expiresAt time.Time
	caller               *Caller
}

// newKeyring maps each key to its credentials; a backend without one does not
// exist for it. Limits that did not change go on counting.
func newKeyring(keys []config.ResolvedKey, backends []*Backend, places *shares, previous *keyring) *keyring {
	limits := map[string]*keyLimit{}
	if previous != nil {
		for _, e := range previous.byHash {
			limits[e.caller.KeyID] = e.caller.limit
		}
	}
	ring := &keyring{byHash: make(map[[32]byte]*keyEntry, len(keys)), byID: make(map[string]*Caller, len(keys)), accounts: map[string]bool{}}
	for _, k := range keys {
		caller := &Caller{KeyID: k.ID, scopes: k.Scopes, limit: newKeyLimit(k.Limit, limits[k.ID]), place: places.of(k.ID)}
		for _, b := range backends {
			if s, ok := k.Credentials[b.Name]; ok && !s.Empty() {
				credential := adapters.NewCredential(s)
				with := CallerBackend{b, credential, accountOf(b.Name, credential)}
				caller.backends = append(caller.backends, with)
				ring.accounts[with.account] = true
			}
		}
		ring.byHash[k.Hash] = &keyEntry{hash: k.Hash, notBefore: k.NotBefore, expiresAt: k.ExpiresAt, caller: caller}
		ring.byID[k.ID] = caller
	}
	return ring
}

// Reasons for which a key is refused, for the metric; a caller is not told.
const (
	reasonMissing   = "missing"
	reasonMalformed = "malformed"
	reasonUnknown   = "unknown"
	reasonNotYet    = "not_yet_valid"
	reasonExpired   = "expired"
)

// find is the key's entry, or why it is not accepted.
func (r *keyring) find(key []byte, now time.Time) (e *keyEntry, refused string) {
	if len(key) == 0 {
		return nil, reasonMissing
	}
	if !apikey.Valid(key) {
		return nil, reasonMalformed
	}
	hash := apikey.Hash(key)
	e, ok := r.byHash[hash]
	if !ok || subtle.ConstantTimeCompare(e.hash[:], hash[:]) != 1 {
		return nil, reasonUnknown
	}
	return e, e.refused(now)
}

// refused is why the key is not valid at that time; empty if it is.
func (e *keyEntry) refused(now time.Time) (reason string) {
	switch {
	case now.Before(e.notBefore):
		return reasonNotYet
	case !e.expiresAt.IsZero() && !now.Before(e.expiresAt):
		return reasonExpired
	}
	return ""
}

// principals are those that some key maps to.
func (r *keyring) principals() map[*principal]bool {
	inUse := map[*principal]bool{}
	for _, e := range r.byHash {
		for _, b := range e.caller.backends {
			inUse[b.principal(b.Credential)] = true
		}
	}
	return inUse
}

// keyLimit bounds a key's requests.
type keyLimit struct {
	config  config.KeyRate
	limiter *rate.Limiter
	policy  string // value of the RateLimit-Policy header
}

// newKeyLimit keeps the previous limit if it says the same.
func newKeyLimit(c *config.KeyRate, previous *keyLimit) *keyLimit {
	if c == nil {
		return nil
	}
	if previous != nil && previous.config == *c {
		return previous
	}
	perSecond := float64(c.Requests) / c.Per.D().Seconds()
	burst := c.Burst
	if burst == 0 {
		burst = c.Requests
	}
	policy := fmt.Sprintf(`"key";q=%d;w=%d`, c.Requests, max(1, int(c.Per.D().Seconds())))
	return &keyLimit{config: *c, limiter: rate.NewLimiter(rate.Limit(perSecond), burst), policy: policy}
}

// take counts a request, or says how long to wait for the next.
func (l *keyLimit) take(now time.Time) (wait time.Duration) {
	if l.limiter.AllowN(now, 1) {
		return 0
	}
	missing := 1 - l.limiter.TokensAt(now)
	return max(time.Millisecond, time.Duration(missing/float64(l.limiter.Limit())*float64(time.Second)))
}

// available returns the value of the RateLimit header (draft-ietf-httpapi-ratelimit-headers).
func (l *keyLimit) available(now time.Time) string {
	remaining, reset := l.remaining(now)
	return fmt.Sprintf(`"key";r=%d;t=%d`, remaining, reset)
}

// remaining is how many requests may come at once now, and in how many seconds
// all of them may again.
func (l *keyLimit) remaining(now time.Time) (requests int, resetS int) {
	tokens := l.limiter.TokensAt(now)
	missing := float64(l.limiter.Burst()) - tokens
	return max(0, int(tokens)), int(missing/float64(l.limiter.Limit()) + 0.999)
}
