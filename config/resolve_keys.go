package config

import (
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/agentgw/agentgw/config/secret"
)

var keyID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// ValidKeyID reports whether s can be the id of a key.
func ValidKeyID(s string) bool { return keyID.MatchString(s) }

// keys resolves all keys. shared holds the shared credentials, by backend.
func (r *resolver) keys(file File, shared map[string]secret.String) []ResolvedKey {
	var keys []ResolvedKey
	ids, hashes := map[string]int{}, map[[32]byte]int{} // → index in keys
	for i, k := range file.Keys {
		at := func(rest ...string) []string { return append([]string{"keys", strconv.Itoa(i)}, rest...) }
		if !ValidKeyID(k.ID) {
			r.problem(fmt.Sprintf("%q is not 1 to 64 letters, digits, '.', '_' or '-'", k.ID), at("id")...)
		}
		if first, taken := ids[k.ID]; taken {
			r.problem(fmt.Sprintf("%q is already the id of keys.%d", k.ID, first), at("id")...)
		}
		ids[k.ID] = i

		key := ResolvedKey{ID: k.ID, Scopes: k.Scopes, AliasGroup: k.AliasGroup, Limit: k.RateLimit}
		if k.AliasGroup != "" && !ValidKeyID(k.AliasGroup) {
			r.problem(fmt.Sprintf("%q is not 1 to 64 letters, digits, '.', '_' or '-'", k.AliasGroup), at("alias_group")...)
		}
		hash, err := hex.DecodeString(k.SHA256)
		if err != nil || len(hash) != len(key.Hash) {
			r.problem("want the SHA-256 of the key as 64 hex digits; agentgw keys new prints it", at("sha256")...)
		} else {
			key.Hash = [32]byte(hash)
			if first, taken := hashes[key.Hash]; taken {
				r.problem(fmt.Sprintf("is the same key as keys.%d", first), at("sha256")...)
			}
			hashes[key.Hash] = i
		}
		if k.RateLimit != nil {
			r.positive(k.RateLimit.Per, at("rate_limit", "per")...)
		}
		key.NotBefore = r.timestamp(k.NotBefore, at("not_before")...)
		key.ExpiresAt = r.timestamp(k.ExpiresAt, at("expires_at")...)
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
