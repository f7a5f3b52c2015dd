// Package config reads the gateway's configuration: defaults, then the file, then
// environment variables. It validates the result against one schema and reports all
// problems together.
//
// The package must not know the gateway or any provider: the names of the known providers
// are an input. It keeps no state; a reload is another Load.
//
// Begin with File for the settings, then Load for the order of the steps.
package config

import "time"

// File is the configuration in the form of the file. Its tags define the schema, which
// `agentgw config schema` prints and every start and reload validates against.
type File struct {
	Server   Server             `koanf:"server" jsonschema_description:"the public listener"`
	Admin    Admin              `koanf:"admin" jsonschema_description:"the operators' listener, on an address of its own"`
	Backends map[string]Backend `koanf:"backends" jsonschema_description:"the connections to providers, by a name of your choice; lists of agents keep their order"`
	Cache    Cache              `koanf:"cache" jsonschema_description:"limits of the caches of all backends together"`
	Store    Store              `koanf:"store" jsonschema_description:"the database for aliases, migrations, idempotency records and the audit log"`
	Keys     []Key              `koanf:"keys" jsonschema_description:"the gateway's keys and the backends that each maps to"`
	Log      Log                `koanf:"log" jsonschema_description:"logging to standard error"`
}

// Server configures the public listener.
type Server struct {
	Listen                   string   `koanf:"listen" jsonschema_description:"host:port"`
	RequestTimeout           Duration `koanf:"request_timeout" jsonschema_description:"time limit of every request"`
	BodyLimit                Size     `koanf:"body_limit" jsonschema_description:"maximum size of a request body"`
	MaxBodyBytes             Size     `koanf:"max_body_bytes" jsonschema_description:"maximum memory of all request bodies together, of one key half of it; more get 503 overloaded; 0B: an eighth of the memory limit"`
	MaxUpstreamBytes         Size     `koanf:"max_upstream_bytes" jsonschema_description:"maximum memory of all provider responses that are being read and decoded, of one credential half of it; more get 503 overloaded or a stale response; 0B: a quarter of the memory limit"`
	MaxInflight              int      `koanf:"max_inflight" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"maximum number of concurrent requests; more get 503 overloaded"`
	MaxConnections           int      `koanf:"max_connections" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"maximum number of connections; more are closed"`
	MaxConnectionsPerAddress int      `koanf:"max_connections_per_address" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"maximum number of connections from one IPv4 address or IPv6 /64; a load balancer counts as one address"`
	ShutdownGrace            Duration `koanf:"shutdown_grace" jsonschema_description:"how long running requests may take after SIGTERM"`
	DrainFor                 Duration `koanf:"drain_for" jsonschema_description:"drain period at the beginning of shutdown_grace: /readyz returns 503, requests are still served, connections are closed after each response; at most a quarter of shutdown_grace"`
	CursorSecret             string   `koanf:"cursor_secret" jsonschema_description:"secret reference; encrypts list cursors, so all instances behind one address need the same; generated at start if empty"`
	Probes                   bool     `koanf:"probes" jsonschema_description:"serve /livez and /readyz on this listener too, without a key"`
	TLS                      TLS      `koanf:"tls" jsonschema_description:"set both files or neither; renewed files are reloaded"`
	CORS                     CORS     `koanf:"cors" jsonschema_description:"access by browsers from other origins"`
}

// ReadBudget is the time limit of a read from a backend, retries included. It is less than
// RequestTimeout, so that a list returns the other backends' agents when one backend hangs.
func (s Server) ReadBudget() time.Duration { return s.RequestTimeout.D() * 9 / 10 }

// TLS names the certificate and key of the public listener.
type TLS struct {
	CertFile string `koanf:"cert_file" jsonschema_description:"PEM file with the certificate chain"`
	KeyFile  string `koanf:"key_file" jsonschema_description:"PEM file with the private key"`
}

// CORS configures access by browsers from other origins.
type CORS struct {
	Origins []string `koanf:"origins" jsonschema_description:"such as https://app.example.com; none by default"`
}

// Admin configures the operators' listener.
type Admin struct {
	Listen      string     `koanf:"listen" jsonschema_description:"host:port; an address that is not on loopback needs keys"`
	Keys        []AdminKey `koanf:"keys" jsonschema_description:"if any, every request needs one, except /livez, /readyz and, with metrics_open, /metrics"`
	MetricsOpen bool       `koanf:"metrics_open" jsonschema_description:"serve /metrics without a key"`
	Hosts       []string   `koanf:"hosts" jsonschema_description:"names by which browsers and programs reach this listener, besides its address and localhost; requests for other hosts are refused"`
	Pprof       bool       `koanf:"pprof" jsonschema_description:"serve Go profiles at /debug/pprof/; they can expose the contents of memory"`
}

// AdminKey is a key of the operators' listener.
type AdminKey struct {
	ID        string `koanf:"id" jsonschema:"required" jsonschema_description:"names the key in logs"`
	SHA256    string `koanf:"sha256" jsonschema:"required" jsonschema_description:"SHA-256 of the key in hex; agentgw keys new --admin prints it"`
	ExpiresAt string `koanf:"expires_at" jsonschema:"format=date-time" jsonschema_description:"RFC 3339; the key is invalid from this time on"`
}

