package gateway

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/gateway/apikey"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

func TestAuthentication(t *testing.T) {
	b := newBench(t, "")
	f := func(headers ...string) {
		t.Helper()
		r := b.ask("", "GET", "/v1/agents", "", headers...).wants(t, 401, "unauthenticated")
		if r.Header.Get("WWW-Authenticate") == "" || r.body["detail"] != "send a valid key as Authorization: Bearer … or X-API-Key: …" {
			t.Errorf("%v: %s", headers, r.text)
		}
	}
	f()
	f("Authorization: Bearer " + apikey.New(apikey.Live)) // valid, but unknown
	f("Authorization: Bearer nonsense")
	f("Authorization: Basic dXNlcjpwYXNz")
	f("Authorization: Bearer")
	f("X-API-Key: " + b.keys[keyAcme] + "x")
	b.ask("", "GET", "/v1/agents", "", "X-API-Key: "+b.keys[keyAcme]).wants(t, 200, "")
	b.ask("", "GET", "/v1/agents", "", "Authorization: bearer "+b.keys[keyAcme]).wants(t, 200, "")
	b.ask(keyAcme, "GET", "/v1/agents", "", "X-API-Key: "+b.keys[keyAcme]).wants(t, 200, "")
	b.ask(keyAcme, "GET", "/v1/agents", "", "X-API-Key: "+b.keys[keyRead]).wants(t, 400, "invalid_parameter")
	for _, name := range []string{"Authorization", "X-API-Key"} { // the same header twice
		prefix := map[string]string{"Authorization": "Bearer "}[name]
		req, err := http.NewRequest("GET", b.url+"/v1/agents", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header[name] = []string{prefix + b.keys[keyAcme], prefix + "other"}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("two different %s: %d", name, resp.StatusCode)
		}
	}
}

func TestScope_Missing(t *testing.T) {
	b := newBench(t, "")
	b.ask(keyRead, "GET", "/v1/agents", "").wants(t, 200, "")
	b.ask(keyRead, "GET", "/v1/backends", "").wants(t, 200, "")
	for method, path := range map[string]string{"POST": "/v1/agents", "PATCH": krosaiAgent, "DELETE": krosaiAgent} {
		if r := b.ask(keyRead, method, path, `{}`).wants(t, 403, "scope_missing"); !strings.Contains(r.text, "agents:write") {
			t.Errorf("%s", r.text)
		}
	}
}

func TestMethodNotAllowed(t *testing.T) {
	b := newBench(t, "")
	f := func(method, path, allow string) {
		t.Helper()
		r := b.ask(keyAcme, method, path, "").wants(t, 405, "method_not_allowed")
		if got := r.Header.Get("Allow"); got != allow {
			t.Errorf("%s %s: Allow %q, want %q", method, path, got, allow)
		}
	}
	f("PUT", "/v1/agents", "GET, HEAD, POST, OPTIONS")
	f("PROPFIND", "/v1/agents", "GET, HEAD, POST, OPTIONS")
	f("DELETE", "/v1/agents", "GET, HEAD, POST, OPTIONS")
	f("POST", "/v1/agents/klen:123", "GET, HEAD, PATCH, DELETE, OPTIONS")
	f("POST", "/v1/agents/klen:a%2Fb", "GET, HEAD, PATCH, DELETE, OPTIONS")
	f("POST", "/v1/backends", "GET, HEAD, OPTIONS")
	r := b.ask("", "OPTIONS", "/v1/agents", "").wants(t, 204, "")
	if got := r.Header.Get("Allow"); got != "GET, HEAD, POST, OPTIONS" {
		t.Errorf("Allow %q", got)
	}
	r = b.ask(keyAcme, "HEAD", "/v1/agents/klen:123", "").wants(t, 200, "")
	if r.text != "" || r.ContentLength <= 0 {
		t.Errorf("HEAD: %d bytes of %d", len(r.text), r.ContentLength)
	}
	b.ask(keyAcme, "OPTIONS", "/nowhere", "").wants(t, 404, "not_found")
	b.ask(keyAcme, "PROPFIND", "/nowhere", "").wants(t, 404, "not_found")
}

