package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// valid is a configuration without problems; test cases replace parts of it.
const valid = `server:
  listen: 127.0.0.1:8080
backends:
  zeta:
    provider: klen
    base_url: https://api.klen.ai/api/v1
  alpha:
    provider: krosai
    base_url: https://api.krosai.com/v1
    quota: {requests: 60, per: 1m}
keys:
  - id: acme
    sha256: "0000000000000000000000000000000000000000000000000000000000000001"
    scopes: [agents:read]
    credentials:
      zeta: env:ACME_KLEN_KEY
`

func load(t *testing.T, yaml string, environ ...string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Source{Path: path, Environ: append(environ, "ACME_KLEN_KEY=klen_secret"), Providers: []string{"klen", "krosai"}})
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), path, "config.yaml"))
	}
	return c, err
}

func TestLoad(t *testing.T) {
	c, err := load(t, valid)
	if err != nil {
		t.Fatal(err)
	}
	if got := []string{c.Backends[0].Name, c.Backends[1].Name}; !reflect.DeepEqual(got, []string{"zeta", "alpha"}) {
		t.Errorf("order of the backends = %v, want file order", got)
	}
	if got := c.Backends[0].Timeout.D(); got != 5*time.Second {
		t.Errorf("default timeout of a backend = %s", got)
	}
	if q := c.Backends[1].Quota; q == nil || q.Requests != 60 || q.Per.D() != time.Minute {
		t.Errorf("quota = %+v", q)
	}
	if got := c.Keys[0].Credentials["zeta"].Reveal(); got != "klen_secret" {
		t.Errorf("credential = %q", got)
	}
	if _, ok := c.Keys[0].Credentials["alpha"]; ok {
		t.Error("the key has a credential for a backend that it does not name")
	}
	if len(c.Warnings) != 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
}

// TestScopes_MatchSchema: the enum in the schema tag lists the same scopes.
func TestScopes_MatchSchema(t *testing.T) {
	field, _ := reflect.TypeFor[Key]().FieldByName("Scopes")
	want := "required"
	for _, s := range Scopes {
		want += ",enum=" + s
	}
	if got := field.Tag.Get("jsonschema"); got != want {
		t.Errorf("schema tag = %s, want %s", got, want)
	}
}

func TestLoad_EnvironmentOverridesFile(t *testing.T) {
	c, err := load(t, valid,
		"AGENTGW_SERVER__LISTEN=0.0.0.0:80", "AGENTGW_SERVER__MAX_INFLIGHT=7", "AGENTGW_SERVER__CORS__ORIGINS=[https://a.example, https://b.example]",
		"AGENTGW_BACKENDS__ZETA__TIMEOUT=9s", "AGENTGW_BACKENDS__ALPHA__PROPAGATE_TRACE=true", "AGENTGW_BACKENDS__ALPHA__BREAKER__FAILURE_RATIO=0.25",
		"AGENTGW_BACKENDS__NEW__PROVIDER=klen", "AGENTGW_BACKENDS__NEW__BASE_URL=https://eu.klen.ai/api/v1",
		"AGENTGW_CURSOR_SECRET=not a setting", "OTHER=x")
	if err != nil {
		t.Fatal(err)
	}
	s := c.File.Server
	if s.Listen != "0.0.0.0:80" || s.MaxInflight != 7 || !reflect.DeepEqual(s.CORS.Origins, []string{"https://a.example", "https://b.example"}) {
		t.Errorf("server = %+v", s)
	}
	if c.Backends[0].Timeout.D() != 9*time.Second || !c.Backends[1].PropagateTrace || c.Backends[1].Breaker.FailureRatio != 0.25 {
		t.Errorf("backends = %+v", c.Backends)
	}
	if last := c.Backends[2]; last.Name != "new" || last.BaseURL.Host != "eu.klen.ai" || last.Timeout.D() != 5*time.Second {
		t.Errorf("backend from the environment = %+v", last)
	}
}