// Backend is a configured connection to a provider.
type Backend struct {
	Provider         string       `koanf:"provider" jsonschema:"required" jsonschema_description:"the provider"`
	BaseURL          string       `koanf:"base_url" jsonschema:"required" jsonschema_description:"the provider's API with its path prefix; /agents is appended"`
	Timeout          Duration     `koanf:"timeout" jsonschema_description:"time limit of each call to the provider"`
	Quota            *Rate        `koanf:"quota" jsonschema_description:"the provider's limit for one credential; none by default"`
	MaxConcurrent    int          `koanf:"max_concurrent" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"maximum number of concurrent calls to the provider; more get 503 upstream_unavailable"`
	MaxResponseBytes Size         `koanf:"max_response_bytes" jsonschema_description:"maximum size of a list's response body after decompression"`
	MaxAgentBytes    Size         `koanf:"max_agent_bytes" jsonschema_description:"maximum size of every other response body after decompression"`
	Breaker          Breaker      `koanf:"breaker" jsonschema_description:"circuit breaker"`
	Cache            BackendCache `koanf:"cache" jsonschema_description:"lifetime of cached responses"`
	SharedCredential string       `koanf:"shared_credential" jsonschema_description:"secret reference; the credential of every key that has none of its own for this backend; none by default"`
	RelayErrors      bool         `koanf:"relay_errors" jsonschema_description:"show callers what the provider says about a failed request, at most 500 characters, in upstream.message; off by default"`
	PropagateTrace   bool         `koanf:"propagate_trace" jsonschema_description:"send traceparent to the provider; off by default"`
}

// Rate limits the requests in each window.
type Rate struct {
	Requests int      `koanf:"requests" jsonschema:"required,minimum=1,maximum=1000000" jsonschema_description:"number of requests per window"`
	Per      Duration `koanf:"per" jsonschema:"required" jsonschema_description:"length of the window"`
}

// Breaker configures the circuit breaker of a backend.
type Breaker struct {
	FailureRatio float64  `koanf:"failure_ratio" jsonschema:"exclusiveMinimum=0,maximum=1" jsonschema_description:"opens at this share of failed calls in the window"`
	MinRequests  int      `koanf:"min_requests" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"number of calls in the window before failure_ratio applies"`
	Window       Duration `koanf:"window" jsonschema_description:"length of the rolling window"`
	Consecutive  int      `koanf:"consecutive" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"also opens after this number of consecutive failures"`
	OpenFor      Duration `koanf:"open_for" jsonschema_description:"time until the first probe; doubles each time the breaker opens again"`
	MaxOpenFor   Duration `koanf:"max_open_for" jsonschema_description:"upper limit of that time; never less than open_for"`
}

// BackendCache configures the lifetime of cached responses of a backend.
type BackendCache struct {
	TTL                  Duration `koanf:"ttl" jsonschema_description:"how long a response is fresh; 0s: always revalidate"`
	StaleWhileRevalidate Duration `koanf:"stale_while_revalidate" jsonschema_description:"how long after ttl a stale response is served while it is revalidated in the background"`
	StaleIfError         Duration `koanf:"stale_if_error" jsonschema_description:"how long after ttl a stale response is served when the provider is unavailable"`
}

// Cache limits the caches of all backends together.
type Cache struct {
	MaxEntries int  `koanf:"max_entries" jsonschema:"minimum=0,maximum=100000000" jsonschema_description:"maximum number of cached lists and agents, over all backends and credentials"`
	MaxBytes   Size `koanf:"max_bytes" jsonschema_description:"maximum memory of the caches, estimated; a quarter of it is reserved for encoded responses"`
}

// Store configures the database.
type Store struct {
	URL           string `koanf:"url" jsonschema_description:"sqlite:FILE, or, for several instances, postgres://user:password@host/database or a secret reference to it"`
	EncryptionKey string `koanf:"encryption_key" jsonschema_description:"secret reference; encrypts the copies of agents, including prompts, that migrations store"`
}

// Scopes are the permissions that a key can have, in the order of the schema's enum.
var Scopes = []string{"agents:read", "agents:write", "aliases:write", "migrations:write"}

// Key is a gateway key.
type Key struct {
	ID          string            `koanf:"id" jsonschema:"required" jsonschema_description:"names the key in logs and spans"`
	SHA256      string            `koanf:"sha256" jsonschema:"required" jsonschema_description:"SHA-256 of the key in hex; agentgw keys new prints it"`
	Scopes      []string          `koanf:"scopes" jsonschema:"required,enum=agents:read,enum=agents:write,enum=aliases:write,enum=migrations:write" jsonschema_description:"the permissions of the key"`
	AliasGroup  string            `koanf:"alias_group" jsonschema_description:"keys with the same group share the aliases whose names are slugs; by default each key has its own"`
	RateLimit   *KeyRate          `koanf:"rate_limit" jsonschema_description:"limit of the key's requests; none by default"`
	NotBefore   string            `koanf:"not_before" jsonschema:"format=date-time" jsonschema_description:"RFC 3339; the key is invalid before this time"`
	ExpiresAt   string            `koanf:"expires_at" jsonschema:"format=date-time" jsonschema_description:"RFC 3339; the key is invalid from this time on"`
	Credentials map[string]string `koanf:"credentials" jsonschema_description:"backend: secret reference (env:NAME, file:/path); a key sees only the backends it has credentials for"`
}

// KeyRate limits the requests of a key.
type KeyRate struct {
	Requests int      `koanf:"requests" jsonschema:"required,minimum=1,maximum=1000000" jsonschema_description:"number of requests per window"`
	Per      Duration `koanf:"per" jsonschema:"required" jsonschema_description:"length of the window"`
	Burst    int      `koanf:"burst" jsonschema:"minimum=1,maximum=1000000" jsonschema_description:"maximum number of requests at once; defaults to requests"`
}

// Log configures logging.
type Log struct {
	Level  string `koanf:"level" jsonschema:"enum=debug,enum=info,enum=warn,enum=error"`
	Format string `koanf:"format" jsonschema:"enum=auto,enum=json,enum=text" jsonschema_description:"auto: text on a terminal, otherwise json"`
}
