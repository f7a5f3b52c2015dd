package gateway

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/sandbox"
)

func TestGet_ReturnsFullView(t *testing.T) {
	b := newBench(t, "")
	f := func(id, canonical, name string, unavailable ...string) {
		t.Helper()
		r := b.get("/v1/agents/"+id).wants(t, 200, "")
		if r.body["id"] != canonical || r.body["name"] != name || r.body["view"] != "full" {
			t.Errorf("%s: %s", id, r.text)
		}
		if got := r.body["not_loaded"].([]any); len(got) != 0 {
			t.Errorf("%s: not loaded %v", id, got)
		}
		for _, u := range unavailable {
			if !strings.Contains(r.text, `"`+u+`"`) {
				t.Errorf("%s: %s is not unavailable", id, u)
			}
		}
		if r.Header.Get("Age") == "" || r.Header.Get("Cache-Status") == "" || r.Header.Get("Server-Timing") == "" {
			t.Errorf("headers %v", r.Header)
		}
	}
	f("klen:123", "klen:123", "Customer Support", "system_prompt")
	f("klen%3A123", "klen:123", "Customer Support")
	f("klen:assistant_abc123", "klen:123", "Customer Support")
	f("agenthuman:131", "agenthuman:131", "Clinic Front Desk")
	f("krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890", "krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890", "Product Expert")
	f("talkifai:agent_abc123", "talkifai:agent_abc123", "Customer Support", "owner", "usage")
}

