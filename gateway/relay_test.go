package gateway

import (
	"strings"
	"testing"

	"github.com/agentgw/agentgw/sandbox"
)

// TestRelayErrors tests that a backend with relay_errors shows what the provider says about a failed
// request, without secrets, and that no other backend does.
func TestRelayErrors(t *testing.T) {
	b := newBench(t, "")
	b.reload("    provider: krosai\n", "    provider: krosai\n    relay_errors: true\n")
	own := b.env["ACME_KROSAI"]
	long := strings.Repeat("é", 600)
	for body, want := range map[string]string{
		`{"error": {"message": "prompt is too long"}}`:         "prompt is too long",
		`{"message": "first", "detail": "second"}`:             "first",
		`{"error": "a text"}`:                                  "a text",
		`{"errors": ["x"]}`:                                    `{"errors": ["x"]}`,
		`<html>Bad Request</html>`:                             "<html>Bad Request</html>",
		`{"detail": "line\nbreak\u0007\u202e end"}`:            "line break end",
		`{"detail": "key ` + own + ` is wrong"}`:               "key [redacted] is wrong",
		`{"detail": "you sent ` + b.keys[keyAcme] + `"}`:       "you sent [redacted]",
		`{"detail": "` + long + `"}`:                           strings.Repeat("é", 499) + "…",
		`{"detail": "` + strings.Repeat("x", 490) + own + `"}`: strings.Repeat("x", 490) + "[redacted]",
		`{"detail": ""}`:                                       `{"detail": ""}`,
	} {
		b.vendors["krosai"].Control().Fail(sandbox.Fault{Method: "POST", Times: 1, Status: 400, Body: body})
		r := b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "krosai", "name": "n"}`).wants(t, 422, "upstream_rejected")
		if got := r.at("upstream.message"); got != want {
			t.Errorf("%s is relayed as %q, want %q", body, got, want)
		}
	}
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Method: "POST", Times: 1, Status: 400, Body: `{"detail": "Keep this out"}`})
	b.createOnce("relayed", `{"backend": "krosai", "name": "n"}`).wants(t, 422, "upstream_rejected")
	if log := b.log.String(); strings.Contains(log, "Keep this out") {
		t.Error("the log has the provider's text")
	}

	b.vendors["agenthuman"].Control().Fail(sandbox.Fault{Method: "POST", Times: 1, Status: 400, Body: `{"detail": "not for callers"}`})
	if r := b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "agenthuman", "name": "n"}`).wants(t, 422, "upstream_rejected"); strings.Contains(r.text, "not for callers") || r.at("upstream.message") != nil {
		t.Errorf("a backend without relay_errors relays: %s", r.text)
	}
}
