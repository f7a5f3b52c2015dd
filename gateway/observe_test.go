package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

// TestTelemetry_HasNoTextOfCallers checks that no metric, span, log line or recent request has
// text from the method, path or headers of a request, however early it is refused.
func TestTelemetry_HasNoTextOfCallers(t *testing.T) {
	b := newBench(t, "")
	for _, key := range []string{"", "X-API-Key: " + b.keys[keyAcme] + "\r\n"} {
		for _, head := range []string{
			"GET /v1/agents HTTP/1.1\r\nX-Forwarded-Proto: canary-proto\r\n",
			"GET /v1/agents HTTP/1.1\r\nX-Url-Scheme: canary\xff\xfe\r\n",
			"GET /v1/agents/canary-\xff\xfe HTTP/1.1\r\n",
			"GET /v1/agents/klen:canary-id HTTP/1.1\r\n",
			"GET /canary-path HTTP/1.1\r\n",
			"CANARY /v1/agents HTTP/1.1\r\n",
			"CANARY /v1/agents HTTP/1.1\r\nContent-Length: 999999999\r\n",
			"canary HTTP/9\r\n",
		} {
			b.raw(head+"Host: h\r\nConnection: close\r\n"+key+"\r\n", 5*time.Second)
		}
	}
	b.lines.Close()
	view, err := json.Marshal(b.gateway.journal.View(0, 0, journal.Steps))
	if err != nil {
		t.Fatal(err)
	}
	spans := ""
	for _, s := range b.spans.GetSpans() {
		spans += fmt.Sprintln(s.Name, s.Attributes, s.Events)
	}
	for place, text := range map[string]string{"metrics": b.metrics(), "log": b.log.String(), "journal": string(view), "spans": spans} {
		if i := strings.Index(strings.ToLower(text), "canary"); i >= 0 {
			t.Errorf("%s: …%s…", place, text[max(0, i-80):min(len(text), i+80)])
		}
		if !utf8.ValidString(text) || len(text) < 500 {
			t.Errorf("%s are not UTF-8, or nearly empty: %q", place, text)
		}
	}
	if page := b.metrics(); !strings.Contains(page, `http_request_method="_OTHER",http_response_status_code="413"`) {
		t.Error("a request that fasthttp refuses is not counted")
	}
}

// TestRecentRequests_SharedFailure checks that a request that shares a failed upstream call of
// another one shows the call.
func TestRecentRequests_SharedFailure(t *testing.T) {
	b := newBench(t, "")
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Delay: time.Second, Status: 400})
	const path = "/v1/agents/talkifai:agent_abc123"
	meanwhile(t, func() { b.get(path) })
	waittest.Until(t, "the first request to reach talkifai", func() bool { return b.requests("talkifai") == 1 })
	b.get(path)
	waittest.Until(t, "both to be recorded", func() bool {
		asked, shared := 0, 0
		for _, r := range b.gateway.journal.View(0, 0, journal.Steps).Requests {
			for _, c := range r.Calls {
				if c.Shared != "" {
					shared++
				} else {
					asked++
				}
			}
		}
		return asked == 1 && shared == 1
	})
}
