package gateway

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/sandbox"
)

func TestIfMatch_OnlyTheCurrentTagIsWritten(t *testing.T) {
	for vendor, body := range newAgents {
		t.Run(vendor, func(t *testing.T) {
			b := newBench(t, "")
			created := b.ask(keyAcme, "POST", "/v1/agents", fmt.Sprintf(body, "First")).wants(t, 201, "")
			path, tag := created.Header.Get("Location"), created.Header.Get("ETag")
			if read := b.get(path).Header.Get("ETag"); tag == "" || read != tag {
				t.Fatalf("created with the tag %q, read with %q", tag, read)
			}
			second := b.ask(keyAcme, "PATCH", path, `{"name": "Second"}`, "If-Match: "+tag).wants(t, 200, "")
			tag2 := second.Header.Get("ETag")
			if read := b.get(path).Header.Get("ETag"); tag2 == tag || read != tag2 {
				t.Fatalf("changed to the tag %q, read with %q", tag2, read)
			}
			writes := b.writes(vendor)
			b.ask(keyAcme, "PATCH", path, `{"name": "Third"}`, "If-Match: "+tag).wants(t, 412, "etag_mismatch")
			if now := b.ask(keyAcme, "PATCH", path, `{"name": "Third"}`, "If-Match: "+tag).Header.Get("ETag"); now != tag2 {
				t.Errorf("the 412 has the ETag %q, want the current one, %q", now, tag2)
			}
			if b.writes(vendor) != writes {
				t.Error("a write was sent in spite of another ETag")
			}
			if r := b.ask(keyAcme, "PATCH", path, `{"name": "Second"}`, "Idempotency-Key: a").wants(t, 200, ""); r.at("warnings.0.code") != "idempotency_key_ignored" {
				t.Errorf("%s", r.text)
			}
			writes = b.writes(vendor)
			b.ask(keyAcme, "PATCH", path, `{"name": "Third"}`, "If-Match: W/"+tag2).wants(t, 412, "etag_mismatch")
			b.ask(keyAcme, "PATCH", path, `{"name": "Third"}`, "If-Match: nonsense").wants(t, 400, "invalid_parameter")
			b.ask(keyAcme, "DELETE", path, "", "If-Match: "+tag).wants(t, 412, "etag_mismatch")
			if b.writes(vendor) != writes {
				t.Error("a write was sent in spite of another ETag")
			}
			// If-None-Match applies to reads only.
			b.ask(keyAcme, "PATCH", path, `{"name": "Second"}`, "If-None-Match: *").wants(t, 200, "")
			b.ask(keyAcme, "PATCH", path, `{"name": "Third"}`, "If-Match: "+tag+", "+tag2).wants(t, 200, "")
			b.ask(keyAcme, "DELETE", path, "", "If-Match: *").wants(t, 204, "")
			b.ask(keyAcme, "DELETE", path, "", "If-Match: *").wants(t, 404, "agent_not_found")
		})
	}
}

func TestIfMatch_BypassesTheCache(t *testing.T) {
	b := newBench(t, "cache: {ttl: 1h}")
	tag := b.get("/v1/agents/krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890").wants(t, 200, "").Header.Get("ETag")
	control := b.vendors["krosai"].Control()
	control.Fail(sandbox.Fault{Method: "GET", Change: func(body []byte) []byte {
		return []byte(strings.ReplaceAll(string(body), `"language":"en"`, `"language":"fr"`))
	}})
	b.ask(keyAcme, "PATCH", "/v1/agents/krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890", `{"name": "x"}`, "If-Match: "+tag).wants(t, 412, "etag_mismatch")
	control.Heal()
	control.Fail(sandbox.Fault{Method: "GET", Status: 500})
	b.ask(keyAcme, "PATCH", "/v1/agents/krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890", `{"name": "x"}`, "If-Match: "+tag).wants(t, 502, "upstream_error")
	if b.writes("krosai") != 0 {
		t.Error("it was written")
	}
}

// TestIfMatch_PartiallyReadAgent: the tag of an agent that could only be read in part differs,
// which is an upstream failure and not a mismatch.
func TestIfMatch_PartiallyReadAgent(t *testing.T) {
	b := newBench(t, "cache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}")
	id := b.get("/v1/agents?backend=agenthuman").wants(t, 200, "").ids()[0]
	tag := b.get("/v1/agents/"+id).wants(t, 200, "").Header.Get("ETag")
	control := b.vendors["agenthuman"].Control()
	control.Fail(sandbox.Fault{Method: "GET", Path: b.vendors["agenthuman"].Prefix() + "/agents", Status: 500})
	b.ask(keyAcme, "PATCH", "/v1/agents/"+id, `{"name": "x"}`, "If-Match: "+tag).wants(t, 503, "upstream_unavailable")
	if b.writes("agenthuman") != 0 {
		t.Error("it was written")
	}
}

func (b *bench) writes(vendor string) (n int) {
	for _, r := range b.vendors[vendor].Control().Requests() {
		if r.Method != "GET" {
			n++
		}
	}
	return n
}

