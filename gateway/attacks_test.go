package gateway

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/sandbox"
)

// encoded returns the path of an agent whose native id is any text.
func encoded(backend, native string) string {
	return "/v1/agents/" + backend + ":~" + base64.RawURLEncoding.EncodeToString([]byte(native))
}

// TestAttack_ForeignPaths: an id is not sent as another resource of the provider's host, with the
// mapped credential. Reverse proxies turn ..%2F into a way up.
func TestAttack_ForeignPaths(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	for _, backend := range []string{"klen", "agenthuman", "krosai", "talkifai"} {
		for _, native := range []string{"../api-keys", "..", ".", "a/b", `a\b`, "a%2Fb", "%2e%2e/x", "a\x00b", "a\r\nX: y", "\xff"} {
			before := b.requests(backend)
			for method, body := range map[string]string{"GET": "", "PATCH": `{"name": "New name"}`, "DELETE": ""} {
				for _, query := range []string{"", "?dry_run=true"} {
					if method == "GET" && query != "" {
						continue
					}
					if got := b.ask(keyAcme, method, encoded(backend, native)+query, body); got.StatusCode != 404 && got.StatusCode != 501 {
						t.Errorf("%s %s %q%s: %d %s", method, backend, native, query, got.StatusCode, got.text)
					}
				}
			}
			if sent := b.requests(backend) - before; backend != "klen" && sent != 0 {
				t.Errorf("%s %q: %d requests were sent", backend, native, sent)
			}
		}
	}
}

// TestAttack_OddIDOfTheOwnList: an id of another form is used if the caller's own list has it.
func TestAttack_OddIDOfTheOwnList(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.vendors["krosai"].Seed(b.env["ACME_KROSAI"], []byte(`{"id": "team/one", "name": "Odd"}`))
	path := encoded("krosai", "team/one")
	b.get(path).wants(t, 404, "agent_not_found")
	b.get("/v1/agents?backend=krosai").wants(t, 200, "")
	if got := b.get(path).wants(t, 200, ""); got.body["name"] != "Odd" {
		t.Errorf("%s", got.text)
	}
	b.ask(keyAcme, "PATCH", path, `{"name": "Even"}`).wants(t, 200, "")
	b.ask(keyAcme, "DELETE", path, "").wants(t, 204, "")
}

// TestAttack_OneAccountCannotOpenTheBreaker: a key whose requests make the provider fail is cut
// off; the agents of others stay where they are.
func TestAttack_OneAccountCannotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	b := tenantsBench(t)
	b.reload("breaker: {consecutive: 100000, min_requests: 100000}", "breaker: {consecutive: 5, min_requests: 20}")
	prefix := b.vendors["krosai"].Prefix()
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Path: prefix + "/agents/boom", Status: 500})
	const good, bad = "/v1/agents/krosai:11", "/v1/agents/krosai:boom"
	refused := 0
	for range 100 {
		b.ask("gamma", "GET", good, "", "Cache-Control: no-cache").wants(t, 200, "")
		if got := b.ask("alpha", "GET", bad, "", "Cache-Control: no-cache"); got.StatusCode == 503 {
			refused++
		}
	}
	if refused < 80 {
		t.Errorf("the failing account was refused %d times", refused)
	}
	state := func(key string) any { return b.ask(key, "GET", "/v1/backends/krosai", "").at("breaker.state") }
	if state("gamma") != "closed" || state("alpha") == "closed" {
		t.Errorf("gamma's breaker is %v, alpha's %v", state("gamma"), state("alpha"))
	}
}

// TestAttack_DNSRebinding: a page that makes its own name point to this host cannot reach the
// admin listener under it.
func TestAttack_DNSRebinding(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.reload("backends:\n", "admin: {hosts: [agentgw.internal]}\nbackends:\n")
	handler := b.gateway.NewAdmin(func() ([]string, error) { return nil, nil }).Handler()
	for host, want := range map[string]int{
		"rebound.example": 421, "rebound.example:9090": 421, "127.0.0.1.rebound.example": 421, "localhost.rebound.example": 421, "": 421,
		"[::1%evil.example]": 421, "[[localhost]]": 421, "[localhost]": 421, "localhost:evil.example": 421, "127.1": 421, "::1": 421,
		"localhost": 200, "LOCALHOST:9090": 200, "127.0.0.1:9090": 200, "[::1]:9090": 200, "[::1]": 200, "10.1.2.3:9090": 200, "agentgw.internal:9090": 200, "Agentgw.Internal": 200,
	} {
		for _, request := range []struct{ method, path string }{
			{"GET", "/livez"}, {"GET", "/console"}, {"GET", "/console/migrations.json"}, {"GET", "/metrics"}, {"POST", "/cache/purge"}, {"POST", "/reload"},
		} {
			r := httptest.NewRequest(request.method, "http://x"+request.path, strings.NewReader("{}"))
			r.Host = host
			r.Header.Set("Origin", "http://"+host)
			w := httptest.NewRecorder()
			if request.path == "/console/migrations.json" && want == 200 {
				continue // it waits for the store
			}
			handler.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s %s of %q: %d, want %d", request.method, request.path, host, w.Code, want)
			}
		}
	}
}

// TestAttack_ConsoleStreams: a page of another site cannot take the places of the console's
// event streams.
func TestAttack_ConsoleStreams(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	a := b.gateway.NewAdmin(nil)
	server := httptest.NewServer(a.Handler())
	defer server.Close()
	defer a.Close()
	get := func(site string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/console/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Sec-Fetch-Site", site)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp.StatusCode
	}
	for range 40 {
		for _, site := range []string{"cross-site", "same-site"} {
			if got := get(site); got != 403 {
				t.Fatalf("%s: %d", site, got)
			}
		}
	}
	if got := get("same-origin"); got != 200 {
		t.Errorf("the console's own page: %d", got)
	}
}

// TestAttack_StoreGrowth: what a caller can make the store keep is bounded.
func TestAttack_StoreGrowth(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	var many strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&many, `, "k%d": 1`, i)
	}
	body := `{"backend": "krosai", "name": "n", "extensions": {"a": 1` + many.String() + `}}`
	created := b.createOnce("large", body, "Prefer: handling=lenient").wants(t, 201, "")
	if len(created.text) > 64<<10 {
		t.Errorf("the response has %d bytes", len(created.text))
	}
	replayed := b.createOnce("large", body, "Prefer: handling=lenient").wants(t, 201, "")
	if replayed.Header.Get("Idempotency-Replayed") != "true" || len(replayed.text) > 64<<10 {
		t.Errorf("the replay has %d bytes", len(replayed.text))
	}
	plan := b.ask(keyAcme, "POST", "/v1/migrations", `{"source": "klen:123", "target_backend": "krosai"}`).wants(t, 201, "")
	migration := "/v1/migrations/" + plan.body["id"].(string)
	accept := `{"plan_hash": "x", "accept": ["` + strings.Repeat("x", 300) + `"]}`
	b.ask(keyAcme, "POST", migration+"/apply", accept).wants(t, 422, "validation_failed")
	accept = `{"accept": [` + strings.TrimSuffix(strings.Repeat(`"mismatch:/name",`, 300), ",") + `]}`
	b.ask(keyAcme, "POST", migration+"/verify", accept).wants(t, 422, "validation_failed")
}
