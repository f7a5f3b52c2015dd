package config

import (
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/normalize"
)

// resolver makes a Config of a File and notes everything that is wrong.
type resolver struct {
	source   Source
	problems Problems
	warnings []Problem
	used     map[string]bool // variables that secrets are in
	refused  []string        // backends that were left out for their names
}

func (s Source) resolve(file File, order, refused []string) (*Config, Problems) {
	r := &resolver{source: s, used: map[string]bool{}, refused: refused}
	c := &Config{}
	r.server(file)
	if file.Server.CursorSecret != "" {
		c.CursorSecret = r.secret(file.Server.CursorSecret, "server", "cursor_secret")
		if n := len(c.CursorSecret.Reveal()); n > 0 && n < minCursorSecret {
			r.problem(fmt.Sprintf("is shorter than %d characters", minCursorSecret), "server", "cursor_secret")
		}
	}
	shared := map[string]secret.String{}
	for _, name := range order {
		b := file.Backends[name]
		if server := file.Server; b.Timeout > 0 && b.Timeout.D() >= server.ReadBudget() {
			r.warnings = append(r.warnings, Problem{Path: []string{"backends", name, "timeout"}, Message: fmt.Sprintf("is not below nine tenths of server.request_timeout (%s): a backend that hangs is cut off by that first, and never counts as failing", server.RequestTimeout)})
		}
		c.Backends = append(c.Backends, r.backend(name, b))
		if b.SharedCredential != "" {
			shared[name] = r.secret(b.SharedCredential, "backends", name, "shared_credential")
		}
	}
	if len(order) == 0 {
		r.problem("at least one backend is needed", "backends")
	}
	if len(file.Keys) == 0 {
		r.warnings = append(r.warnings, Problem{Path: []string{"keys"}, Message: "there is no key, so nobody can ask for anything; make one with agentgw keys new"})
	}
	c.Keys = r.keys(file, shared)
	r.store(file, c)
	c.File = withoutSecrets(file)
	r.strayVariables()
	c.Warnings = r.warnings
	return c, r.problems
}

// minStoreKey keeps what is encrypted from being opened by a guess.
const minStoreKey = 16

// store resolves where the store is, which may be a secret, and its key.
func (r *resolver) store(file File, c *Config) {
	c.StoreURL = secret.New(file.Store.URL)
	if scheme, _, _ := strings.Cut(file.Store.URL, ":"); scheme == "env" || scheme == "file" {
		c.StoreURL = r.secret(file.Store.URL, "store", "url")
	}
	if !c.StoreURL.Empty() || file.Store.URL == "" {
		r.storeURL(c.StoreURL.Reveal())
	}
	migrates := slices.ContainsFunc(c.Keys, func(k ResolvedKey) bool { return slices.Contains(k.Scopes, "migrations:write") })
	switch {
	case file.Store.EncryptionKey != "":
		c.StoreKey = r.secret(file.Store.EncryptionKey, "store", "encryption_key")
		if n := len(c.StoreKey.Reveal()); n > 0 && n < minStoreKey {
			r.problem(fmt.Sprintf("is shorter than %d characters", minStoreKey), "store", "encryption_key")
		}
	case migrates:
		r.warnings = append(r.warnings, Problem{Path: []string{"store", "encryption_key"}, Message: "is not set: what migrations keep of agents, prompts among it, is not encrypted"})
	}
}

// storeURL says what is wrong with it, without quoting it.
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

// minCursorSecret keeps cursors from being sealed by a guess.
const minCursorSecret = 16

// strayVariables warns of variables that look like settings and are none.
func (r *resolver) strayVariables() {
	for _, pair := range r.source.Environ {
		name, _, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(name, EnvPrefix)
		if !ours || strings.Contains(rest, "__") || r.used[name] || name == PathVariable || name == URLVariable || name == KeyVariable {
			continue
		}
		message := "is no setting"
		if section, key, ok := strings.Cut(rest, "_"); ok {
			message = fmt.Sprintf("is no setting, for levels are parted by two underscores (%s%s__%s)", EnvPrefix, section, key)
		}
		r.warnings = append(r.warnings, Problem{Origin: name, Message: message})
	}
}

