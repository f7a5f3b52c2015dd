// Package e2e runs the built program as a process, with a configuration file and emulated
// providers.
package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/gateway/apikey"
	"github.com/agentgw/agentgw/internal/openapitest"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/test/internal/prebuilt"
)

// binary is the path of the program under test.
var binary string

func TestMain(m *testing.M) {
	var err error
	if binary, err = prebuilt.Agentgw(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// process is a running agentgw.
type process struct {
	t          *testing.T
	cmd        *exec.Cmd
	api, admin string
	stderr     *lines
	exited     chan error
}

// lines collects the output of a process.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) read(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		l.mu.Lock()
		l.all = append(l.all, s.Text())
		l.mu.Unlock()
	}
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

// start starts the program. It ends with the test.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), stderr: &lines{}, exited: make(chan error, 1)}
	p.cmd.Dir, p.cmd.Env = t.TempDir(), append(os.Environ(), env...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.stderr.read(stderr)
		p.exited <- p.cmd.Wait()
	}()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// serve starts a gateway with a configuration file and waits until it listens.
func serve(t *testing.T, env []string, path string) *process {
	t.Helper()
	p := start(t, env, "serve", "--config", path)
	waittest.Until(t, "the gateway to listen", func() bool {
		for _, line := range strings.Split(p.stderr.String(), "\n") {
			var entry struct{ Msg, Server, Admin string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" {
				p.api, p.admin = "http://"+entry.Server, "http://"+entry.Admin
				return true
			}
		}
		return false
	})
	return p
}

// world is what a gateway needs: providers, a configuration file and keys.
type world struct {
	t       *testing.T
	vendors map[string]sandbox.Emulator
	path    string
	file    string
	key     string
	second  string
	env     []string
	// on, if it is set, is called at each stage of each request to a provider.
	on atomic.Pointer[func(vendor string, r *http.Request, at stage)]
}

// stage is the progress of a request to a provider.
type stage string

const (
	arrived  stage = "arrived"
	done     stage = "done" // but not answered
	answered stage = "answered"
)

// watched wraps a provider so that w.on is called.
func (w *world) watched(name string, vendor http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		on := w.on.Load()
		if on == nil {
			vendor.ServeHTTP(rw, r)
			return
		}
		(*on)(name, r, arrived)
		recorder := httptest.NewRecorder()
		vendor.ServeHTTP(recorder, r)
		(*on)(name, r, done)
		maps.Copy(rw.Header(), recorder.Header())
		rw.WriteHeader(recorder.Code)
		_, _ = rw.Write(recorder.Body.Bytes()) // the caller may be gone
		_ = http.NewResponseController(rw).Flush()
		(*on)(name, r, answered)
	})
}

// newWorld returns a world with every provider. settings are YAML under each backend.
func newWorld(t *testing.T, settings ...string) *world {
	t.Helper()
	w := &world{t: t, vendors: map[string]sandbox.Emulator{}, key: apikey.New(apikey.Live), second: apikey.New(apikey.Live)}
	var backends, credentials strings.Builder
	for _, v := range all.Entries() {
		name, vendor := v.Info.Provider, v.Emulator()
		server := httptest.NewServer(w.watched(name, vendor))
		t.Cleanup(func() {
			server.CloseClientConnections()
			server.Close()
			for _, violation := range vendor.Control().Violations() {
				t.Error(violation)
			}
		})
		vendor.SeedDemo("credential-" + name)
		w.vendors[name] = vendor
		fmt.Fprintf(&backends, "  %s:\n    provider: %s\n    base_url: %s%s\n", name, name, server.URL, vendor.Prefix())
		for _, line := range settings {
			fmt.Fprintf(&backends, "    %s\n", line)
		}
		variable := "E2E_" + strings.ToUpper(name)
		w.env = append(w.env, variable+"=credential-"+name)
		fmt.Fprintf(&credentials, "      %s: env:%s\n", name, variable)
	}
	w.file = fmt.Sprintf(`server: {listen: "127.0.0.1:0", shutdown_grace: 10s}
admin: {listen: "127.0.0.1:0"}
store: {url: "sqlite:%s"}
backends:
%skeys:
  - id: first
    sha256: "%x"
    scopes: [agents:read, agents:write, aliases:write, migrations:write]
    credentials:
%s  - id: second
    sha256: "%x"
    scopes: [agents:read]
    credentials:
      klen: env:E2E_KLEN
`, filepath.Join(t.TempDir(), "store.db"), backends.String(), apikey.Hash(w.key), credentials.String(), apikey.Hash(w.second))
	w.path = filepath.Join(t.TempDir(), "config.yaml")
	w.write(w.file)
	return w
}

// write replaces the configuration file in one step, as an editor or orchestrator does.
func (w *world) write(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.path+".new", []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(w.path+".new", w.path); err != nil {
		w.t.Fatal(err)
	}
}

type reply struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

var client = &http.Client{Timeout: waittest.HangGuard}

var (
	documentMu  sync.Mutex
	theDocument *openapitest.Document // shared by all processes
)

// document returns the OpenAPI document, or nil until a public listener has returned it.
func document(base string) *openapitest.Document {
	documentMu.Lock()
	defer documentMu.Unlock()
	if theDocument == nil {
		if d, err := openapitest.Fetch(client, base); err == nil {
			theDocument = d
		}
	}
	return theDocument
}

// adminPaths are paths of the admin listener, which the document does not describe.
var adminPaths = []string{"/livez", "/readyz", "/metrics", "/reload", "/cache/purge"}

// ask sends a request; headers are "Name: value".
func ask(t *testing.T, key, method, url, body string, headers ...string) reply {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if d := document(req.URL.Scheme + "://" + req.URL.Host); d != nil && !slices.Contains(adminPaths, req.URL.Path) {
		if err := d.Check(resp, text); err != nil {
			t.Errorf("%s %s: status %d: /openapi.json does not describe the response: %v", method, url, resp.StatusCode, err)
		}
	}
	r := reply{status: resp.StatusCode, header: resp.Header, text: string(text)}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(text, &r.body); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return r
}

// wants checks the status, and the code of a problem, which may be empty.
func (r reply) wants(t *testing.T, status int, code string) reply {
	t.Helper()
	if got, _ := r.body["code"].(string); r.status != status || got != code {
		t.Errorf("%d %q, want %d %q: %s", r.status, got, status, code, r.text)
	}
	return r
}