// TestLoad_Problems replaces a part of the valid configuration and compares all problems.
func TestLoad_Problems(t *testing.T) {
	f := func(name, old, new string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			if !strings.Contains(valid, old) {
				t.Fatalf("the valid configuration has no %q", old)
			}
			checkProblems(t, strings.Replace(valid, old, new, 1), nil, want)
		})
	}
	f("unknown key", "  listen:", "  lisen:", "config.yaml:2: server.lisen: unknown key; did you mean listen?")
	f("unknown section", "server:", "sever:", "config.yaml:1: sever: unknown key; did you mean server?")
	f("unknown key of a backend", "quota:", "qouta:", "config.yaml:10: backends.alpha.qouta: unknown key; did you mean quota?")
	f("wrong type", "127.0.0.1:8080", "8080", "config.yaml:2: server.listen: want host:port such as 127.0.0.1:8080, got a number")
	f("bad address", "127.0.0.1:8080", "localhost", `config.yaml:2: server.listen: "localhost" is not host:port`)
	f("bad port", "127.0.0.1:8080", "127.0.0.1:99999", `config.yaml:2: server.listen: "127.0.0.1:99999": the port must be from 0 to 65535`)
	f("admin on the public listener", "127.0.0.1:8080", "127.0.0.1:9090", "config.yaml: admin.listen: is also the address of the public listener; use another address")
	f("bad duration", "per: 1m", "per: 1 minute", `config.yaml:10: backends.alpha.quota.per: "1 minute" is not a duration such as 15s or 1m30s`)
	f("number for a duration", "per: 1m", "per: 60", "config.yaml:10: backends.alpha.quota.per: want a duration such as 15s or 1m30s, got a number")
	f("zero duration", "per: 1m", "per: 0s", "config.yaml:10: backends.alpha.quota.per: must be greater than 0s")
	f("below the minimum", "requests: 60", "requests: 0", "config.yaml:10: backends.alpha.quota.requests: must be at least 1, got 0")
	f("missing key", "    provider: klen\n", "", "config.yaml:4: backends.zeta.provider: is required")
	f("unknown provider", "provider: krosai", "provider: krossai", `config.yaml:8: backends.alpha.provider: "krossai" is not one of klen, krosai; did you mean krosai?`)
	f("bad URL", "https://api.krosai.com/v1", "api.krosai.com", "config.yaml:9: backends.alpha.base_url: is not an http or https URL such as https://api.example.com/v1")
	f("password in the URL", "https://api.krosai.com", "https://user:hunter2@api.krosai.com", "config.yaml:9: backends.alpha.base_url: contains a user or password; set credentials in keys")
	f("bad backend name", "  alpha:", "  Alpha:", "config.yaml:7: backends.Alpha: is not a backend name: a lowercase letter, then up to 31 lowercase letters, digits or -")
	f("bad hash", `"0000000000000000000000000000000000000000000000000000000000000001"`, "abc", "config.yaml:13: keys.0.sha256: want the SHA-256 of the key as 64 hex digits; agentgw keys new prints it")
	f("duration too large", "per: 1m", "per: 9999999h", `config.yaml:10: backends.alpha.quota.per: "9999999h" is too large`)
	f("size too large", "  listen:", "  body_limit: 9999999GiB\n  listen:", `config.yaml:2: server.body_limit: "9999999GiB" is too large`)
	f("number too large", "  listen:", "  max_inflight: 1e30\n  listen:", "config.yaml:2: server.max_inflight: must be at most 1000000, got 1000000000000000000000000000000")
	f("no scopes", "    scopes: [agents:read]\n", "", "config.yaml:12: keys.0.scopes: is required")
	for _, foreign := range []string{"${ACME_EU}", "$ACME_EU", "vault:secret/acme", "{{ .Values.key }}", "<your key>", "arn:aws:secretsmanager:eu", "op://vault/item"} {
		f("reference of another program "+foreign, "env:ACME_KLEN_KEY", strconv.Quote(foreign), "config.yaml:16: keys.0.credentials.zeta: looks like a reference of another program, which would be sent as the secret itself; want env:NAME or file:/path")
	}
	f("reserved name", "  zeta:\n", "  auto:\n", `config.yaml:4: backends.auto: "auto" has a meaning of its own in requests; use another name`, "config.yaml:16: keys.0.credentials.zeta: unknown backend")
	f("admin listener everywhere", "backends:\n", "admin: {listen: \":9090\"}\nbackends:\n", `config.yaml:3: admin.listen: ":9090" is not on loopback, so it needs admin.keys; create one with agentgw keys new --admin --id NAME`)
	f("admin key", "backends:\n", "admin: {keys: [{id: a, sha256: x}, {id: a, sha256: y}]}\nbackends:\n", "config.yaml:3: admin.keys.0.sha256: want the SHA-256 of the key as 64 hex digits; agentgw keys new prints it", "config.yaml:3: admin.keys.1.id: \"a\" is already the id of admin.keys.0", "config.yaml:3: admin.keys.1.sha256: want the SHA-256 of the key as 64 hex digits; agentgw keys new prints it")
	f("misspelled secret reference", "env:ACME_KLEN_KEY", "evn:ACME_KLEN_KEY", "config.yaml:16: keys.0.credentials.zeta: is not a secret reference; did you mean env:?")
	f("short cursor secret", "  listen:", "  cursor_secret: abc\n  listen:", "config.yaml:2: server.cursor_secret: must have at least 16 characters")
	f("unknown scope", "agents:read", "agents:reed", `config.yaml:14: keys.0.scopes.0: "agents:reed" is not one of agents:read, agents:write, aliases:write, migrations:write; did you mean agents:read?`)
	f("credential for an unknown backend", "zeta: env:", "zetta: env:", "config.yaml:16: keys.0.credentials.zetta: unknown backend; did you mean zeta?")
	f("variable not set", "env:ACME_KLEN_KEY", "env:NOWHERE", "config.yaml:16: keys.0.credentials.zeta: the environment variable NOWHERE is not set")
	f("secret file missing", "env:ACME_KLEN_KEY", "file:/nowhere/key", "config.yaml:16: keys.0.credentials.zeta: cannot read the secret file /nowhere/key: no such file")
	for _, null := range []string{"", " null", " ~", ` ""`} {
		f("credential"+null, "zeta: env:ACME_KLEN_KEY", "zeta:"+null, "config.yaml:16: keys.0.credentials.zeta: is empty; want env:NAME or file:/path")
	}
	f("impossible port", "https://api.krosai.com/v1", "http://api.krosai.com:70000/v1", "config.yaml:9: backends.alpha.base_url: has a port that is not from 1 to 65535")
	f("zero agent size", "quota: ", "max_agent_bytes: 0B\n    quota: ", "config.yaml:10: backends.alpha.max_agent_bytes: must be greater than 0B")
	f("bad time", "    scopes:", "    expires_at: tomorrow\n    scopes:", `config.yaml:14: keys.0.expires_at: "tomorrow" is not an RFC 3339 time such as 2027-01-31T00:00:00Z`)
	f("certificate missing", "  listen:", "  tls: {cert_file: /nowhere/a.pem, key_file: /nowhere/b.pem}\n  listen:", "config.yaml:2: server.tls.cert_file: cannot read /nowhere/a.pem: no such file", "config.yaml:2: server.tls.key_file: cannot read /nowhere/b.pem: no such file")
	f("zero max_open_for", "quota: ", "breaker: {max_open_for: 0s}\n    quota: ", "config.yaml:10: backends.alpha.breaker.max_open_for: must be greater than 0s")
	f("zero connections per address", "  listen:", "  max_connections_per_address: 0\n  listen:", "config.yaml:2: server.max_connections_per_address: must be at least 1, got 0")
	f("zero body limit", "  listen:", "  body_limit: 0B\n  listen:", "config.yaml:2: server.body_limit: must be greater than 0B")
	f("above the maximum", "requests: 60", "requests: 9000000000", "config.yaml:10: backends.alpha.quota.requests: must be at most 1000000, got 9000000000")
	f("two documents", "keys:", "---\nkeys:", "config.yaml:11: more than one YAML document; remove the second (after ---)")
	f("expires before not_before", "    scopes:", "    not_before: 2027-01-01T00:00:00Z\n    expires_at: 2026-01-01T00:00:00Z\n    scopes:", "config.yaml:15: keys.0.expires_at: is not after not_before, so the key is never valid")
	f("backend without settings", "    provider: klen\n    base_url: https://api.klen.ai/api/v1\n", "", "config.yaml:4: backends.zeta.base_url: is required", "config.yaml:4: backends.zeta.provider: is required")
	f("certificate without key", "  listen:", "  tls: {cert_file: a.pem}\n  listen:", "config.yaml:2: server.tls: set both cert_file and key_file, or neither")
	f("duplicate key", "  listen:", "  listen: a:1\n  listen:", `config.yaml: line 3: mapping key "listen" already defined at line 2`)
	f("indented with a tab", "  listen:", "\tlisten:", "config.yaml: line 2: found character that cannot start any token; indent with spaces, not with tabs")
	f("not YAML", "server:", "server: [", "config.yaml: line 2: did not find expected ',' or ']'")

	t.Run("bad backend name that a key maps to", func(t *testing.T) {
		checkProblems(t, strings.ReplaceAll(valid, " zeta:", " Zeta:"), nil, []string{"config.yaml:4: backends.Zeta: is not a backend name: a lowercase letter, then up to 31 lowercase letters, digits or -"})
	})
	t.Run("key set by an environment variable", func(t *testing.T) {
		checkProblems(t, valid, []string{"AGENTGW_KEYS__0__ID=x"}, []string{"AGENTGW_KEYS__0__ID: keys.0.id: cannot be set by an environment variable; set it in the file"})
	})
	t.Run("backend with underscores in a variable", func(t *testing.T) {
		checkProblems(t, strings.ReplaceAll(valid, "alpha:", "al-pha:"), []string{"AGENTGW_BACKENDS__AL_PHA__TIMEOUT=soon"}, []string{`AGENTGW_BACKENDS__AL_PHA__TIMEOUT: backends.al-pha.timeout: "soon" is not a duration such as 15s or 1m30s`})
		c, err := load(t, strings.ReplaceAll(valid, "alpha:", "al-pha:"), "AGENTGW_BACKENDS__AL-PHA__TIMEOUT=7s")
		if err != nil || c.Backends[1].Timeout.D() != 7*time.Second {
			t.Error(err)
		}
	})
	t.Run("all problems together", func(t *testing.T) {
		broken := strings.NewReplacer("  listen:", "  lisen:", "provider: klen\n", "provider: 7\n", "requests: 60", "requests: many",
			"provider: krosai", "provider: crosai", "env:ACME_KLEN_KEY", "env:NOWHERE", "[agents:read]", "[agents:read, 7]").Replace(valid)
		checkProblems(t, broken, []string{"AGENTGW_SERVER__MAX_INFLIGT=3", "AGENTGW_LOG__LEVEL=loud", "AGENTGW_SERVER__MAX_INFLIGHT=lots"}, []string{
			"config.yaml:2: server.lisen: unknown key; did you mean listen?",
			"config.yaml:5: backends.zeta.provider: want a string, got a number; put it in quotes",
			`config.yaml:8: backends.alpha.provider: "crosai" is not one of klen, krosai; did you mean krosai?`,
			"config.yaml:10: backends.alpha.quota.requests: want an integer, got a string",
			"config.yaml:14: keys.0.scopes.1: want a string, got a number; put it in quotes",
			"config.yaml:16: keys.0.credentials.zeta: the environment variable NOWHERE is not set",
			`AGENTGW_LOG__LEVEL: log.level: "loud" is not one of debug, info, warn, error`,
			"AGENTGW_SERVER__MAX_INFLIGHT: server.max_inflight: want an integer, got a string",
			"AGENTGW_SERVER__MAX_INFLIGT: server.max_infligt: unknown key; did you mean max_inflight?",
		})
	})
}

