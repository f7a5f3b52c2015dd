package gateway

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/agentgw/agentgw/sandbox"
	klensandbox "github.com/agentgw/agentgw/sandbox/klen"
)

// TestIsolation_BackendsReceiveOnlyTheirCredential puts canaries into every credential, key
// and part of the client's request. Each backend receives exactly the credential that the
// key maps to it, and nothing else of the request.
func TestIsolation_BackendsReceiveOnlyTheirCredential(t *testing.T) {
	b := newBench(t, "")
	headers := []string{
		"X-Canary: canary-header", "Cookie: canary=cookie", "User-Agent: canary-agent", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"baggage: canary=baggage", "X-Request-Id: canary-request-id", "Idempotency-Key: canary-idempotency", "X-Forwarded-For: 203.0.113.9",
	}
	for _, key := range []string{keyAcme, keyKlen} {
		b.gateway.Purge("", "")
		for _, v := range b.vendors {
			v.Control().Forget()
		}
		b.ask(key, "GET", "/v1/agents?include=raw", "", headers...).wants(t, 200, "")
		if key == keyAcme {
			b.ask(key, "GET", "/v1/agents/talkifai:agent_abc123", "", headers...).wants(t, 200, "")
			b.ask(key, "POST", "/v1/agents", `{"backend": "krosai", "name": "n"}`, headers...).wants(t, 201, "")
			b.ask(key, "PATCH", "/v1/agents/agenthuman:131", `{"name": "n"}`, headers...).wants(t, 200, "")
		}
		for name, v := range b.vendors {
			want := "canary-" + key + "-" + name
			requests := v.Control().Requests()
			if key == keyKlen && name != "klen" && len(requests) > 0 {
				t.Errorf("%s was asked for a key that does not map to it", name)
			}
			for _, r := range requests {
				all := fmt.Sprintf("%s %s %v %s", r.Path, r.Query.Encode(), r.Header, r.Body)
				if strings.Count(all, "canary") != 1 || !strings.Contains(all, want) {
					t.Errorf("%s saw %s", name, all)
				}
				for _, secret := range []string{b.keys[keyAcme], b.keys[keyKlen], "Traceparent", "203.0.113.9", "0af7651916cd43dd8448eb211c80319c"} {
					if strings.Contains(all, secret) {
						t.Errorf("%s saw %s in %s", name, secret, all)
					}
				}
				if got := r.Header.Get("User-Agent"); got != "agentgw/test" {
					t.Errorf("%s saw the user agent %q", name, got)
				}
			}
		}
	}
}

// TestBackends_TwoOfOneProvider: two backends of one provider have their own names,
// credentials and agents.
func TestBackends_TwoOfOneProvider(t *testing.T) {
	b := newBench(t, "")
	second := klensandbox.New()
	server := httptest.NewServer(second)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	second.Seed("canary-eu", []byte(`{"id": 123, "assistant_id": "assistant_eu", "name": "European", "role": "inbound agent", "phone_number": null, "minutes_used": 0, "total_calls": 0, "model": "m", "voice_id": "v", "can_make_calls": false, "team_id": null}`))
	b.env["ACME_EU"] = "canary-eu"
	b.reload("  agenthuman:\n    provider", "  klen-eu:\n    provider: klen\n    base_url: "+server.URL+"/api/v1\n  agenthuman:\n    provider", "klen: env:ACME_KLEN\n      agent", "klen: env:ACME_KLEN\n      klen-eu: env:ACME_EU\n      agent")
	if got := b.get("/v1/agents?provider=klen").wants(t, 200, "").ids(); len(got) != 6 || got[5] != "klen-eu:123" {
		t.Errorf("%v", got)
	}
	if got := b.get("/v1/agents/klen-eu:123").wants(t, 200, ""); got.body["name"] != "European" || got.at("alternate_ids.0") != "klen-eu:assistant_eu" || got.body["provider"] != "klen" {
		t.Errorf("%s", got.text)
	}
	if got := b.get("/v1/agents/klen:123").wants(t, 200, ""); got.body["name"] != "Customer Support" {
		t.Errorf("%s", got.text)
	}
	b.ask(keyKlen, "GET", "/v1/agents/klen-eu:123", "").wants(t, 404, "agent_not_found")
	for _, r := range second.Requests() {
		if got := r.Header.Get("Authorization"); got != "Bearer canary-eu" {
			t.Errorf("klen-eu saw %s", got)
		}
	}
}

