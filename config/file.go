// Package config reads the gateway's configuration: defaults, then the file,
// then environment variables, held against one schema and reported on whole.
//
// It must not know the gateway or any vendor: which providers exist is told to
// it. Nothing here keeps state; a reload is a new Load.
package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/invopop/jsonschema"
)

// File is the configuration as it is written. Its tags are the schema that
// `agentgw config schema` prints and that every start and reload checks.
type File struct {
	Server   Server             `koanf:"server" jsonschema_description:"the public listener"`
	Admin    Admin              `koanf:"admin" jsonschema_description:"the operators' listener; never the public one"`
	Backends map[string]Backend `koanf:"backends" jsonschema_description:"the connections to providers, by the operator's name; lists keep their order"`
	Cache    Cache              `koanf:"cache" jsonschema_description:"what all backends' caches share"`
	Store    Store              `koanf:"store" jsonschema_description:"what outlives the process: aliases, migrations, the record of idempotency keys, the audit trail"`
	Keys     []Key              `koanf:"keys" jsonschema_description:"the gateway's keys and what each maps to"`
	Log      Log                `koanf:"log" jsonschema_description:"logging, to standard error"`
}

// Server is the public listener.
type Server struct {
	Listen                   string   `koanf:"listen" jsonschema_description:"host:port"`
	RequestTimeout           Duration `koanf:"request_timeout" jsonschema_description:"every request ends within this"`
	BodyLimit                Size     `koanf:"body_limit" jsonschema_description:"of a request's body"`
	MaxInflight              int      `koanf:"max_inflight" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"requests at once; above it 503 overloaded"`
	MaxConnections           int      `koanf:"max_connections" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"connections at once; more are closed"`
	MaxConnectionsPerAddress int      `koanf:"max_connections_per_address" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"of one IPv4 address or IPv6 /64; behind a load balancer all are its own"`
	ShutdownGrace            Duration `koanf:"shutdown_grace" jsonschema_description:"how long running requests may take after SIGTERM"`
	DrainFor                 Duration `koanf:"drain_for" jsonschema_description:"of that, while /readyz says 503, requests are still taken and answers end their connections; at most a quarter of shutdown_grace"`
	CursorSecret             string   `koanf:"cursor_secret" jsonschema_description:"secret reference; seals cursors, so all instances behind one address need the same; empty: made at start"`
	TLS                      TLS      `koanf:"tls" jsonschema_description:"both files or none; renewed files are picked up"`
	CORS                     CORS     `koanf:"cors" jsonschema_description:"browsers on other origins"`
}

// ReadBudget is how long a read of a backend may take in all: a little less than
// those who wait for it have, so that part of a list arrives rather than none of it.
func (s Server) ReadBudget() time.Duration { return s.RequestTimeout.D() * 9 / 10 }

// TLS names the certificate and key of the public listener.
type TLS struct {
	CertFile string `koanf:"cert_file" jsonschema_description:"PEM, the chain"`
	KeyFile  string `koanf:"key_file" jsonschema_description:"PEM"`
}

// CORS says which browsers' pages may call the gateway.
type CORS struct {
	Origins []string `koanf:"origins" jsonschema_description:"such as https://app.example.com; none by default"`
}

// Admin is the operators' listener.
type Admin struct {
	Listen string `koanf:"listen" jsonschema_description:"host:port; keep it on loopback or a private network"`
	Pprof  bool   `koanf:"pprof" jsonschema_description:"profiles of the process at /debug/pprof/; they show what is in memory"`
}

// Backend is one configured connection to a provider.
type Backend struct {
	Provider         string       `koanf:"provider" jsonschema:"required" jsonschema_description:"the vendor"`
	BaseURL          string       `koanf:"base_url" jsonschema:"required" jsonschema_description:"the vendor's API; its path prefix belongs to it, and /agents is appended"`
	Timeout          Duration     `koanf:"timeout" jsonschema_description:"of each call to the vendor"`
	Quota            *Rate        `koanf:"quota" jsonschema_description:"what the vendor allows one credential; none by default"`
	MaxConcurrent    int          `koanf:"max_concurrent" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"calls to the vendor at once; above it 503 upstream_unavailable"`
	MaxResponseBytes Size         `koanf:"max_response_bytes" jsonschema_description:"of a vendor's body, after decompression"`
	Breaker          Breaker      `koanf:"breaker" jsonschema_description:"when to stop asking a failing vendor"`
	Cache            BackendCache `koanf:"cache" jsonschema_description:"how long what was read is good for"`
	SharedCredential string       `koanf:"shared_credential" jsonschema_description:"secret reference, for every key that maps no credential of its own to this backend; none by default"`
	PropagateTrace   bool         `koanf:"propagate_trace" jsonschema_description:"send traceparent to the vendor; off by default"`
}

// Rate is so many requests in each window.
type Rate struct {
	Requests int      `koanf:"requests" jsonschema:"required,minimum=1,maximum=1000000" jsonschema_description:"in each window"`
	Per      Duration `koanf:"per" jsonschema:"required" jsonschema_description:"length of the window"`
}

