package config

import (
	"net/url"
	"time"

	"github.com/agentgw/agentgw/config/secret"
)

// Config is a validated configuration: URLs are parsed, secrets are resolved, and backends
// are in the order of the file. It is immutable.
type Config struct {
	File     File
	Backends []ResolvedBackend
	Keys     []ResolvedKey
	// CursorSecret is empty if none is configured.
	CursorSecret secret.String
	// StoreURL may contain a password. StoreKey is empty if none is configured.
	StoreURL, StoreKey secret.String
	// Fingerprint is the SHA-256 of the file. Watch compares it with the current file.
	Fingerprint [32]byte
	// Warnings are logged at startup and after every reload.
	Warnings []Problem
}

// ResolvedBackend is a backend with its name and parsed URL.
type ResolvedBackend struct {
	Name    string
	BaseURL *url.URL
	Backend
}

// ResolvedKey is a key with the credential of each backend that it maps to.
type ResolvedKey struct {
	ID          string
	Hash        [32]byte // SHA-256 of the key, including its prefix and checksum
	Scopes      []string
	Limit       *KeyRate
	NotBefore   time.Time // zero: valid immediately
	ExpiresAt   time.Time // zero: never expires
	Credentials map[string]secret.String
}
