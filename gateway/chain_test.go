package gateway

import (
	"testing"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

// A request refused by the quota has no client span and does not count as a failure of the
// backend.
func TestChain_RefusedRequestIsNotTracedOrCounted(t *testing.T) {
	b := newBench(t, "quota: {requests: 1, per: 1h}\nbreaker: {consecutive: 1}\ncache: {ttl: 0s, stale_if_error: 0s, stale_while_revalidate: 0s}")
	b.get("/v1/agents?backend=klen").wants(t, 200, "")
	spans := len(b.spans.GetSpans())
	b.get("/v1/agents?backend=klen").wants(t, 429, "upstream_rate_limited")
	for _, s := range b.spans.GetSpans()[spans:] {
		if s.SpanKind.String() == "client" {
			t.Errorf("a span for a request that was not sent: %s", s.Name)
		}
	}
	if got := b.get("/v1/backends/klen").at("breaker.state"); got != "closed" {
		t.Errorf("the breaker is %v", got)
	}
}

func TestTrace_SpanKindsAndStatuses(t *testing.T) {
	b := newBench(t, "")
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Status: 500})
	b.get("/v1/agents").wants(t, 200, "")
	waittest.Until(t, "the server's span", func() bool {
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
