package gateway

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

func TestBreaker_OpensProbesAndCloses(t *testing.T) {
	b := newBench(t, "breaker: {consecutive: 3, open_for: 300ms}\ncache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}")
	klen := b.vendors["klen"].Control()
	klen.Fail(sandbox.Fault{Status: 500})
	for range 2 { // the first is retried once
		b.get("/v1/agents/klen:123").wants(t, 502, "upstream_error")
	}
	sent := b.requests("klen")
	r := b.get("/v1/agents/klen:123").wants(t, 503, "upstream_unavailable")
	if r.Header.Get("Retry-After") == "" || b.requests("klen") != sent {
		t.Errorf("an open breaker: Retry-After %q, %d requests", r.Header.Get("Retry-After"), b.requests("klen")-sent)
	}
	v := b.get("/v1/backends/klen").wants(t, 200, "")
	if v.at("breaker.state") != "open" || v.at("breaker.retry_after_s") == nil || v.at("last_error.code") != "upstream_error" {
		t.Errorf("%s", v.text)
	}
	if !strings.Contains(b.metrics(), `agentgw_breaker_state{backend="klen",state="open"} 1`) {
		t.Error("the metric does not show it")
	}
	b.get("/v1/agents/krosai:nobody").wants(t, 404, "agent_not_found") // other backends are not affected
	klen.Heal()
	waittest.Until(t, "the breaker to close", func() bool { return b.get("/v1/agents/klen:123").StatusCode == 200 })
	if got := b.get("/v1/backends/klen").at("breaker.state"); got != "closed" {
		t.Errorf("state %v", got)
	}
	if !strings.Contains(b.metrics(), `agentgw_breaker_transitions_total{backend="klen",from="closed",to="open"} 1`) {
		t.Error("the transition is not counted")
	}
}

// Errors that the request caused do not open the breaker.
func TestBreaker_IgnoresNeutralFailures(t *testing.T) {
	b := newBench(t, "breaker: {consecutive: 2, min_requests: 2}\ncache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}")
	for _, fault := range []sandbox.Fault{{Status: 404}, {Status: 401}, {Status: 403}, {Status: 400}, {Status: 302}, {Status: 200, Body: `{"success": false}`}} {
		control := b.vendors["talkifai"].Control()
		control.Heal()
		control.Fail(fault)
		for range 6 {
			b.get("/v1/agents/talkifai:agent_abc123")
		}
		if got := b.get("/v1/backends/talkifai").at("breaker.state"); got != "closed" {
			t.Errorf("%+v: %v", fault, got)
		}
	}
}

func TestQuota_LimitsRequestsPerCredential(t *testing.T) {
	b := newBench(t, "quota: {requests: 3, per: 1h}\ncache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}")
	for range 3 {
		b.get("/v1/agents?backend=klen").wants(t, 200, "")
	}
	r := b.get("/v1/agents?backend=klen").wants(t, 429, "upstream_rate_limited")
	var wait int
	if _, err := fmt.Sscan(r.Header.Get("Retry-After"), &wait); err != nil || wait < 3500 || wait > 3600 {
		t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
	}
	if n := b.requests("klen"); n != 3 {
		t.Errorf("klen received %d requests, its quota is 3", n)
	}
	if q := b.get("/v1/backends/klen"); q.at("quota.remaining") != 0.0 || q.at("quota.retry_after_s") == nil {
		t.Errorf("%s", q.text)
	}
	b.ask(keyKlen, "GET", "/v1/agents", "").wants(t, 200, "") // another credential has its own
	if r := b.get("/v1/agents").wants(t, 200, ""); r.source("klen")["error"].(map[string]any)["code"] != "upstream_rate_limited" {
		t.Errorf("%v", r.source("klen"))
	}
}

func TestQuota_RetryAfterBlocksCredential(t *testing.T) {
	b := newBench(t, "cache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}")
	b.vendors["klen"].Control().Fail(sandbox.Fault{Status: 429, Header: map[string]string{"Retry-After": "1800"}, Times: 1})
	b.get("/v1/agents?backend=klen").wants(t, 429, "upstream_rate_limited")
	r := b.get("/v1/agents?backend=klen").wants(t, 429, "upstream_rate_limited")
	if n := b.requests("klen"); n != 1 || r.Header.Get("Retry-After") != "1800" {
		t.Errorf("%d requests, Retry-After %q", n, r.Header.Get("Retry-After"))
	}
	b.ask(keyKlen, "GET", "/v1/agents", "").wants(t, 200, "")
}

// A call that ends by the request's own deadline, or never starts, is no failure of the backend.
func TestBreaker_IgnoresOwnDeadline(t *testing.T) {
	b := newBench(t, "timeout: 50s\nbreaker: {consecutive: 2}")
	b.reload("request_timeout: 2m", "request_timeout: 300ms")
	b.vendors["klen"].Control().Fail(sandbox.Fault{Hang: true})
	for range 4 {
		b.get("/v1/agents/klen:123").wants(t, 504, "upstream_timeout")
	}
	if got := b.get("/v1/backends/klen").at("breaker.state"); got != "closed" {
		t.Errorf("the breaker is %v", got)
	}
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(nil)
	expired, cancelExpired := context.WithDeadline(context.Background(), time.Now())
	defer cancelExpired()
	for _, ctx := range []context.Context{ended, expired} {
		_, err := b.gateway.agents.Create(ctx, b.gateway.caller(keyAcme), agents.WriteQuery{Body: []byte(`{"backend": "krosai", "name": "n"}`)})
		if p := problem.Of(err); err == nil || p.Code != problem.CodeUpstreamTimeout {
			t.Errorf("a write that was never sent: %v", err)
		}
	}
	if n := b.requests("krosai"); n != 0 {
		t.Errorf("krosai received %d requests", n)
	}
}

func TestBulkhead_RefusesBeyondMaxConcurrent(t *testing.T) {
	b := newBench(t, "max_concurrent: 1\ntimeout: 50s")
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Delay: 2 * time.Second, Times: 1})
	done := make(chan reply)
	go func() { done <- b.get("/v1/agents?backend=krosai") }()
	waittest.Until(t, "the first request to arrive", func() bool { return b.requests("krosai") == 1 })
	if r := b.get(krosaiAgent).wants(t, 503, "upstream_unavailable"); r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	(<-done).wants(t, 200, "")
	b.get(krosaiAgent).wants(t, 200, "")
}