// Breaker says when a backend's circuit opens.
type Breaker struct {
	FailureRatio float64  `koanf:"failure_ratio" jsonschema:"exclusiveMinimum=0,maximum=1" jsonschema_description:"opens at this share of failures in the window"`
	MinRequests  int      `koanf:"min_requests" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"of at least so many calls"`
	Window       Duration `koanf:"window" jsonschema_description:"length of the rolling window"`
	Consecutive  int      `koanf:"consecutive" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"or at so many failures in a row"`
	OpenFor      Duration `koanf:"open_for" jsonschema_description:"then one probe; twice as long each time that it opens again"`
	MaxOpenFor   Duration `koanf:"max_open_for" jsonschema_description:"the longest that it grows to; never less than open_for"`
}

// BackendCache says how long what was read from a backend is good for.
type BackendCache struct {
	TTL                  Duration `koanf:"ttl" jsonschema_description:"served without asking; 0s: never"`
	StaleWhileRevalidate Duration `koanf:"stale_while_revalidate" jsonschema_description:"after that, served while one refresh runs"`
	StaleIfError         Duration `koanf:"stale_if_error" jsonschema_description:"after ttl, served as stale while the vendor cannot be asked"`
}

// Cache is what all backends' caches share.
type Cache struct {
	MaxEntries int  `koanf:"max_entries" jsonschema:"minimum=0,maximum=100000000" jsonschema_description:"lists and agents kept, over all backends and credentials"`
	MaxBytes   Size `koanf:"max_bytes" jsonschema_description:"memory for them, by estimate; a quarter of it is for pages that are ready to be sent"`
}

// Store is where what outlives the process is kept.
type Store struct {
	URL           string `koanf:"url" jsonschema_description:"sqlite:FILE, or a secret reference to (or itself) postgres://user:password@host/database, where several instances share it"`
	EncryptionKey string `koanf:"encryption_key" jsonschema_description:"secret reference; encrypts what a migration keeps of its agents, prompts among it"`
}

// Scopes are what a key may be allowed, in the order of the schema's enum.
var Scopes = []string{"agents:read", "agents:write", "aliases:write", "migrations:write"}

// Key is one gateway key.
type Key struct {
	ID          string            `koanf:"id" jsonschema:"required" jsonschema_description:"names the key in logs and spans"`
	SHA256      string            `koanf:"sha256" jsonschema:"required" jsonschema_description:"of the whole key, in hex; agentgw keys new prints it"`
	Scopes      []string          `koanf:"scopes" jsonschema:"required,enum=agents:read,enum=agents:write,enum=aliases:write,enum=migrations:write" jsonschema_description:"what the key may do"`
	RateLimit   *KeyRate          `koanf:"rate_limit" jsonschema_description:"of this key's requests; none by default"`
	NotBefore   string            `koanf:"not_before" jsonschema:"format=date-time" jsonschema_description:"RFC 3339; refused earlier"`
	ExpiresAt   string            `koanf:"expires_at" jsonschema:"format=date-time" jsonschema_description:"RFC 3339; refused from then on"`
	Credentials map[string]string `koanf:"credentials" jsonschema_description:"backend: secret reference (env:NAME, file:/path); a backend without one does not exist for the key"`
}

// KeyRate bounds a key's requests.
type KeyRate struct {
	Requests int      `koanf:"requests" jsonschema:"required,minimum=1,maximum=1000000" jsonschema_description:"in each window"`
	Per      Duration `koanf:"per" jsonschema:"required" jsonschema_description:"length of the window"`
	Burst    int      `koanf:"burst" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"at once; as many as requests if left out"`
}

// Log is how the gateway logs.
type Log struct {
	Level  string `koanf:"level" jsonschema:"enum=debug,enum=info,enum=warn,enum=error"`
	Format string `koanf:"format" jsonschema:"enum=auto,enum=json,enum=text" jsonschema_description:"auto: text on a terminal, else json"`
}

// Duration is a time.Duration written as 15s, 1m30s, 24h.
type Duration time.Duration

const durationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`

// JSONSchema is the schema of a duration.
func (Duration) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: durationPattern, Examples: []any{"15s", "1m30s"}}
}

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return errors.New("not a duration such as 15s")
	}
	*d = Duration(v)
	return nil
}

// D is the duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return d.D().String() }

// Size is a number of bytes written as 1MiB, 512KiB, 100B.
type Size int64

const sizePattern = `^[0-9]+ ?(B|KiB|MiB|GiB|KB|MB|GB)$`

// JSONSchema is the schema of a size.
func (Size) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: sizePattern, Examples: []any{"1MiB", "512KiB"}}
}

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	v, err := humanize.ParseBytes(string(text))
	if err != nil || v > 1<<40 {
		return fmt.Errorf("not a size such as 1MiB")
	}
	*s = Size(v)
	return nil
}
