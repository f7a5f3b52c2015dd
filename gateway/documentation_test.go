package gateway

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/gateway/problem"
)

// TestDocumentation_Headers checks that the documents need no key, are compressed, have entity
// tags, and may not load anything from other origins.
func TestDocumentation_Headers(t *testing.T) {
	b := newBench(t, "")
	for path, media := range map[string]string{
		"/openapi.json": "application/json", "/docs": "text/html", "/docs/errors": "text/html",
		"/docs/assets/docs.js": "text/javascript", "/docs/assets/swagger-ui-bundle.js": "text/javascript", "/docs/assets/swagger-ui.css": "text/css",
	} {
		r := b.ask("", "GET", path, "")
		etag := r.Header.Get("ETag")
		if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), media) || !strings.HasPrefix(etag, `"`) {
			t.Errorf("%s: %d %v", path, r.StatusCode, r.Header)
		}
		if again := b.ask("", "GET", path, "", "If-None-Match: "+etag); again.StatusCode != 304 || again.text != "" {
			t.Errorf("%s with its tag: %d", path, again.StatusCode)
		}
		if head := b.ask("", "HEAD", path, ""); head.StatusCode != 200 || head.text != "" || head.Header.Get("ETag") != etag {
			t.Errorf("HEAD %s: %d %v", path, head.StatusCode, head.Header)
		}
		if packed := b.ask("", "GET", path, "", "Accept-Encoding: zstd"); len(r.text) > 1024 && packed.Header.Get("Content-Encoding") != "zstd" {
			t.Errorf("%s is not compressed", path)
		}
		if policy := r.Header.Get("Content-Security-Policy"); path != "/openapi.json" && !strings.HasPrefix(policy, "default-src 'none'; script-src 'self';") {
			t.Errorf("%s: Content-Security-Policy %q", path, policy)
		}
		if path != "/openapi.json" && (r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Referrer-Policy") != "no-referrer") {
			t.Errorf("%s: %v", path, r.Header)
		}
	}
	b.ask("", "GET", "/docs/assets/none.js", "").wants(t, 404, "not_found")
	b.ask("", "GET", "/docs/assets/..%2Fdocsite.go", "").wants(t, 404, "not_found")
	b.ask("", "GET", "/openapi.json?x=1", "").wants(t, 400, "invalid_parameter")
}

// TestDocumentation_HasEveryCode checks that every code is in the OpenAPI document, and that the
// type of every problem has an anchor on the errors page.
func TestDocumentation_HasEveryCode(t *testing.T) {
	b := newBench(t, "")
	r := b.ask("", "GET", "/openapi.json", "")
	page := b.ask("", "GET", "/docs/errors", "").text
	// No operation has these: they are responses to requests without a route.
	withoutRoute := map[problem.Code]bool{problem.CodeMethodNotAllowed: true}
	for _, c := range problem.Codes() {
		if !withoutRoute[c.Code] && !strings.Contains(r.text, "/docs/errors#"+string(c.Code)) {
			t.Errorf("no response has %s", c.Code)
		}
		if !strings.Contains(page, `id="`+string(c.Code)+`"`) {
			t.Errorf("%s has no anchor", c.Code)
		}
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(r.text), &document); err != nil || document["openapi"] != "3.1.0" {
		t.Errorf("%v, %v", err, document["openapi"])
	}
}
