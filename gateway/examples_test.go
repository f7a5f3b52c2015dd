package gateway

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

var update = flag.Bool("update", false, "rewrite the examples of /openapi.json")

// placeholders replace values that differ in each run.
var placeholders = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`"trace_id":"[0-9a-f]{32}"`), `"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"`},
	{regexp.MustCompile(`"request_id":"[^"]*"`), `"request_id":"01JDF5Q2VN8X7T5S0W0H3M9Z4K"`},
	{regexp.MustCompile(`("(?:fetched_at|last_success_at|at)"):"[^"]*"`), `$1:"2026-11-21T17:40:02Z"`},
	{regexp.MustCompile(`("(?:next_cursor|resume_cursor)"):"[^"]*"`), `$1:"Zm9yIHRoZSBnYXRld2F5IG9ubHk"`},
	{regexp.MustCompile(`for [0-9.]+m?s`), `for 1s`},
}

// meanwhile runs do concurrently with the test, which ends after it.
func meanwhile(t *testing.T, do func()) {
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	t.Cleanup(func() { <-done })
}

// TestExamples checks that the examples in the OpenAPI document are responses of the gateway.
// With -update it writes them.
func TestExamples(t *testing.T) {
	const file = "openapi/examples.json"
	got := map[string]json.RawMessage{}
	take := func(name string, r reply) {
		text := r.text
		for _, s := range placeholders {
			text = s.what.ReplaceAllString(text, s.by)
		}
		today := time.Now().UTC().Format(time.DateOnly)
		text = regexp.MustCompile(`"`+today+`T[^"]*"`).ReplaceAllString(text, `"2026-11-21T17:40:02Z"`)
		if !json.Valid([]byte(text)) {
			t.Fatalf("%s: %s", name, text)
		}
		got[name] = json.RawMessage(text)
	}
	const id = "X-Request-Id: 01JDF5Q2VN8X7T5S0W0H3M9Z4K"
	b := newBench(t, "")
	answers := []struct{ name, method, path, body string }{
		{"listAgents 200", "GET", "/v1/agents?limit=2", ""},
		{"listAgents 200 filtered", "GET", "/v1/agents?status=active&backend=klen,talkifai&limit=1", ""},
		{"getAgent 200", "GET", "/v1/agents/talkifai:agent_abc123", ""},
		{"getBackend 200", "GET", "/v1/backends/krosai", ""},
		{"createAgent 200", "POST", "/v1/agents?dry_run=true", `{"backend":"auto","name":"Night Desk","architecture":"text","model":{"id":"gpt-4o-mini"},"system_prompt":"Answer briefly.","status":"active"}`},
		{"createAgent 201", "POST", "/v1/agents", `{"backend":"talkifai","name":"Night Desk","architecture":"text","model":{"id":"gpt-4o-mini"},"system_prompt":"Answer briefly.","status":"active"}`},
		{"updateAgent 200", "PATCH", "/v1/agents/krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890", `{"language":"fr"}`},
		{"deleteAgent 200", "DELETE", "/v1/agents/talkifai:agent_abc123?dry_run=true", ""},
	}
	for _, a := range answers {
		r := b.ask(keyAcme, a.method, a.path, a.body, id)
		if r.StatusCode >= 300 {
			t.Errorf("%s: %s", a.name, r.text)
		}
		take(a.name, r)
	}
	cursor := b.get("/v1/agents?limit=2").body["next_cursor"].(string)
	take("problem cursor_mismatch", b.get("/v1/agents?limit=2&status=active&cursor="+cursor, id).wants(t, 400, "cursor_mismatch"))
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Status: 500})
	take("listAgents 200 incomplete", b.get("/v1/agents?backend=krosai,klen&limit=1&order_by=-name", "Cache-Control: no-cache", id).wants(t, 200, ""))

	krosai := `{"backend":"krosai","name":"Night Desk"}`
	fails := func(f sandbox.Fault) func(*bench) {
		return func(b *bench) { b.vendors["krosai"].Control().Fail(f) }
	}
	nothing := func(*bench) {}
	for _, p := range []struct {
		code       problem.Code
		key        string
		method     string
		path, body string
		headers    []string
		before     func(*bench)
	}{
		{problem.CodeInvalidParameter, keyAcme, "GET", "/v1/agents?limti=5", "", nil, nothing},
		{problem.CodeInvalidBody, keyAcme, "POST", "/v1/agents", `{"name":`, nil, nothing},
		{problem.CodeCursorInvalid, keyAcme, "GET", "/v1/agents?cursor=nonsense", "", nil, nothing},
		{problem.CodeMethodNotAllowed, keyAcme, "PUT", "/v1/agents", "{}", nil, nothing},
		{problem.CodeBodyTooLarge, keyAcme, "POST", "/v1/agents", `"` + strings.Repeat("x", 2<<20) + `"`, nil, nothing},
		{problem.CodeHeadersTooLarge, keyAcme, "GET", "/v1/agents", "", []string{"Prefer: " + strings.Repeat("x", 20<<10)}, nothing},
		{problem.CodeIdempotencyInProgress, keyAcme, "POST", "/v1/agents", krosai, []string{"Idempotency-Key: desk"}, func(b *bench) {
			b.vendors["krosai"].Control().Fail(sandbox.Fault{Hang: true})
			meanwhile(t, func() { b.createOnce("desk", krosai) })
			waittest.Until(t, "the first request to reach krosai", func() bool { return b.posts("krosai") == 1 })
		}},
		{problem.CodeOverloaded, keyAcme, "GET", "/v1/agents", "", nil, func(b *bench) {
			b.reload("max_inflight: 2048", "max_inflight: 1")
			b.vendors["krosai"].Control().Fail(sandbox.Fault{Hang: true})
			meanwhile(t, func() { b.get("/v1/agents/krosai:x") })
			waittest.Until(t, "the first request to reach krosai", func() bool { return b.requests("krosai") == 1 })
		}},
		{problem.CodeUnauthenticated, "", "GET", "/v1/agents", "", nil, nothing},
		{problem.CodeScopeMissing, keyRead, "DELETE", "/v1/agents/krosai:x", "", nil, nothing},
		{problem.CodeAgentNotFound, keyAcme, "GET", "/v1/agents/krosai:none", "", nil, nothing},
		{problem.CodeBackendNotFound, keyAcme, "GET", "/v1/backends/krosia", "", nil, nothing},
		{problem.CodeNotFound, keyAcme, "GET", "/docs/assets/none", "", nil, nothing},
		{problem.CodeNotAcceptable, keyAcme, "GET", "/v1/agents", "", []string{"Accept: text/html"}, nothing},
		{problem.CodeUnsupportedMediaType, keyAcme, "POST", "/v1/agents", krosai, []string{"Content-Type: text/plain"}, nothing},
		{problem.CodeURITooLong, keyAcme, "GET", "/v1/agents?q=" + strings.Repeat("x", 9000), "", nil, nothing},
		{problem.CodeETagMismatch, keyAcme, "PATCH", "/v1/agents/krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890", `{"language":"fr"}`, []string{`If-Match: "of-yesterday"`}, nothing},
		{problem.CodeValidationFailed, keyAcme, "POST", "/v1/agents", `{"backend":"talkifai","name":"N","architecture":"pipeline","nmae":"x"}`, nil, nothing},
		{problem.CodeUnsupportedFields, keyAcme, "POST", "/v1/agents", `{"backend":"krosai","name":"Night Desk","greeting":"Hello"}`, nil, nothing},
		{problem.CodeImmutableField, keyAcme, "PATCH", "/v1/agents/talkifai:agent_abc123", `{"architecture":"text"}`, nil, nothing},
		{problem.CodeNoBackendFits, keyAcme, "POST", "/v1/agents", `{"backend":"auto","name":"Night Desk","greeting":"Hello","knowledge_base_ids":["kb_1"]}`, nil, nothing},
		{problem.CodeIdempotencyKeyReused, keyAcme, "POST", "/v1/agents", `{"backend":"krosai","name":"Day Desk"}`, []string{"Idempotency-Key: desk"}, func(b *bench) { b.createOnce("desk", krosai).wants(t, 201, "") }},
		{problem.CodeUpstreamRejected, keyAcme, "POST", "/v1/agents", krosai, nil, fails(sandbox.Fault{Status: 422, Body: `{"error":"no"}`})},
		{problem.CodeRateLimited, keyAcme, "GET", "/v1/backends", "", nil, func(b *bench) {
			b.reload("- id: "+keyAcme+"\n", "- id: "+keyAcme+"\n    rate_limit: {requests: 1, per: 1h}\n")
			b.get("/v1/backends").wants(t, 200, "")
		}},
		{problem.CodeUpstreamRateLimited, keyAcme, "POST", "/v1/agents", krosai, nil, fails(sandbox.Fault{Status: 429})},
		{problem.CodeInternal, keyAcme, "GET", "/v1/agents/klen:123", "", nil, nil},
		{problem.CodeOperationUnsupported, keyAcme, "DELETE", "/v1/agents/klen:123", "", nil, nothing},
		{problem.CodeUpstreamError, keyAcme, "GET", "/v1/agents/krosai:x", "", nil, fails(sandbox.Fault{Status: 500})},
		{problem.CodeUpstreamBadResponse, keyAcme, "GET", "/v1/agents/krosai:x", "", nil, fails(sandbox.Fault{Status: 200, Body: "<html>"})},
		{problem.CodeUpstreamAuthFailed, keyAcme, "GET", "/v1/agents/krosai:x", "", nil, fails(sandbox.Fault{Status: 401})},
		{problem.CodeUpstreamUnavailable, keyAcme, "GET", "/v1/agents/krosai:x", "", nil, fails(sandbox.Fault{Status: 503})},
		{problem.CodeUpstreamTimeout, keyAcme, "GET", "/v1/agents/krosai:x", "", nil, fails(sandbox.Fault{Hang: true})},
		{problem.CodeWriteOutcomeUnknown, keyAcme, "POST", "/v1/agents", krosai, []string{"Idempotency-Key: desk"}, fails(sandbox.Fault{Reset: true})},
		{problem.CodeDraining, keyAcme, "GET", "/v1/agents", "", nil, func(b *bench) { b.server.RefuseRequests() }},
		{problem.CodeStoreUnavailable, keyAcme, "POST", "/v1/agents", krosai, []string{"Idempotency-Key: desk"}, func(b *bench) {
			if err := b.store.Close(); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		var b *bench
		if p.before == nil { // an adapter that panics
			broken := provider("klen")
			made := broken.New
			broken.New = func(s adapters.Settings) adapters.Adapter { return panicking{made(s)} }
			b = newBench(t, "", broken)
		} else {
			b = newBench(t, "timeout: 3s")
			p.before(b)
		}
		r := b.ask(p.key, p.method, p.path, p.body, append(p.headers, id)...).wants(t, statusOf(p.code), string(p.code))
		take("problem "+string(p.code), r)
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(got); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, text.Bytes()) {
		t.Errorf("%s is out of date; run make docs", file)
	}
}

// statusOf returns the HTTP status of a code.
func statusOf(code problem.Code) int {
	for _, info := range problem.Codes() {
		if info.Code == code {
			return info.Status
		}
	}
	return 0
}