func TestMalformedRequest_IsRefused(t *testing.T) {
	b := newBench(t, "")
	b.ask(keyAcme, "POST", "/v1/agents", `{}`, "Content-Type: text/plain").wants(t, 415, "unsupported_media_type")
	b.ask(keyAcme, "POST", "/v1/agents", `{}`, "Content-Encoding: gzip").wants(t, 415, "unsupported_media_type")
	b.ask(keyAcme, "GET", "/v1/agents", "", "Accept: text/csv").wants(t, 406, "not_acceptable")
	b.ask(keyAcme, "GET", "/v1/agents", "", "Accept: text/csv, */*;q=0.1").wants(t, 200, "")
	b.ask(keyAcme, "POST", "/v1/agents", `{"name": "`+strings.Repeat("x", 1<<20)+`"}`).wants(t, 413, "body_too_large")
	for range 20 { // far over the limit: a connection reset must not lose the response
		b.ask(keyAcme, "POST", "/v1/agents", `{"name": "`+strings.Repeat("x", 8<<20)+`"}`).wants(t, 413, "body_too_large")
	}
	b.get("/v1/agents?cursor="+strings.Repeat("x", 9000)).wants(t, 414, "uri_too_long")
	b.get("/v1/agents", "X-Long: "+strings.Repeat("x", 20000)).wants(t, 431, "headers_too_large")
	for _, raw := range []string{"GARBAGE\r\n\r\n", "GET /v1/agents HTTP/1.1\r\nAuthorization: Bearer canary-key\r\nbad header line\r\n\r\n"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, raw)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		text := new(strings.Builder)
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			text.WriteString(lines.Text() + "\n")
		}
		conn.Close()
		if !strings.HasPrefix(text.String(), "HTTP/1.1 400") || !strings.Contains(text.String(), "application/problem+json") || strings.Contains(text.String(), "canary") {
			t.Errorf("%q: response\n%s", raw, text)
		}
	}
}