// TestGet_ContractExample: the agent is that of section 4 of the contract.
func TestGet_ContractExample(t *testing.T) {
	b := newBench(t, "")
	r := b.get("/v1/agents/talkifai:agent_abc123").wants(t, 200, "")
	for path, want := range map[string]any{
		"object": "agent", "backend": "talkifai", "provider": "talkifai", "native_id": "agent_abc123", "description": nil,
		"status": "active", "modality": "voice", "architecture": "pipeline", "direction": nil, "visibility": "public", "language": "en",
		"system_prompt": "You are a helpful customer support agent...", "model.id": "gpt-4o", "model.temperature": 0.7, "voice.id": "voice_xyz",
		"stt.provider": "deepgram", "tts.provider": "cartesia", "realtime.provider": nil, "avatar": nil, "phone.number": nil,
		"tools.builtin.0": "web_search", "tools.custom.0": "check_order_status", "created_at": "2024-01-10T09:00:00Z", "updated_at": "2024-01-14T15:20:00Z",
	} {
		if got := r.at(path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	unavailable := map[any]bool{}
	for _, u := range r.body["unavailable"].([]any) {
		unavailable[u] = true
	}
	want := map[any]bool{"description": true, "greeting": true, "direction": true, "phone": true, "knowledge_base_ids": true, "owner": true, "usage": true, "avatar": true}
	if !reflect.DeepEqual(unavailable, want) {
		t.Errorf("unavailable %v", unavailable)
	}
}

func TestGet_AgentHumanAddsFieldsOfItsList(t *testing.T) {
	b := newBench(t, "timeout: 3s")
	r := b.get("/v1/agents/agenthuman:131").wants(t, 200, "")
	for path, want := range map[string]any{
		"avatar.id": "3", "avatar.name": "Clinic Receptionist", "avatar.url": "https://example.com/avatar3.jpg", "avatar.voice_id": "EXAVITQu4vr4xnSDxMaL",
		"voice.id": "4", "owner.user_id": "7", "extensions.role_id": 2.0, "extensions.memories.holidays.0": "2024-12-25", "modality": "avatar",
	} {
		if got := r.at(path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	b.gateway.Purge("", "")
	control := b.vendors["agenthuman"].Control()
	control.Fail(sandbox.Fault{Path: "/v1/agents", Hang: true, Times: 1})
	started := time.Now()
	b.get("/v1/agents/agenthuman:999").wants(t, 404, "agent_not_found")
	if took := time.Since(started); took > 2500*time.Millisecond { // the backend's timeout is 3 s
		t.Errorf("a 404 took %s, waiting for the list", took)
	}
	control.Fail(sandbox.Fault{Path: "/v1/agents", Status: 500})
	r = b.get("/v1/agents/agenthuman:131").wants(t, 200, "")
	if got := r.body["not_loaded"]; !reflect.DeepEqual(got, []any{"avatar.name", "avatar.url", "avatar.voice_id"}) {
		t.Errorf("not_loaded without its list row: %v", got)
	}
}

// TestExtensions_KeepTheProvidersBytes: numbers and escapes are not normalized.
func TestExtensions_KeepTheProvidersBytes(t *testing.T) {
	b := newBench(t, "")
	const member = `"x":"\u003ca\/b\u00e9 345.50","n":[1.0,9007199254740993,{"A":-0}]`
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Change: func(body []byte) []byte {
		return []byte(strings.ReplaceAll(string(body), `"name":`, member+`,"name":`))
	}})
	for _, path := range []string{"/v1/agents?backend=krosai", krosaiAgent, krosaiAgent + "?include=raw"} {
		if r := b.get(path).wants(t, 200, ""); !strings.Contains(r.text, `"extensions":{`+member+`}`) {
			t.Errorf("%s: %s", path, r.text)
		}
	}
}

// TestWrongBaseURL_IsNotAgentNotFound: a 404 of the collection means that base_url is
// wrong, not that there are no agents.
func TestWrongBaseURL_IsNotAgentNotFound(t *testing.T) {
	b := newBench(t, "")
	b.vendors["klen"].Control().Fail(sandbox.Fault{Status: 404})
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Method: "POST", Status: 404})
	for _, r := range []reply{b.get("/v1/agents?backend=klen"), b.get("/v1/agents/klen:123"), b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "krosai", "name": "n"}`)} {
		if r.wants(t, 502, "upstream_error"); !strings.Contains(r.text, "base_url") {
			t.Errorf("%s", r.text)
		}
	}
}

func TestGet_NotFound(t *testing.T) {
	b := newBench(t, "")
	f := func(key, id, want string) {
		t.Helper()
		if r := b.ask(key, "GET", "/v1/agents/"+id, "").wants(t, 404, "agent_not_found"); r.body["detail"] != want {
			t.Errorf("%s: got %s, want %s", id, r.body["detail"], want)
		}
	}
	f(keyAcme, "klen:999", `backend klen has no agent "999"`)
	f(keyAcme, "talkifai:agent_nobody", `backend talkifai has no agent "agent_nobody"`)
	f(keyAcme, "agenthuman:999", `backend agenthuman has no agent "999"`)
	f(keyAcme, "agenthuman:x", `backend agenthuman has no agent "x"`)
	f(keyAcme, "krosai:nobody", `backend krosai has no agent "nobody"`)
	f(keyAcme, "krosai:..", `backend krosai has no agent ".."`)
	mapped := "the key maps to klen, agenthuman, krosai, talkifai"
	f(keyAcme, "nobody:1", `no agent "nobody:1": no backend "nobody": `+mapped)
	f(keyAcme, "KLEN:123", `no agent "KLEN:123": no backend "KLEN": `+mapped+"; did you mean klen?")
	form := "; the id of an agent is backend:id, as in klen:123, and an alias has lowercase letters, digits and -"
	f(keyAcme, "123", `no agent or alias "123"`+form)
	f(keyAcme, "Support-Bot", `no agent or alias "Support-Bot"`+form)
	f(keyAcme, strings.Repeat("a", 4000), `no agent or alias "`+strings.Repeat("a", 128)+`…"`+form)
	key := ": after the colon, an id has 1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-', or ~ and base64url"
	f(keyAcme, "klen:1%2F2", `no agent "klen:1/2"`+key)
	f(keyAcme, "krosai:~Li4", `no agent "krosai:~Li4"`+key)
	// Of a backend of others and of one that nobody has, the text is the same, as of an agent of
	// another account and of one that nobody has.
	f(keyKlen, "krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890", `no agent "krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890": no backend "krosai": the key maps to klen`)
	f(keyKlen, "klen:123", `backend klen has no agent "123"`)
	b.get("/v1/nothing").wants(t, 404, "not_found")
	b.get("/v1/agents/").wants(t, 404, "not_found")
	b.get("/v1/agents/klen:123/more").wants(t, 404, "not_found")
	b.get("/v1/backends/nobody").wants(t, 404, "backend_not_found")
}

func TestBackends_ReportStateAndCapabilities(t *testing.T) {
	b := newBench(t, "quota: {requests: 60, per: 1m}")
	if got := len(b.ask(keyKlen, "GET", "/v1/backends", "").wants(t, 200, "").body["data"].([]any)); got != 1 {
		t.Errorf("a key for klen sees %d backends", got)
	}
	r := b.get("/v1/backends/klen").wants(t, 200, "")
	if r.at("last_success_at") != nil || r.at("last_error") != nil || r.at("quota.remaining") != 60.0 {
		t.Errorf("before any call: %s", r.text)
	}
	b.get("/v1/agents").wants(t, 200, "")
	r = b.get("/v1/backends/klen").wants(t, 200, "")
	for path, want := range map[string]any{
		"object": "backend", "backend": "klen", "provider": "klen", "breaker.state": "closed", "breaker.retry_after_s": nil,
		"quota.requests": 60.0, "quota.per_s": 60.0, "quota.remaining": 59.0, "quota.retry_after_s": nil,
		"operations.list.support": "native", "operations.get.support": "emulated", "operations.create.support": "none",
		"fields.name.list": true, "fields.name.create": false, "fields.system_prompt.get": false,
	} {
		var got any
		if name, ok := strings.CutPrefix(path, "fields."); ok {
			i := strings.LastIndexByte(name, '.')
			got = r.body["fields"].(map[string]any)[name[:i]].(map[string]any)[name[i+1:]]
		} else {
			got = r.at(path)
		}
		if got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	if r.at("last_success_at") == nil {
		t.Error("no last success after one")
	}
	fields := b.get("/v1/backends/talkifai").body["fields"].(map[string]any)
	if got := fields["stt.provider"].(map[string]any)["required_for"]; !reflect.DeepEqual(got, []any{"pipeline"}) {
		t.Errorf("stt.provider is required for %v", got)
	}
	if got := fields["name"].(map[string]any)["required_for"]; !reflect.DeepEqual(got, []any{"*"}) {
		t.Errorf("name is required for %v", got)
	}
	b.vendors["klen"].Control().Fail(sandbox.Fault{Status: 500})
	b.get("/v1/agents?backend=klen", "Cache-Control: no-cache")
	if got := b.get("/v1/backends/klen").at("last_error.code"); got != "upstream_error" {
		t.Errorf("last error %v", got)
	}
}
