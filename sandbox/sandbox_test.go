package sandbox_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/sandbox/agenthuman"
	"github.com/agentgw/agentgw/sandbox/klen"
	"github.com/agentgw/agentgw/sandbox/krosai"
	"github.com/agentgw/agentgw/sandbox/talkifai"
)

// emulators returns all emulators with the header for their key.
func emulators() map[string]struct {
	sandbox.Emulator
	header, prefix string
} {
	type e = struct {
		sandbox.Emulator
		header, prefix string
	}
	return map[string]e{
		"klen":       {klen.New(), "Authorization", "Bearer "},
		"agenthuman": {agenthuman.New(), "X-Api-Key", ""},
		"krosai":     {krosai.New(), "Authorization", "Bearer "},
		"talkifai":   {talkifai.New(), "Authorization", "Bearer "},
	}
}

func send(t *testing.T, url, method, header, value, body string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if value != "" {
		req.Header.Set(header, value)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	// The timeout is a hang guard. Without keep-alive, net/http does not repeat a read whose
	// connection breaks.
	client := http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func TestDemoData_IsForItsKeyOnly(t *testing.T) {
	for name, e := range emulators() {
		e.SeedDemo("a")
		e.Seed("b")
		server := httptest.NewServer(e)
		status, mine, err := send(t, server.URL+e.Prefix()+"/agents", "GET", e.header, e.prefix+"a", "")
		if err != nil || status != 200 || strings.Count(mine, `"name":`) < 4 {
			t.Errorf("%s: %d %s %v", name, status, mine, err)
		}
		status, other, err := send(t, server.URL+e.Prefix()+"/agents", "GET", e.header, e.prefix+"b", "")
		if err != nil || status != 200 || strings.Contains(other, `"name":`) {
			t.Errorf("%s: %d %s %v", name, status, other, err)
		}
		for _, value := range []string{"", e.prefix + "c"} {
			if status, text, err := send(t, server.URL+e.Prefix()+"/agents", "GET", e.header, value, ""); err != nil || status != 401 || !json.Valid([]byte(text)) {
				t.Errorf("%s with %q: %d %s %v", name, value, status, text, err)
			}
		}
		if v := e.Control().Violations(); len(v) != 0 {
			t.Errorf("%v", v)
		}
		if n := len(e.Control().Requests()); n != 4 {
			t.Errorf("%s recorded %d requests of 4", name, n)
		}
		server.Close()
	}
}

// TestViolation_UndocumentedRequest tests that a request that the provider does not document is
// recorded, so that no test passes with it.
func TestViolation_UndocumentedRequest(t *testing.T) {
	for name, e := range emulators() {
		e.SeedDemo("a")
		server := httptest.NewServer(e)
		f := func(method, path, body string) {
			t.Helper()
			before := len(e.Control().Violations())
			status, _, err := send(t, server.URL+path, method, e.header, e.prefix+"a", body)
			if err != nil || status != sandbox.StatusViolation || len(e.Control().Violations()) != before+1 {
				t.Errorf("%s: %s %s %s: %d, %v", name, method, path, body, status, err)
			}
		}
		f("GET", "/agents/elsewhere", "")
		f("GET", e.Prefix()+"/agent", "")
		f("GET", e.Prefix()+"/agents/", "")
		f("GET", e.Prefix()+"/agents/a/b", "")
		f("OPTIONS", e.Prefix()+"/agents", "")
		f("GET", e.Prefix()+"/agents?nonsense=1", "")
		f("GET", e.Prefix()+"/agents", `{"a": "body"}`)
		if name != "klen" {
			f("POST", e.Prefix()+"/agents", `{"name": "nn", "undocumented": 1}`)
		} else {
			f("POST", e.Prefix()+"/agents", `{"name": "nn"}`)
			f("GET", e.Prefix()+"/agents/123", "")
		}
		server.Close()
	}
}

func TestFaults(t *testing.T) {
	e := krosai.New()
	e.SeedDemo("a")
	server := httptest.NewServer(e)
	defer server.Close()
	list := func() (int, string, error) {
		return send(t, server.URL+"/v1/agents", "GET", "Authorization", "Bearer a", "")
	}
	e.Fail(sandbox.Fault{Skip: 1, Times: 2, Status: 503, Header: map[string]string{"Retry-After": "1"}, Body: "x"})
	for i, want := range []int{200, 503, 503, 200} {
		if status, _, err := list(); status != want || err != nil {
			t.Errorf("request %d: %d %v, want %d", i, status, err, want)
		}
	}
	e.Fail(sandbox.Fault{Method: "POST", Status: 500})
	if status, _, _ := list(); status != 200 {
		t.Errorf("another method's fault: %d", status)
	}
	e.Fail(sandbox.Fault{Reset: true, Times: 1})
	if _, _, err := list(); err == nil {
		t.Error("no broken connection")
	}
	e.Fail(sandbox.Fault{Cut: true, Times: 1})
	if _, text, err := list(); err == nil || text == "" {
		t.Errorf("no cut body: %q %v", text, err)
	}
	e.Fail(sandbox.Fault{Change: func([]byte) []byte { return []byte("changed") }, Times: 1})
	if _, text, err := list(); text != "changed" || err != nil {
		t.Errorf("%q %v", text, err)
	}
	e.Fail(sandbox.Fault{Status: 500})
	e.Heal()
	if status, _, _ := list(); status != 200 {
		t.Errorf("healed: %d", status)
	}
}

func TestTalkifai_Pagination(t *testing.T) {
	e := talkifai.New()
	e.SeedDemo("a")
	server := httptest.NewServer(e)
	defer server.Close()
	f := func(query string, want ...string) {
		t.Helper()
		status, text, err := send(t, server.URL+"/v1/agents"+query, "GET", "Authorization", "Bearer a", "")
		if err != nil || status != 200 {
			t.Errorf("%s: %d %v", query, status, err)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %s in %s", query, w, text)
			}
		}
	}
	f("", `"page":1`, `"hasNext":false`, `"total":5`)
	f("?limit=2", `agent_abc123`, `"hasNext":true`, `"hasPrev":false`)
	f("?limit=2&page=3", `agent_mno345`, `"hasNext":false`, `"hasPrev":true`)
	f("?limit=2&page=9", `"data":[]`, `"hasNext":false`)
	f("?mode=commercial", `agent_jkl012`, `"total":1`)
}
