// Package console looks at the operators' page as they do: in a browser, while backends
// fail and recover.
package console

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

	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/test/live"
	"github.com/agentgw/agentgw/test/node"
)

func TestMain(m *testing.M) { live.Main(m) }

//go:embed testdata/console.mjs
var script []byte

const web = "../../gateway/console/web"

// TestBuildIsCurrent: the page that is committed is what web/ builds to.
func TestBuildIsCurrent(t *testing.T) {
	folder, built := node.Copy(t, web), t.TempDir()
	node.Run(t, folder, nil, "node_modules/.bin/tsc", "--noEmit")
	node.Run(t, folder, nil, "node", "build.mjs", built)
	committed := filepath.Join(web, "..", "assets")
	want, got := files(t, built), files(t, committed)
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s is not what web/ builds to: run make console", name)
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

// breaker opens and closes within the seconds that a test has.
const breaker = "breaker: {consecutive: 4, open_for: 1s, max_open_for: 1s}\ntimeout: 2s"

// TestConsole is what testdata/console.mjs sees. It tells the test what is to happen.
func TestConsole(t *testing.T) {
	folder, browser := node.Folder(t), node.Browser(t)
	l := live.Start(t, live.Options{PerBackend: breaker})
	var gone atomic.Bool
	admin := l.Admin()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		admin.ServeHTTP(w, r)
	}))
	t.Cleanup(page.Close)
	t.Cleanup(page.CloseClientConnections)

	tell := http.NewServeMux()
	tell.HandleFunc("POST /ask", func(_ http.ResponseWriter, r *http.Request) {
		var headers []string
		if r.FormValue("fresh") != "" {
			headers = append(headers, "Cache-Control: no-cache")
		}
		if _, err := l.Ask(r.Context(), "acme", "GET", r.FormValue("path"), "", headers...); err != nil {
			t.Error(err)
		}
	})
	tell.HandleFunc("POST /fail", func(_ http.ResponseWriter, r *http.Request) {
		l.Vendors[r.FormValue("backend")].Control().Fail(sandbox.Fault{Status: 500, Delay: 20 * time.Millisecond})
	})
	tell.HandleFunc("POST /heal", func(_ http.ResponseWriter, r *http.Request) { l.Vendors[r.FormValue("backend")].Control().Heal() })
	tell.HandleFunc("POST /cut", func(http.ResponseWriter, *http.Request) {
		gone.Store(true)
		page.CloseClientConnections()
	})
	tell.HandleFunc("POST /mend", func(http.ResponseWriter, *http.Request) { gone.Store(false) })
	control := httptest.NewServer(tell)
	t.Cleanup(control.Close)

	node.Write(t, folder, "console.mjs", script)
	out := node.Run(t, folder, nil, "node", "console.mjs", page.URL, control.URL, browser, node.Pictures(t))
	if !strings.Contains(out, "seen") {
		t.Errorf("it saw %s", out)
	}
}

// told reads messages of /console/events until one is as it should be.
func told(t *testing.T, url string, until func(event string, m map[string]any, text string) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
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
		if until(event, m, data) {
			return
		}
	}
	t.Fatalf("the stream ended: %v", lines.Err())
}

// TestNothingLeaks: no key, credential, prompt, agent, path, query or text of a backend
// comes to the page, whatever is asked and however it fails.
func TestNothingLeaks(t *testing.T) {
	l := live.Start(t, live.Options{PerBackend: breaker})
	page := httptest.NewServer(l.Admin())
	t.Cleanup(page.Close)
	t.Cleanup(page.CloseClientConnections)
	ask := func(method, path, body string) {
		t.Helper()
		if _, err := l.Ask(context.Background(), "acme", method, path, body); err != nil {
			t.Fatal(err)
		}
	}
	ask("GET", "/v1/agents?q=canary-query&view=full", "")
	ask("GET", "/v1/agents/talkifai:agent_abc123?canary-parameter=1", "")
	ask("GET", "/canary-path", "")
	ask("CANARY-METHOD", "/v1/agents", "")
	ask("POST", "/v1/agents", `{"backend":"talkifai","name":"canary-name","architecture":"text","model":{"id":"gpt-4o-mini"},"system_prompt":"canary-prompt"}`)
	l.Vendors["krosai"].Control().Fail(sandbox.Fault{Status: 500, Body: `{"error": "canary-text"}`})
	ask("GET", "/v1/agents/krosai:canary-id", "")
	secrets := append([]string{"canary-", "CANARY", "agent_abc123"}, l.Secrets...)
	told(t, page.URL, func(event string, m map[string]any, text string) bool {
		if event != "all" {
			t.Errorf("the first message is %q", event)
		}
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("the page is told %q", s)
			}
		}
		if n := len(m["journal"].(map[string]any)["requests"].([]any)); n < 6 {
			t.Errorf("and of %d requests, not 6", n)
		}
		return true
	})
}

// TestWhoWaitsIsNotHeld: more consoles than there are places are refused, and the end of
// the gateway ends those that are open.
func TestWhoWaitsIsNotHeld(t *testing.T) {
	l := live.Start(t, live.Options{})
	page := httptest.NewServer(l.Admin())
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
	l.CloseAdmin()
	for _, resp := range open {
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 8<<20)
		for lines.Scan() { // until it ends
		}
		resp.Body.Close()
	}
}