// withoutSecrets is the file less its secret references, which may be the
// secrets themselves.
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

func (r *resolver) problem(message string, path ...string) {
	r.problems = append(r.problems, Problem{Path: path, Message: message})
}

func (r *resolver) server(file File) {
	r.listener(file.Server.Listen, "server", "listen")
	r.listener(file.Admin.Listen, "admin", "listen")
	_, port, _ := net.SplitHostPort(file.Admin.Listen)
	if file.Server.Listen == file.Admin.Listen && port != "0" {
		r.problem("is the public listener's address too; operators' routes need one of their own", "admin", "listen")
	}
	if (file.Server.TLS.CertFile == "") != (file.Server.TLS.KeyFile == "") {
		r.problem("cert_file and key_file go together: set both or none", "server", "tls")
	}
	if tls := file.Server.TLS; tls.CertFile != "" && tls.KeyFile != "" {
		r.certificate(tls)
	}
	r.positive(file.Server.RequestTimeout, "server", "request_timeout")
	if file.Server.BodyLimit <= 0 {
		r.problem("must be above 0B", "server", "body_limit")
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
		r.problem(fmt.Sprintf("%q has no port from 0 to 65535", address), path...)
	}
}

// certificate reads the pair as the listener will.
func (r *resolver) certificate(files TLS) {
	cert, err := r.source.ReadFile(files.CertFile)
	if err != nil {
		r.problem(fmt.Sprintf("cannot read %s: %s", files.CertFile, reason(err)), "server", "tls", "cert_file")
	}
	key, keyErr := r.source.ReadFile(files.KeyFile)
	if keyErr != nil {
		r.problem(fmt.Sprintf("cannot read %s: %s", files.KeyFile, reason(keyErr)), "server", "tls", "key_file")
	}
	if err != nil || keyErr != nil {
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		r.problem("cert_file and key_file are no PEM certificate and its key", "server", "tls")
	}
}

func (r *resolver) positive(d Duration, path ...string) {
	if d <= 0 {
		r.problem("must be above 0s", path...)
	}
}