func checkProblems(t *testing.T, yaml string, environ, want []string) {
	t.Helper()
	_, err := load(t, yaml, environ...)
	if err == nil {
		t.Fatal("Load reported no problem")
	}
	got := strings.Split(err.Error(), "\n")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestLoad_Warnings(t *testing.T) {
	c, err := load(t, strings.NewReplacer("env:ACME_KLEN_KEY", "klen_canary", "https://api.krosai.com", "http://api.krosai.com", "klen.ai/api/v1", "klen.ai/api/v1/agents", "    scopes:", "    expires_at: 2020-01-01T00:00:00Z\n    scopes:").Replace(valid))
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, w := range c.Warnings {
		if w.Line == 0 && w.Path[0] != "store" { // which is not in the file
			t.Errorf("the warning has no line: %s", w)
		}
		text = append(text, w.String())
	}
	all := strings.Join(text, "\n")
	for _, want := range []string{"backends.alpha.base_url: uses http", "backends.zeta.base_url: ends in /agents, which the gateway appends itself; remove it", "keys.0.expires_at: is in the past (2020-01-01T00:00:00Z): the key is refused", "keys.0.credentials.zeta: contains the secret itself"} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning %q in:\n%s", want, all)
		}
	}
	for timeout, warned := range map[string]bool{"13s": false, "13500ms": true, "15s": true} { // request_timeout is 15s
		c, err := load(t, valid, "AGENTGW_BACKENDS__ALPHA__TIMEOUT="+timeout)
		if err != nil {
			t.Fatal(err)
		}
		got := len(c.Warnings) == 1 && strings.Contains(c.Warnings[0].String(), "backends.alpha.timeout: should be below 90% of server.request_timeout (15s)")
		if got != warned || len(c.Warnings) > 1 {
			t.Errorf("timeout %s: %v", timeout, c.Warnings)
		}
	}
	if printed := fmt.Sprintf("%+v %#v", c, c.File); strings.Contains(printed, "klen_canary") {
		t.Errorf("the configuration prints the secret:\n%s", printed)
	}
	if strings.Contains(all, "klen_canary") {
		t.Errorf("a warning shows the secret:\n%s", all)
	}
}

