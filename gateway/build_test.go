package gateway

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/sandbox"
)

// TestOrder holds build's comment against what build does.
func TestOrder(t *testing.T) {
	source, err := os.ReadFile("build.go")
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	comment := regexp.MustCompile(`(?m)^//\t([a-z]+) `).FindAllStringSubmatch(text, -1)
	var said []string
	for _, m := range comment {
		said = append(said, m[1])
	}
	if got := strings.Join(said, " "); got != "recover compose cache adapter unchanged retry breaker bulkhead quota health trace upstream" {
		t.Fatalf("the comment says %s", got)
	}
	// Each name's first mention in the code, in the chains' order.
	for _, order := range [][]string{
		{"recoverPanics(", "compose(", "g.cache.middleware("},
		{"skipUnchanged,", "retries.middleware(", "backend.breaker.middleware(", "backend.bulkhead.middleware(", "backend.quotas.middleware(", "backend.health.middleware(", "traceRoundTrip("},
	} {
		at := 0
		for _, name := range order {
			i := strings.Index(text[at:], name)
			if i < 0 {
				t.Fatalf("%s does not come after %s", name, text[at:min(at+40, len(text))])
			}
			at += i
		}
	}
}

// TestOrderInEffect: what is refused inside is not sent, not spanned, and not
// the breaker's affair.
func TestOrderInEffect(t *testing.T) {
	b := newBench(t, "quota: {requests: 1, per: 1h}\nbreaker: {consecutive: 1}\ncache: {ttl: 0s, stale_if_error: 0s, stale_while_revalidate: 0s}")
	b.get("/v1/agents?backend=klen").wants(t, 200, "")
	spans := len(b.spans.GetSpans())
	b.get("/v1/agents?backend=klen").wants(t, 429, "upstream_rate_limited")
	for _, s := range b.spans.GetSpans()[spans:] {
		if s.SpanKind.String() == "client" {
			t.Errorf("a span for what was not sent: %s", s.Name)
		}
	}
	if got := b.get("/v1/backends/klen").at("breaker.state"); got != "closed" {
		t.Errorf("the breaker is %v", got)
	}
}

func TestSpans(t *testing.T) {
	b := newBench(t, "")
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Status: 500})
	b.get("/v1/agents").wants(t, 200, "")
	waitFor(t, "the server's span", func() bool {
		for _, s := range b.spans.GetSpans() {
			if s.Name == "GET /v1/agents" {
				return true
			}
		}
		return false
	})
	kinds := map[string]string{}
	trace := ""
	for _, s := range b.spans.GetSpans() {
		kinds[s.Name] = s.SpanKind.String()
		if trace == "" {
			trace = s.SpanContext.TraceID().String()
		}
		if s.SpanContext.TraceID().String() != trace {
			t.Errorf("%s is in another trace", s.Name)
		}
		if s.Name == "krosai list_agents" && s.Status.Code.String() != "Error" {
			t.Errorf("krosai's span is %v", s.Status)
		}
		if s.Name == "GET /v1/agents" && s.Status.Code.String() == "Error" {
			t.Errorf("the server's span is %v", s.Status)
		}
	}
	for name, kind := range map[string]string{
		"GET /v1/agents": "server", "fanout": "internal", "klen list_agents": "client", "agenthuman list_agents": "client", "krosai list_agents": "client", "talkifai list_agents": "client",
	} {
		if kinds[name] != kind {
			t.Errorf("%s is %q, want %q", name, kinds[name], kind)
		}
	}
}
