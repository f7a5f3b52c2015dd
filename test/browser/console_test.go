// Package browser tests the pages that the gateway serves in a real browser: the console,
// while backends fail and recover, its page of migrations, and /docs. It also tests the
// data that the console is sent.
package browser

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/test/internal/gatewaytest"
	"github.com/agentgw/agentgw/test/internal/npmtest"
)

func TestMain(m *testing.M) { gatewaytest.Main(m) }

//go:embed testdata/console.mjs
var script []byte

const web = "../../gateway/console/web"

// TestConsole_BuildIsCurrent tests that the committed assets are what web/ builds.
func TestConsole_BuildIsCurrent(t *testing.T) {
	folder, built := npmtest.Copy(t, web), t.TempDir()
	npmtest.Run(t, folder, nil, "node_modules/.bin/tsc", "--noEmit")
	npmtest.Run(t, folder, nil, "node", "build.mjs", built)
	committed := filepath.Join(web, "..", "assets")
	want, got := files(t, built), files(t, committed)
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s is not what web/ builds: run make console", name)
		}
	}
	if len(want) != len(got) {
		t.Errorf("%d files are built, and %d committed", len(want), len(got))
	}
}

func files(t *testing.T, folder string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

// breaker opens after few failures and closes again soon.
const breaker = "breaker: {consecutive: 4, open_for: 1s, max_open_for: 1s}"

// TestConsole runs testdata/console.mjs, which looks at /console and controls the gateway and
// its providers by requests to this test.
func TestConsole(t *testing.T) {
	folder, browser := scriptFolder(t), npmtest.Browser(t)
	g := gatewaytest.Start(t, gatewaytest.Options{PerBackend: breaker})
	var gone atomic.Bool
	admin := g.Admin()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		admin.ServeHTTP(w, r)
	}))
	t.Cleanup(page.Close)
	t.Cleanup(page.CloseClientConnections)

	control := http.NewServeMux()
	control.HandleFunc("POST /ask", func(_ http.ResponseWriter, r *http.Request) {
		var headers []string
		if r.FormValue("fresh") != "" {
			headers = append(headers, "Cache-Control: no-cache")
		}
		if _, err := g.Ask(r.Context(), "acme", "GET", r.FormValue("path"), "", headers...); err != nil {
			t.Error(err)
		}
	})
	control.HandleFunc("POST /fail", func(_ http.ResponseWriter, r *http.Request) {
		g.Vendors[r.FormValue("backend")].Control().Fail(sandbox.Fault{Status: 500, Delay: 20 * time.Millisecond})
	})
	control.HandleFunc("POST /heal", func(_ http.ResponseWriter, r *http.Request) { g.Vendors[r.FormValue("backend")].Control().Heal() })
	control.HandleFunc("POST /cut", func(http.ResponseWriter, *http.Request) {
		gone.Store(true)
		page.CloseClientConnections()
	})
	control.HandleFunc("POST /mend", func(http.ResponseWriter, *http.Request) { gone.Store(false) })
	npmtest.Write(t, folder, "console.mjs", script)
	look(t, folder, browser, "console.mjs", page.URL, control)
}

//go:embed testdata/page.mjs
var pageModule []byte

// scriptFolder returns a folder for a script that imports page.mjs.
func scriptFolder(t *testing.T) string {
	t.Helper()
	folder := npmtest.Folder(t)
	npmtest.Write(t, folder, "page.mjs", pageModule)
	return folder
}

// look runs a script of the folder, which looks at a page and changes what is there through
// control.
func look(t *testing.T, folder, browser, script, page string, control http.Handler) {
	t.Helper()
	server := httptest.NewServer(control)
	t.Cleanup(server.Close)
	out := npmtest.Run(t, folder, nil, "node", script, page, server.URL, browser, npmtest.Pictures(t))
	if !strings.Contains(out, "seen") {
		t.Errorf("the script printed %s", out)
	}
}

// readEvents reads messages of /console/events until done returns true.
func readEvents(t *testing.T, url string, done func(event string, m map[string]any, text string) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waittest.HangGuard)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url+"/console/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q", got)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 8<<20)
	event := ""
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			t.Fatal(err)
		}
		if done(event, m, data) {
			return
		}
	}
	t.Fatalf("the stream ended: %v", lines.Err())
}

// TestConsole_LeaksNothing tests that no key, credential, prompt, agent, path, query or
// provider's text is sent to the page.
func TestConsole_LeaksNothing(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{PerBackend: breaker})
	page := httptest.NewServer(g.Admin())
	t.Cleanup(page.Close)
	t.Cleanup(page.CloseClientConnections)
	ask := func(method, path, body string) {
		t.Helper()
		if _, err := g.Ask(context.Background(), "acme", method, path, body); err != nil {
			t.Fatal(err)
		}
	}
	ask("GET", "/v1/agents?q=canary-query&view=full", "")
	ask("GET", "/v1/agents/talkifai:agent_abc123?canary-parameter=1", "")
	ask("GET", "/canary-path", "")
	ask("CANARY-METHOD", "/v1/agents", "")
	ask("POST", "/v1/agents", `{"backend":"talkifai","name":"canary-name","architecture":"text","model":{"id":"gpt-4o-mini"},"system_prompt":"canary-prompt"}`)
	g.Vendors["krosai"].Control().Fail(sandbox.Fault{Status: 500, Body: `{"error": "canary-text"}`})
	ask("GET", "/v1/agents/krosai:canary-id", "")
	secrets := append([]string{"canary-", "CANARY", "agent_abc123"}, g.Secrets...)
	readEvents(t, page.URL, func(event string, m map[string]any, text string) bool {
		if event != "all" {
			t.Errorf("the first message is %q", event)
		}
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("the page is sent %q", s)
			}
		}
		if n := len(m["journal"].(map[string]any)["requests"].([]any)); n < 6 {
			t.Errorf("the page is sent %d requests, want 6", n)
		}
		return true
	})
}

// TestConsole_StreamsAreBounded tests that streams over the limit are refused, and that the end
// of the gateway ends the others.
func TestConsole_StreamsAreBounded(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	page := httptest.NewServer(g.Admin())
	t.Cleanup(page.Close)
	refused := 0
	var open []*http.Response
	for range 40 {
		resp, err := http.Get(page.URL + "/console/events")
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusServiceUnavailable {
			refused++
		}
		open = append(open, resp)
	}
	if refused != 40-32 {
		t.Errorf("%d of 40 were refused", refused)
	}
	g.CloseAdmin()
	for _, resp := range open {
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 8<<20)
		for lines.Scan() { // until it ends
		}
		resp.Body.Close()
	}
}