func (r *resolver) backend(name string, b Backend) ResolvedBackend {
	at := func(rest ...string) []string { return append([]string{"backends", name}, rest...) }
	if !slices.Contains(r.source.Providers, b.Provider) {
		r.problem(fmt.Sprintf("%q is not one of %s%s", b.Provider, strings.Join(r.source.Providers, ", "), suggestion(b.Provider, r.source.Providers)), at("provider")...)
	}
	base, err := url.Parse(b.BaseURL)
	switch {
	case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https":
		r.problem("is not an http or https URL such as https://api.example.com/v1", at("base_url")...)
		base = &url.URL{}
	case base.User != nil:
		r.problem("holds a user or password; credentials belong to keys", at("base_url")...)
	case base.RawQuery != "" || base.Fragment != "":
		r.problem("has a query or fragment; only a path prefix belongs to it", at("base_url")...)
	case base.Scheme == "http" && !loopback(base.Hostname()):
		r.warnings = append(r.warnings, Problem{Path: at("base_url"), Message: "is plain http: credentials cross the network unencrypted"})
	}
	r.positive(b.Timeout, at("timeout")...)
	r.positive(b.Breaker.Window, at("breaker", "window")...)
	r.positive(b.Breaker.OpenFor, at("breaker", "open_for")...)
	r.positive(b.Breaker.MaxOpenFor, at("breaker", "max_open_for")...)
	if b.MaxResponseBytes <= 0 {
		r.problem("must be above 0B", at("max_response_bytes")...)
	}
	if b.Quota != nil {
		r.positive(b.Quota.Per, at("quota", "per")...)
	}
	b.SharedCredential = "" // it is resolved into the keys
	return ResolvedBackend{Name: name, BaseURL: base, Backend: b}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

var keyID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// ValidKeyID reports whether s can name a key.
func ValidKeyID(s string) bool { return keyID.MatchString(s) }

func (r *resolver) keys(file File, shared map[string]secret.String) []ResolvedKey {
	var keys []ResolvedKey
	ids, hashes := map[string]int{}, map[[32]byte]int{}
	for i, k := range file.Keys {
		at := func(rest ...string) []string { return append([]string{"keys", strconv.Itoa(i)}, rest...) }
		if !ValidKeyID(k.ID) {
			r.problem(fmt.Sprintf("%q is not 1 to 64 of letters, digits, . _ -", k.ID), at("id")...)
		}
		if first, taken := ids[k.ID]; taken {
			r.problem(fmt.Sprintf("%q is the id of keys.%d too", k.ID, first), at("id")...)
		}
		ids[k.ID] = i

		key := ResolvedKey{ID: k.ID, Scopes: k.Scopes, Limit: k.RateLimit, Credentials: map[string]secret.String{}}
		hash, err := hex.DecodeString(k.SHA256)
		if err != nil || len(hash) != len(key.Hash) {
			r.problem("want the SHA-256 of the key, 64 hex digits; agentgw keys new prints it", at("sha256")...)
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
		key.NotBefore = r.instant(k.NotBefore, at("not_before")...)
		key.ExpiresAt = r.instant(k.ExpiresAt, at("expires_at")...)
		if !key.ExpiresAt.IsZero() && !key.NotBefore.Before(key.ExpiresAt) {
			r.problem("is not after not_before, so the key is never good", at("expires_at")...)
		}
		if len(k.Scopes) == 0 {
			r.warnings = append(r.warnings, Problem{Path: at("scopes"), Message: "the key has no scope, so all it may see is GET /v1/backends"})
		}
		for _, backend := range slices.Sorted(maps.Keys(k.Credentials)) {
			if slices.Contains(r.refused, backend) {
				continue
			}
			if _, ok := file.Backends[backend]; !ok {
				r.problem("there is no backend of this name"+suggestion(backend, slices.Sorted(maps.Keys(file.Backends))), at("credentials", backend)...)
				continue
			}
			key.Credentials[backend] = r.secret(k.Credentials[backend], at("credentials", backend)...)
		}
		for backend, s := range shared {
			if _, own := key.Credentials[backend]; !own {
				key.Credentials[backend] = s
			}
		}
		if len(key.Credentials) == 0 {
			r.warnings = append(r.warnings, Problem{Path: at("credentials"), Message: "the key maps to no backend, so it sees nothing"})
		}
		keys = append(keys, key)
	}
	return keys
}

func (r *resolver) instant(text string, path ...string) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		r.problem("is not an RFC 3339 time such as 2027-01-31T00:00:00Z", path...)
	}
	return t
}

// secret resolves a reference. No message holds a value.
func (r *resolver) secret(reference string, path ...string) secret.String {
	value := reference
	switch scheme, rest, _ := strings.Cut(reference, ":"); scheme {
	case "env":
		r.used[rest] = true
		v, ok := r.source.LookupEnv(rest)
		if !ok || v == "" {
			r.problem(fmt.Sprintf("the environment variable %s is not set", rest), path...)
			return secret.String{}
		}
		value = v
	case "file":
		data, err := r.source.ReadFile(rest)
		if err != nil {
			r.problem(fmt.Sprintf("cannot read the secret's file %s: %s", rest, reason(err)), path...)
			return secret.String{}
		}
		value = strings.TrimRight(string(data), "\r\n")
		if value == "" {
			r.problem(fmt.Sprintf("the secret's file %s is empty", rest), path...)
			return secret.String{}
		}
	default:
		if value == "" {
			r.problem("is empty; want env:NAME or file:/path", path...)
			return secret.String{}
		}
		if strings.Contains(reference, ":") {
			if near := normalize.Nearest(scheme, []string{"env", "file"}); near != "" {
				r.problem("is no reference; did you mean "+near+":?", path...)
				return secret.String{}
			}
		}
		r.warnings = append(r.warnings, Problem{Path: path, Message: "holds the secret itself; better env:NAME or file:/path"})
	}
	if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		r.problem("the secret holds a line break or another control character", path...)
		return secret.String{}
	}
	return secret.New(value)
}

func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such file"
	case errors.Is(err, fs.ErrPermission):
		return "permission denied"
	}
	return "not readable"
}