func TestLoad_WarnsAboutUnknownVariable(t *testing.T) {
	c, err := load(t, strings.Replace(valid, "env:ACME_KLEN_KEY", "env:AGENTGW_MY_KEY", 1), "AGENTGW_SERVER_LISTEN=0.0.0.0:80", "AGENTGW_MY_KEY=k", "AGENTGW_CONFIG=x")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 1 || c.Warnings[0].String() != "AGENTGW_SERVER_LISTEN: is not a setting; separate levels with two underscores (AGENTGW_SERVER__LISTEN)" {
		t.Errorf("%v", c.Warnings)
	}
}

func TestLoad_SecretFromFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := load(t, strings.Replace(valid, "env:ACME_KLEN_KEY", "file:"+path, 1))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Keys[0].Credentials["zeta"].Reveal(); got != "from-a-file" {
		t.Errorf("credential = %q", got)
	}
}

// TestLoad_SecretEdges: what surrounds a secret, or how YAML reads it, does not become part of it.
func TestLoad_SecretEdges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	for _, content := range []string{"\ufeffklen_abc\n", "  klen_abc  \n", "klen_abc\r\n\r\n", "\tklen_abc"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := load(t, strings.Replace(valid, "env:ACME_KLEN_KEY", "file:"+path, 1))
		if err != nil || c.Keys[0].Credentials["zeta"].Reveal() != "klen_abc" {
			t.Errorf("%q: %v", content, err)
		}
	}
	c, err := load(t, strings.Replace(valid, "env:ACME_KLEN_KEY", "env:BLANKS", 1), "BLANKS=  klen_abc ")
	if err != nil || c.Keys[0].Credentials["zeta"].Reveal() != "klen_abc" {
		t.Error(err)
	}
	for _, date := range []string{"2024-01-01", "2024-01-01T00:00:00Z", "2001-12-14 21:59:43.10 -5"} {
		c, err := load(t, strings.Replace(valid, "env:ACME_KLEN_KEY", date, 1))
		if err != nil || c.Keys[0].Credentials["zeta"].Reveal() != date {
			t.Errorf("%s: %v", date, err)
		}
	}
	_, err = load(t, strings.Replace(valid, "env:ACME_KLEN_KEY", "env:BLANKS", 1), "BLANKS=   ")
	if err == nil || !strings.Contains(err.Error(), "keys.0.credentials.zeta: is blank") {
		t.Error(err)
	}
}