func TestDryRun_ReturnsTheRequestsAndSendsNone(t *testing.T) {
	b := newBench(t, "")
	for _, c := range []struct {
		name, method, path, body string
		backend, requests        string
		warnings                 string // codes and paths
	}{
		{
			"create", "POST", "/v1/agents", `{"backend": "krosai", "name": "n", "language": "fr"}`,
			"krosai", `[{"method":"POST","path":"/agents","body":{"name":"n","language":"fr"}}]`, ``,
		},
		{
			"chosen backend, second request activates", "POST", "/v1/agents", `{"backend": "auto", "name": "nn", "architecture": "text", "system_prompt": "p", "model": {"id": "m"}, "status": "active"}`,
			"talkifai", `[{"method":"POST","path":"/agents","body":{"name":"nn","agentArchitecture":"text","systemPrompt":"p","model":"m"}},{"method":"PATCH","path":"/agents/{id}","body":{"active":true}}]`, `backend_chosen /backend`,
		},
		{
			"patch", "PATCH", "/v1/agents/krosai:a.b", `{"name": "n"}`,
			"krosai", `[{"method":"PUT","path":"/agents/a.b","body":{"name":"n"}}]`, `existence_unknown <nil>`,
		},
		{
			"patch that needs the agent", "PATCH", "/v1/agents/krosai:x", `{"id": "krosai:x", "name": "n", "owner": {"user_id": "u"}, "language": null}`,
			"krosai", `[{"method":"PUT","path":"/agents/x","body":{"name":"n"}}]`, `unverified /language unverified /owner/user_id existence_unknown <nil>`,
		},
		{
			"patch with only undecided values", "PATCH", "/v1/agents/krosai:x", `{"language": null}`,
			"krosai", `[]`, `unverified /language existence_unknown <nil>`,
		},
		{
			"delete", "DELETE", "/v1/agents/talkifai:agent_1", ``,
			"talkifai", `[{"method":"DELETE","path":"/agents/agent_1","body":null}]`, `existence_unknown <nil>`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := b.ask(keyAcme, c.method, c.path+"?dry_run=true", c.body).wants(t, 200, "")
			var warnings []string
			for _, w := range r.body["warnings"].([]any) {
				warnings = append(warnings, fmt.Sprint(w.(map[string]any)["code"], " ", w.(map[string]any)["path"]))
			}
			got, err := json.Marshal(r.body["requests"])
			if err != nil {
				t.Fatal(err)
			}
			prefix := b.vendors[c.backend].Prefix()
			want := strings.ReplaceAll(c.requests, `"path":"`, `"path":"`+prefix)
			if r.body["object"] != "dry_run" || r.body["backend"] != c.backend || !sameJSON(t, string(got), want) || strings.Join(warnings, " ") != c.warnings {
				t.Errorf("%s", r.text)
			}
			if strings.Contains(r.text, "canary-acme") {
				t.Errorf("a credential: %s", r.text)
			}
		})
	}
	b.ask(keyAcme, "POST", "/v1/agents?dry_run=true", `{"backend": "krosai", "greeting": "g"}`).wants(t, 422, "validation_failed")
	lenient := b.ask(keyAcme, "POST", "/v1/agents?dry_run=true", `{"backend": "krosai", "name": "n", "greeting": "g"}`, "Prefer: handling=lenient").wants(t, 200, "")
	if lenient.at("warnings.0.code") != "unsupported" || lenient.Header.Get("Preference-Applied") != "handling=lenient" {
		t.Errorf("%s", lenient.text)
	}
	b.ask(keyAcme, "PATCH", "/v1/agents/klen:123?dry_run=true", `{"name": "n"}`).wants(t, 501, "operation_unsupported")
	b.ask(keyAcme, "DELETE", "/v1/agents/klen:123?dry_run=true", "").wants(t, 501, "operation_unsupported")
	b.ask(keyAcme, "DELETE", "/v1/agents/agenthuman:none?dry_run=true", "").wants(t, 404, "agent_not_found")
	b.ask(keyAcme, "DELETE", "/v1/agents/krosai:x?dry_run=perhaps", "").wants(t, 400, "invalid_parameter")
	if r := b.ask(keyAcme, "DELETE", "/v1/agents/krosai:x?dry_run=true", "", `If-Match: "x"`).wants(t, 200, ""); r.at("warnings.0.code") != "existence_unknown" || r.at("warnings.1.code") != "unverified" {
		t.Errorf("%s", r.text)
	}
	for vendor := range b.vendors {
		if b.requests(vendor) != 0 {
			t.Errorf("%s was called", vendor)
		}
	}
	// A cached agent is used for the checks.
	id := b.get("/v1/agents?backend=krosai&view=full").wants(t, 200, "").ids()[0]
	b.get("/v1/agents/"+id).wants(t, 200, "")
	requests := b.requests("krosai")
	b.ask(keyAcme, "PATCH", "/v1/agents/"+id+"?dry_run=true", `{"language": null}`).wants(t, 422, "validation_failed")
	if b.requests("krosai") != requests {
		t.Error("krosai was called")
	}

	// What the cached list shows is known.
	b.get("/v1/agents").wants(t, 200, "")
	if r := b.ask(keyAcme, "DELETE", "/v1/agents/talkifai:agent_abc123?dry_run=true", "").wants(t, 200, ""); len(r.body["warnings"].([]any)) != 0 {
		t.Errorf("%s", r.text)
	}
	b.ask(keyAcme, "DELETE", "/v1/agents/talkifai:agent_none?dry_run=true", "").wants(t, 404, "agent_not_found")
	b.ask(keyAcme, "PATCH", "/v1/agents/krosai:none?dry_run=true", `{"name": "n"}`).wants(t, 404, "agent_not_found")
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(x) == fmt.Sprint(y)
}
