package config

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/agentgw/agentgw/config/secret"
)

// Minimum lengths, so that the secrets cannot be guessed.
const (
	minCursorSecret  = 16
	minEncryptionKey = 16
)

// resolver makes a Config of a File. It collects everything that is wrong.
type resolver struct {
	source       Source
	problems     Problems
	warnings     []Problem
	usedEnv      map[string]bool   // the environment variables that secrets refer to
	invalidNames []string          // the backends that were left out because of their names
	secretFiles  map[string]string // the values of secret files, by path
	fileContents map[string][]byte // of secret files, as they were read; nil if that failed
}

// resolve runs the checks that the schema cannot express, and resolves secrets. order is the
// order of the backends; backends with an invalid name are not in it.
func (s Source) resolve(data []byte, file File, order, invalidNames []string) (*Config, Problems) {
	r := &resolver{source: s, usedEnv: map[string]bool{}, invalidNames: invalidNames, secretFiles: map[string]string{}, fileContents: map[string][]byte{}}
	c := &Config{}
	r.server(file)
	if file.Server.CursorSecret != "" {
		c.CursorSecret = r.secret(file.Server.CursorSecret, "server", "cursor_secret")
		r.minLength(c.CursorSecret, minCursorSecret, "server", "cursor_secret")
	}
	shared := map[string]secret.String{}
	for _, name := range order {
		b := file.Backends[name]
		if server := file.Server; b.Timeout > 0 && b.Timeout.D() >= server.ReadBudget() {
			r.warn(fmt.Sprintf("should be below 90%% of server.request_timeout (%s): otherwise the request timeout ends calls to a hanging backend first, and they are not counted as failures", server.RequestTimeout), "backends", name, "timeout")
		}
		c.Backends = append(c.Backends, r.backend(name, b))
		if n := file.Server.MaxUpstreamBytes; n > 0 && n < 2*b.MaxResponseBytes {
			r.problem(fmt.Sprintf("is more than a half of server.max_upstream_bytes, which is what one credential gets; want at most %d bytes", n/2), "backends", name, "max_response_bytes")
		}
		if b.SharedCredential != "" {
			shared[name] = r.secret(b.SharedCredential, "backends", name, "shared_credential")
		}
	}
	if len(order) == 0 {
		r.problem("at least one backend is required", "backends")
	}
	if len(file.Keys) == 0 {
		r.warn("no key is configured, so every request is refused; create one with agentgw keys new", "keys")
	}
	c.Keys = r.keys(file, shared)
	c.AdminKeys = r.adminKeys(file.Admin)
	r.store(file, c)
	c.File = withoutSecrets(file)
	r.warnAboutUnknownVariables()
	c.Warnings = r.warnings
	c.Files = append([]string{s.Path}, slices.Sorted(maps.Keys(r.fileContents))...)
	r.fileContents[s.Path] = data
	c.Fingerprint = fingerprint(c.Files, r.fileContents)
	c.secretFiles = r.secretFiles
	return c, r.problems
}

func (r *resolver) problem(message string, path ...string) {
	r.problems = append(r.problems, Problem{Path: path, Message: message})
}

func (r *resolver) warn(message string, path ...string) {
	r.warnings = append(r.warnings, Problem{Path: path, Message: message})
}

// withoutSecrets returns the file without its secret references, which may be the secrets
// themselves.
func withoutSecrets(f File) File {
	f.Server.CursorSecret, f.Store = "", Store{}
	f.Backends = maps.Clone(f.Backends)
	for name, b := range f.Backends {
		b.SharedCredential = ""
		f.Backends[name] = b
	}
	f.Keys = slices.Clone(f.Keys)
	for i := range f.Keys {
		f.Keys[i].Credentials = nil
	}
	return f
}

// warnAboutUnknownVariables warns about variables that look like settings but are not.
func (r *resolver) warnAboutUnknownVariables() {
	for _, pair := range r.source.Environ {
		name, _, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(name, EnvPrefix)
		if !ours || strings.Contains(rest, "__") || r.usedEnv[name] || name == PathVariable || name == URLVariable || name == KeyVariable {
			continue
		}
		message := "is not a setting"
		if section, key, ok := strings.Cut(rest, "_"); ok {
			message = fmt.Sprintf("is not a setting; separate levels with two underscores (%s%s__%s)", EnvPrefix, section, key)
		}
		r.warnings = append(r.warnings, Problem{Origin: name, Message: message})
	}
}

func (r *resolver) server(file File) {
	r.listener(file.Server.Listen, "server", "listen")
	r.listener(file.Admin.Listen, "admin", "listen")
	_, port, _ := net.SplitHostPort(file.Admin.Listen)
	if file.Server.Listen == file.Admin.Listen && port != "0" {
		r.problem("is also the address of the public listener; use another address", "admin", "listen")
	}
	if (file.Server.TLS.CertFile == "") != (file.Server.TLS.KeyFile == "") {
		r.problem("set both cert_file and key_file, or neither", "server", "tls")
	}
	if tls := file.Server.TLS; tls.CertFile != "" && tls.KeyFile != "" {
		r.certificate(tls)
	}
	r.positive(file.Server.RequestTimeout, "server", "request_timeout")
	if file.Server.BodyLimit <= 0 {
		r.problem("must be greater than 0B", "server", "body_limit")
	}
	if n := file.Server.MaxBodyBytes; n > 0 && n < 2*file.Server.BodyLimit {
		r.problem(fmt.Sprintf("one key gets half of it, which is less than server.body_limit; want at least %d bytes", 2*file.Server.BodyLimit), "server", "max_body_bytes")
	}
	for i, origin := range file.Server.CORS.Origins {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "") {
			r.problem(fmt.Sprintf("%q is not an origin such as https://app.example.com", origin), "server", "cors", "origins", strconv.Itoa(i))
		}
	}
}