func TestRequestID_ValidOnesAreKept(t *testing.T) {
	b := newBench(t, "")
	if got := b.get("/v1/agents", "X-Request-Id: my-id.1_2").Header.Get("X-Request-Id"); got != "my-id.1_2" {
		t.Errorf("response has %q", got)
	}
	ulid := regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{26}$`)
	for _, bad := range []string{"", "a b", "ä", strings.Repeat("x", 129)} {
		if got := b.get("/v1/agents", "X-Request-Id: "+bad).Header.Get("X-Request-Id"); !ulid.MatchString(got) {
			t.Errorf("%q became %q", bad, got)
		}
	}
	r := b.ask(keyAcme, "POST", "/v1/agents", `"`+strings.Repeat("x", 1<<20)+`"`, "X-Request-Id: too-large").wants(t, 413, "body_too_large")
	if r.body["request_id"] != "too-large" {
		t.Errorf("%s", r.text)
	}
	waittest.Until(t, "the refused request's access line", func() bool { return strings.Contains(b.log.String(), `"request_id":"too-large"`) })
	r = b.get("/v1/nothing", "X-Request-Id: kept")
	if r.body["request_id"] != "kept" || r.body["trace_id"] == "" {
		t.Errorf("%s", r.text)
	}
}

func TestTraceparent_ContinuesTheTrace(t *testing.T) {
	b := newBench(t, "")
	const trace = "0af7651916cd43dd8448eb211c80319c"
	r := b.get("/v1/nothing", "traceparent: 00-"+trace+"-b7ad6b7169203331-01", "baggage: user=canary-baggage")
	if r.body["trace_id"] != trace {
		t.Errorf("trace_id %v", r.body["trace_id"])
	}
}

func TestProblem_HasEveryField(t *testing.T) {
	b := newBench(t, "")
	r := b.get("/v1/agents/klen:999")
	for _, name := range []string{"type", "title", "status", "code", "detail", "request_id", "trace_id", "retryable", "backend", "upstream", "errors", "sources"} {
		if _, ok := r.body[name]; !ok {
			t.Errorf("no %s in %s", name, r.text)
		}
	}
	if r.body["type"] != "/docs/errors#agent_not_found" || fmt.Sprint(r.body["errors"]) != "[]" || fmt.Sprint(r.body["sources"]) != "[]" {
		t.Errorf("%s", r.text)
	}
}

func TestErrorsPage_HasEveryCode(t *testing.T) {
	b := newBench(t, "")
	r := b.ask("", "GET", "/docs/errors", "")
	if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", r.StatusCode, r.Header.Get("Content-Type"))
	}
	for _, c := range problem.Codes() {
		if !strings.Contains(r.text, fmt.Sprintf(`<section id="%s">`, c.Code)) {
			t.Errorf("no anchor for %s", c.Code)
		}
	}
}

func TestCORS(t *testing.T) {
	b := newBench(t, "")
	preflight := []string{"Origin: https://app.example", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization"}
	if r := b.ask("", "OPTIONS", "/v1/agents", "", preflight...); r.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("allowed by default: %v", r.Header)
	}
	b.reload("request_timeout: 2m", "request_timeout: 2m, cors: {origins: [https://App.Example]}")
	if r := b.ask("", "OPTIONS", "/v1/agents", "", preflight...); r.StatusCode != 204 || r.Header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	if got := b.get("/v1/agents", "Origin: https://app.example").Header.Get("Vary"); !strings.Contains(got, "Origin") || !strings.Contains(got, "Authorization") {
		t.Errorf("Vary %q", got)
	}
	for range 3 { // also from the response cache
		for _, path := range []string{"/v1/agents", "/openapi.json"} {
			if got := b.get(path).Header.Get("Vary"); !strings.HasPrefix(got, "Origin, ") {
				t.Errorf("%s: Vary %q", path, got)
			}
		}
	}
	for path, status := range map[string]int{"/v1/agents?q=" + strings.Repeat("a", 9000): 414, "/nowhere": 404} {
		if r := b.get(path, "Origin: https://app.example"); r.StatusCode != status || r.Header.Get("Access-Control-Allow-Origin") != "https://app.example" {
			t.Errorf("%.20s: %d %v", path, r.StatusCode, r.Header)
		}
	}
	if r := b.get("/v1/agents", "Origin: https://evil.example"); r.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("other origin is allowed: %v", r.Header)
	}
}

func TestRateLimit_OfKey(t *testing.T) {
	b := newBench(t, "")
	b.reload("  - id: reader\n", "  - id: reader\n    rate_limit: {requests: 2, per: 1h}\n")
	for _, left := range []string{`"key";r=1;t=1800`, `"key";r=0;t=3600`} {
		r := b.ask(keyRead, "GET", "/v1/backends", "").wants(t, 200, "")
		if r.Header.Get("RateLimit-Policy") != `"key";q=2;w=3600` || r.Header.Get("RateLimit") != left {
			t.Errorf("%q %q, want %q", r.Header.Get("RateLimit-Policy"), r.Header.Get("RateLimit"), left)
		}
	}
	r := b.ask(keyRead, "GET", "/v1/backends", "").wants(t, 429, "rate_limited")
	if r.Header.Get("Retry-After") != "1800" {
		t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
	}
	b.get("/v1/backends").wants(t, 200, "") // other keys are not limited
}

func TestMaxInflight_IsOverloaded(t *testing.T) {
	b := newBench(t, "timeout: 50s")
	b.reload("max_inflight: 2048", "max_inflight: 1")
	klen := b.vendors["klen"].Control()
	klen.Fail(sandbox.Fault{Delay: 2 * time.Second})
	done := make(chan reply)
	go func() { done <- b.get("/v1/agents?backend=klen") }()
	waittest.Until(t, "the first request to be at klen", func() bool { return b.requests("klen") == 1 })
	r := b.get("/v1/backends").wants(t, 503, "overloaded")
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	(<-done).wants(t, 200, "")
	b.get("/v1/backends").wants(t, 200, "")
}

// TestShutdown_BeforeServe checks that a server that was shut down does not start to serve.
func TestShutdown_BeforeServe(t *testing.T) {
	b := newBench(t, "")
	server := b.gateway.NewServer()
	if err := server.Shutdown(time.Second); err != nil {
		t.Fatal(err)
	}
	l, err := newLoopback()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(l); err != nil {
		t.Errorf("%v", err)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("the server listens")
	}
}
