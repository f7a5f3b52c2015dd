package config

import (
	"net/url"
	"time"

	"github.com/agentgw/agentgw/config/secret"
)

// Config is a configuration that was checked whole: URLs are parsed, secrets
// resolved, backends in the order of the file. It is not changed afterwards.
type Config struct {
	File     File
	Backends []ResolvedBackend
	Keys     []ResolvedKey
	// CursorSecret is empty where none is configured.
	CursorSecret secret.String
	// StoreURL may hold a password. StoreKey is empty where none is configured.
	StoreURL, StoreKey secret.String
	// Fingerprint is the SHA-256 of the file's bytes.
	Fingerprint [32]byte
	// Warnings are what an operator should hear of at start.
	Warnings []Problem
}

// ResolvedBackend is one backend.
type ResolvedBackend struct {
	Name    string
	BaseURL *url.URL
	Backend
}

// ResolvedKey is one key, with the credential for each backend it maps to.
type ResolvedKey struct {
	ID          string
	Hash        [32]byte // SHA-256 of the whole key
	Scopes      []string
	Limit       *KeyRate
	NotBefore   time.Time // zero: no bound
	ExpiresAt   time.Time // zero: never
	Credentials map[string]secret.String
}