func (r *resolver) listener(address string, path ...string) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		r.problem(fmt.Sprintf("%q is not host:port", address), path...)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		r.problem(fmt.Sprintf("%q: the port must be from 0 to 65535", address), path...)
	}
}

// certificate reads the certificate and key in the same way as the listener.
func (r *resolver) certificate(files TLS) {
	cert, err := r.source.ReadFile(files.CertFile)
	if err != nil {
		r.problem(fmt.Sprintf("cannot read %s: %s", files.CertFile, readError(err)), "server", "tls", "cert_file")
	}
	key, keyErr := r.source.ReadFile(files.KeyFile)
	if keyErr != nil {
		r.problem(fmt.Sprintf("cannot read %s: %s", files.KeyFile, readError(keyErr)), "server", "tls", "key_file")
	}
	if err != nil || keyErr != nil {
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		r.problem("cert_file and key_file are not a PEM certificate and its private key", "server", "tls")
	}
}

func (r *resolver) positive(d Duration, path ...string) {
	if d <= 0 {
		r.problem("must be greater than 0s", path...)
	}
}

func (r *resolver) backend(name string, b Backend) ResolvedBackend {
	at := func(rest ...string) []string { return append([]string{"backends", name}, rest...) }
	if !slices.Contains(r.source.Providers, b.Provider) {
		r.problem(fmt.Sprintf("%q is not one of %s%s", b.Provider, strings.Join(r.source.Providers, ", "), suggestion(b.Provider, r.source.Providers)), at("provider")...)
	}
	if name == "auto" || name == "all" {
		r.problem(fmt.Sprintf("%q has a meaning of its own in requests; use another name", name), at()...)
	}
	base, err := url.Parse(b.BaseURL)
	switch { // the messages do not quote the URL: it may contain a password
	case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https":
		r.problem("is not an http or https URL such as https://api.example.com/v1", at("base_url")...)
		base = &url.URL{}
	case base.User != nil:
		r.problem("contains a user or password; set credentials in keys", at("base_url")...)
	case !validPort(base.Port()):
		r.problem("has a port that is not from 1 to 65535", at("base_url")...)
	case base.RawQuery != "" || base.Fragment != "":
		r.problem("has a query or fragment; only a path prefix is allowed", at("base_url")...)
	case path.Base(base.Path) == "agents":
		r.warn("ends in /agents, which the gateway appends itself; remove it", at("base_url")...)
	case base.Scheme == "http" && !isLoopback(base.Hostname()):
		r.warn("uses http: credentials are sent unencrypted", at("base_url")...)
	}
	r.positive(b.Timeout, at("timeout")...)
	r.positive(b.Breaker.Window, at("breaker", "window")...)
	r.positive(b.Breaker.OpenFor, at("breaker", "open_for")...)
	r.positive(b.Breaker.MaxOpenFor, at("breaker", "max_open_for")...)
	if b.MaxResponseBytes <= 0 {
		r.problem("must be greater than 0B", at("max_response_bytes")...)
	}
	if b.MaxAgentBytes <= 0 {
		r.problem("must be greater than 0B", at("max_agent_bytes")...)
	}
	if b.Quota != nil {
		r.positive(b.Quota.Per, at("quota", "per")...)
	}
	b.SharedCredential = "" // it is resolved into the keys
	return ResolvedBackend{Name: name, BaseURL: base, Backend: b}
}

// validPort reports whether a URL's port can be connected to. Empty stands for the default.
func validPort(port string) bool {
	n, err := strconv.Atoi(port)
	return port == "" || err == nil && n >= 1 && n <= 65535
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// store resolves the URL of the store, which may be a secret, and its encryption key.
func (r *resolver) store(file File, c *Config) {
	c.StoreURL = secret.New(file.Store.URL)
	if scheme, _, _ := strings.Cut(file.Store.URL, ":"); scheme == "env" || scheme == "file" {
		c.StoreURL = r.secret(file.Store.URL, "store", "url")
	}
	if !c.StoreURL.Empty() || file.Store.URL == "" {
		r.storeURL(c.StoreURL.Reveal())
	}
	canMigrate := slices.ContainsFunc(c.Keys, func(k ResolvedKey) bool { return slices.Contains(k.Scopes, "migrations:write") })
	switch {
	case file.Store.EncryptionKey != "":
		c.StoreKey = r.secret(file.Store.EncryptionKey, "store", "encryption_key")
		r.minLength(c.StoreKey, minEncryptionKey, "store", "encryption_key")
	case canMigrate:
		r.warn("is not set: migrations store copies of agents, including prompts, unencrypted", "store", "encryption_key")
	}
}

// storeURL checks the URL. The message does not quote it: it may contain a password.
func (r *resolver) storeURL(text string) {
	switch scheme, rest, _ := strings.Cut(text, ":"); scheme {
	case "sqlite":
		if rest != "" && !strings.HasPrefix(rest, "//") {
			return
		}
	case "postgres", "postgresql":
		if u, err := url.Parse(text); err == nil && u.Host != "" && strings.Trim(u.Path, "/") != "" {
			return
		}
	}
	r.problem("want sqlite:FILE, such as sqlite:agentgw.db, or postgres://user:password@host/database", "store", "url")
}
