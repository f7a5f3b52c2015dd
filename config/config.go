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
	// AdminKeys are those of the operators' listener; none: it needs no key.
	AdminKeys []ResolvedAdminKey
	// CursorSecret is empty if none is configured.
	CursorSecret secret.String
	// StoreURL may contain a password. StoreKey is empty if none is configured.
	StoreURL, StoreKey secret.String
	// Files are the configuration file and the files of secrets. Fingerprint is that of their
	// contents as they were read; Watch compares it with the current ones.
	Files       []string
	Fingerprint [32]byte
	// Warnings are logged at startup and after every reload.
	Warnings []Problem

	secretFiles map[string]string // the values of secret files, by path
}

// IsCurrent reports whether the files are still as they were read.
func (c *Config) IsCurrent() bool {
	now := fingerprintOf(c.Files)
	return now == c.Fingerprint || now == [32]byte{} // not files of the file system
}

// secretFile returns the value that a secret file had. c may be nil.
func (c *Config) secretFile(path string) (value string, known bool) {
	if c == nil {
		return "", false
	}
	value = c.secretFiles[path]
	return value, value != ""
}

// ResolvedBackend is a backend with its name and parsed URL.
type ResolvedBackend struct {
	Name    string
	BaseURL *url.URL
	Backend
}

// ResolvedAdminKey is a key of the operators' listener.
type ResolvedAdminKey struct {
	ID        string
	Hash      [32]byte  // SHA-256 of the key
	ExpiresAt time.Time // zero: never expires
}

// ResolvedKey is a key with the credential of each backend that it maps to.
type ResolvedKey struct {
	ID          string
	Hash        [32]byte // SHA-256 of the key, including its prefix and checksum
	Scopes      []string
	AliasGroup  string // empty: the key's aliases are its own
	Limit       *KeyRate
	NotBefore   time.Time // zero: valid immediately
	ExpiresAt   time.Time // zero: never expires
	Credentials map[string]secret.String
}