// TestLoad_SecretFileThatCannotBeRead: a pipe, a directory and a file without end are refused at
// once. On a reload they do not keep other changes, such as the removal of a key, from taking
// effect.
func TestLoad_SecretFileThatCannotBeRead(t *testing.T) {
	folder := t.TempDir()
	path, secretPath := filepath.Join(folder, "config.yaml"), filepath.Join(folder, "key")
	const second = "  - id: second\n    sha256: \"0000000000000000000000000000000000000000000000000000000000000002\"\n    scopes: [agents:read]\n    credentials: {alpha: env:ACME_KLEN_KEY}\n"
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one := strings.Replace(valid, "env:ACME_KLEN_KEY", "file:"+secretPath, 1)
	read := func(previous *Config) (*Config, error) {
		return Load(Source{Path: path, Environ: []string{"ACME_KLEN_KEY=k"}, Providers: []string{"klen", "krosai"}, Previous: previous})
	}
	write(path, one+second)
	write(secretPath, "klen_abc")
	running, err := read(nil)
	if err != nil || len(running.Keys) != 2 {
		t.Fatal(err)
	}
	write(path, one)
	for name, replace := range map[string]func() error{
		"not a regular file":      func() error { return syscall.Mkfifo(secretPath, 0o600) },
		"larger than 65536 bytes": func() error { return os.WriteFile(secretPath, make([]byte, 65537), 0o600) },
		"it is empty":             func() error { return os.WriteFile(secretPath, nil, 0o600) },
		"no such file":            func() error { return nil },
	} {
		if err := errors.Join(os.RemoveAll(secretPath), replace()); err != nil {
			t.Fatal(err)
		}
		next, err := read(running)
		if err != nil || len(next.Keys) != 1 || next.Keys[0].Credentials["zeta"].Reveal() != "klen_abc" {
			t.Fatalf("%s: %v", name, err)
		}
		if len(next.Warnings) != 1 || !strings.Contains(next.Warnings[0].Message, name) || !strings.Contains(next.Warnings[0].Message, "its last value stays in use") {
			t.Errorf("%s: %v", name, next.Warnings)
		}
		if _, err := read(nil); err == nil {
			t.Errorf("%s: no problem at the start", name)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		if _, err := readInTime(func(string) ([]byte, error) { time.Sleep(time.Hour); return nil, nil }, "x"); err != errTooSlow {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Hour) // the read goes on
	})
}

func TestLoad_SharedCredential(t *testing.T) {
	c, err := load(t, strings.Replace(valid, "provider: krosai", "provider: krosai\n    shared_credential: env:ACME_KLEN_KEY", 1))
	if err != nil {
		t.Fatal(err)
	}
	if c.Keys[0].Credentials["alpha"].Empty() {
		t.Error("the key does not have the shared credential")
	}
}

func TestLoad_MissingFile(t *testing.T) {
	_, err := Load(Source{Path: "/nowhere/config.yaml"})
	if err == nil || !strings.Contains(err.Error(), "/nowhere/config.yaml: no such file") {
		t.Errorf("got %v", err)
	}
}
