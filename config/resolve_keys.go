package config

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/agentgw/agentgw/config/secret"
)

var keyID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// ValidKeyID reports whether s can be the id of a key.
func ValidKeyID(s string) bool { return keyID.MatchString(s) }

// adminKeys resolves the keys of the operators' listener, which needs at least one unless it is
// on loopback.
func (r *resolver) adminKeys(admin Admin) []ResolvedAdminKey {
	host, _, err := net.SplitHostPort(admin.Listen)
	if err == nil && !isLoopback(host) && len(admin.Keys) == 0 {
		r.problem(fmt.Sprintf("%q is not on loopback, so it needs admin.keys; create one with agentgw keys new --admin --id NAME", admin.Listen), "admin", "listen")
	}
	var keys []ResolvedAdminKey
	ids := map[string]int{}
	for i, k := range admin.Keys {
		at := func(rest ...string) []string { return append([]string{"admin", "keys", strconv.Itoa(i)}, rest...) }
		r.keyID(k.ID, ids, i, "admin.keys", at)
		key := ResolvedAdminKey{ID: k.ID, Hash: r.keyHash(k.SHA256, at)}
		key.ExpiresAt = r.expiry(k.ExpiresAt, at)
		keys = append(keys, key)
	}
	return keys
}

// keyID checks the id of a key: its form, and that no key before it has it.
func (r *resolver) keyID(id string, taken map[string]int, i int, list string, at func(...string) []string) {
	if !ValidKeyID(id) {
		r.problem(fmt.Sprintf("%q is not 1 to 64 letters, digits, '.', '_' or '-'", id), at("id")...)
	}
	if first, ok := taken[id]; ok {
		r.problem(fmt.Sprintf("%q is already the id of %s.%d", id, list, first), at("id")...)
	}
	taken[id] = i
}

func (r *resolver) keyHash(text string, at func(...string) []string) (hash [32]byte) {
	decoded, err := hex.DecodeString(text)
	if err != nil || len(decoded) != len(hash) {
		r.problem("want the SHA-256 of the key as 64 hex digits; agentgw keys new prints it", at("sha256")...)
		return hash
	}
	return [32]byte(decoded)
}

// expiry resolves expires_at. A key that has expired already is probably a mistake.
func (r *resolver) expiry(text string, at func(...string) []string) time.Time {
	expires := r.timestamp(text, at("expires_at")...)
	if !expires.IsZero() && !expires.After(r.source.now()) {
		r.warn(fmt.Sprintf("is in the past (%s): the key is refused", expires.Format(time.RFC3339)), at("expires_at")...)
	}
	return expires
}

// keys resolves all keys. shared holds the shared credentials, by backend.
func (r *resolver) keys(file File, shared map[string]secret.String) []ResolvedKey {
	var keys []ResolvedKey
	ids, hashes := map[string]int{}, map[[32]byte]int{} // → index in keys
	for i, k := range file.Keys {
		at := func(rest ...string) []string { return append([]string{"keys", strconv.Itoa(i)}, rest...) }
		r.keyID(k.ID, ids, i, "keys", at)

		key := ResolvedKey{ID: k.ID, Scopes: k.Scopes, AliasGroup: k.AliasGroup, Limit: k.RateLimit}
		if k.AliasGroup != "" && !ValidKeyID(k.AliasGroup) {
			r.problem(fmt.Sprintf("%q is not 1 to 64 letters, digits, '.', '_' or '-'", k.AliasGroup), at("alias_group")...)
		}
		if key.Hash = r.keyHash(k.SHA256, at); key.Hash != [32]byte{} {
			if first, taken := hashes[key.Hash]; taken {
				r.problem(fmt.Sprintf("is the same key as keys.%d", first), at("sha256")...)
			}
			hashes[key.Hash] = i
		}
		if k.RateLimit != nil {
			r.positive(k.RateLimit.Per, at("rate_limit", "per")...)
		}
		key.NotBefore = r.timestamp(k.NotBefore, at("not_before")...)
		key.ExpiresAt = r.expiry(k.ExpiresAt, at)
		if !key.ExpiresAt.IsZero() && !key.NotBefore.Before(key.ExpiresAt) {
			r.problem("is not after not_before, so the key is never valid", at("expires_at")...)
		}
		if len(k.Scopes) == 0 {
			r.warn("is empty: the key can only use GET /v1/backends", at("scopes")...)
		}
		key.Credentials = r.credentials(file, k, shared, at)
		if len(key.Credentials) == 0 {
			r.warn("is empty: the key maps to no backend and sees no agents", at("credentials")...)
		}
		keys = append(keys, key)
	}
	return keys
}

// credentials resolves the credentials of a key and adds the shared ones.
func (r *resolver) credentials(file File, k Key, shared map[string]secret.String, at func(...string) []string) map[string]secret.String {
	credentials := map[string]secret.String{}
	for _, backend := range slices.Sorted(maps.Keys(k.Credentials)) {
		if slices.Contains(r.invalidNames, backend) {
			continue
		}
		if _, ok := file.Backends[backend]; !ok {
			r.problem("unknown backend"+suggestion(backend, slices.Sorted(maps.Keys(file.Backends))), at("credentials", backend)...)
			continue
		}
		credentials[backend] = r.secret(k.Credentials[backend], at("credentials", backend)...)
	}
	for backend, s := range shared {
		if _, own := credentials[backend]; !own {
			credentials[backend] = s
		}
	}
	return credentials
}

func (r *resolver) timestamp(text string, path ...string) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		r.problem("is not an RFC 3339 time such as 2027-01-31T00:00:00Z", path...)
	}
	return t
}