// TestSecrets_NotInResponsesLogsOrTelemetry: no response, log line, span or metric contains a
// key, a credential or a provider's text that may quote one.
func TestSecrets_NotInResponsesLogsOrTelemetry(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBench(t, "timeout: 3s\nbreaker: {consecutive: 1000, min_requests: 1000}")
	var responses strings.Builder
	record := func(r reply) { fmt.Fprintf(&responses, "%v %v\n", r.Header, r.text) }
	all := func() {
		record(b.get("/v1/agents", "Cache-Control: no-cache"))
		record(b.get("/v1/agents/talkifai:agent_abc123", "Cache-Control: no-cache"))
		record(b.get("/v1/agents/agenthuman:131", "Cache-Control: no-cache"))
		record(b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "krosai", "name": "n", "system_prompt": "canary-prompt"}`))
		record(b.ask(keyAcme, "PATCH", krosaiAgent, `{"name": "n"}`))
		record(b.ask(keyAcme, "DELETE", "/v1/agents/agenthuman:1", ""))
		record(b.get("/v1/backends"))
		record(b.ask("", "GET", "/v1/agents?cursor=canary-query", "", "Authorization: Bearer "+b.keys[keyAcme]+"canary-key"))
	}
	for _, fault := range []sandbox.Fault{
		{Status: 401, Body: `{"error": "the key canary-acme-krosai is bad", "message": "canary-acme-klen", "code": "canary-acme-talkifai", "detail": "canary"}`},
		{Status: 500, Body: `<html>canary-text</html>`}, {Status: 200, Body: `{"canary-member": 1}`}, {Status: 200, Body: `{"success": false, "error": "canary-text"}`},
		{Status: 302, Header: map[string]string{"Location": "http://127.0.0.1:1/canary"}}, {Reset: true}, {Hang: true}, {Cut: true},
		{Status: 429, Header: map[string]string{"Retry-After": "canary"}, Body: `{"error": "canary"}`},
	} {
		for _, v := range b.vendors {
			v.Control().Heal()
			v.Control().Fail(fault)
		}
		all()
	}
	b.lines.Close() // flush the log
	places := map[string]string{"responses": responses.String(), "log": b.log.String(), "spans": describeSpans(b.spans), "metrics": b.metrics()}
	for place, text := range places {
		if i := strings.Index(text, "canary"); i >= 0 {
			t.Errorf("%s: …%s…", place, text[max(0, i-80):min(len(text), i+80)])
		}
		for _, key := range b.keys {
			if strings.Contains(text, key) {
				t.Errorf("%s show a key", place)
			}
		}
		if len(text) < 500 {
			t.Errorf("%s are nearly empty; the test proves nothing: %q", place, text)
		}
	}
}

func describeSpans(e *tracetest.InMemoryExporter) string {
	var text strings.Builder
	for _, s := range e.GetSpans() {
		fmt.Fprintf(&text, "%s %v %v %v %v\n", s.Name, s.Attributes, s.Events, s.Status, s.Resource)
	}
	return text.String()
}

// TestIsolation_ConcurrentTenants: two tenants share connections, cache and backends, and
// neither ever sees an agent of the other.
func TestIsolation_ConcurrentTenants(t *testing.T) {
	b := newBench(t, "cache: {ttl: 1ms, stale_while_revalidate: 1ms}")
	klen := b.vendors["klen"]
	klen.Seed("canary-klen-only-klen", []byte(`{"id": 123, "assistant_id": "assistant_other", "name": "TENANT-B", "role": "inbound agent", "phone_number": null, "minutes_used": 0, "total_calls": 0, "model": "m", "voice_id": "v", "can_make_calls": false, "team_id": null}`))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 60 {
				if i%2 == 0 {
					if r := b.ask(keyKlen, "GET", "/v1/agents/klen:123", ""); r.body["name"] != "TENANT-B" {
						t.Errorf("tenant B sees %s", r.text)
					}
				} else if r := b.get("/v1/agents?backend=klen"); strings.Contains(r.text, "TENANT-B") || len(r.ids()) != 5 {
					t.Errorf("tenant A sees %s", r.text)
				}
				if i == 0 {
					b.gateway.Purge("klen", "")
				}
			}
		})
	}
	wg.Wait()
}
