package gateway

import (
	"fmt"
	"strings"
	"testing"
)

const (
	talkAgent = "talkifai:agent_abc123"
	krosAgent = "krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890"
)

func (b *bench) put(name, target string, version int) reply {
	b.t.Helper()
	return b.ask(keyAcme, "PUT", "/v1/aliases/"+name, fmt.Sprintf(`{"target": %q, "version": %d}`, target, version))
}

func TestAlias_ResolvesToItsTarget(t *testing.T) {
	b := newBench(t, "")
	created := b.put("support-bot", talkAgent, 0).wants(t, 201, "")
	if created.Header.Get("Location") != "/v1/aliases/support-bot" || created.body["version"] != 1.0 {
		t.Errorf("%v: %s", created.Header, created.text)
	}
	direct := b.get("/v1/agents/" + talkAgent)
	for range 3 { // the second is served from the response cache
		r := b.get("/v1/agents/support-bot").wants(t, 200, "")
		if r.body["id"] != talkAgent || r.body["resolved_from"] != "support-bot" || r.Header.Get("Content-Location") != "/v1/agents/"+talkAgent || r.Header.Get("ETag") != direct.Header.Get("ETag") {
			t.Errorf("%v: %s", r.Header, r.text)
		}
		b.get("/v1/agents/support-bot", "Cache-Control: no-cache").wants(t, 200, "") // resolved without the response cache
	}
	b.get("/v1/agents/support-bot?resolve=none").wants(t, 404, "agent_not_found")
	b.get("/v1/agents/support-bot?resolve=all").wants(t, 400, "invalid_parameter")
	// Changing the target requires the current version.
	b.put("support-bot", krosAgent, 0).wants(t, 409, "alias_conflict")
	b.put("support-bot", krosAgent, 7).wants(t, 409, "alias_conflict")
	b.put("support-bot", krosAgent, 1).wants(t, 200, "")
	for _, headers := range [][]string{nil, {"Cache-Control: no-cache"}} {
		if r := b.get("/v1/agents/support-bot", headers...).wants(t, 200, ""); r.body["id"] != krosAgent {
			t.Errorf("%s: it still points to %v", headers, r.body["id"])
		}
	}
	patched := b.ask(keyAcme, "PATCH", "/v1/agents/support-bot", `{"name": "By its alias"}`).wants(t, 200, "")
	if patched.body["resolved_from"] != "support-bot" || b.get("/v1/agents/" + krosAgent).body["name"] != "By its alias" {
		t.Errorf("%s", patched.text)
	}
	b.ask(keyAcme, "DELETE", "/v1/agents/support-bot", "").wants(t, 409, "alias_in_the_way")
	b.get("/v1/aliases/support-bot").wants(t, 200, "")
	if list := b.get("/v1/aliases").wants(t, 200, ""); len(list.body["data"].([]any)) != 1 {
		t.Errorf("%s", list.text)
	}
	b.ask(keyAcme, "DELETE", "/v1/aliases/support-bot?version=1", "").wants(t, 409, "alias_conflict")
	b.ask(keyAcme, "DELETE", "/v1/aliases/support-bot", "", `If-Match: "v1"`).wants(t, 412, "etag_mismatch")
	b.ask(keyAcme, "PUT", "/v1/aliases/support-bot", `{"target": "`+krosAgent+`", "version": 2}`, `If-Match: "v1"`).wants(t, 412, "etag_mismatch")
	if tag := b.get("/v1/aliases/support-bot").Header.Get("ETag"); tag != `"v2"` {
		t.Errorf("ETag %s", tag)
	}
	b.ask(keyAcme, "DELETE", "/v1/aliases/support-bot?version=2", "").wants(t, 204, "")
	b.get("/v1/aliases/support-bot").wants(t, 404, "alias_not_found")
	b.get("/v1/agents/support-bot").wants(t, 404, "agent_not_found")
	b.ask(keyAcme, "DELETE", "/v1/aliases/support-bot", "").wants(t, 404, "alias_not_found")
}

func TestAlias_AgentIDAsName(t *testing.T) {
	b := newBench(t, "")
	b.put("klen:123", talkAgent, 0).wants(t, 201, "")
	for _, path := range []string{"/v1/agents/klen:123", "/v1/agents/klen%3A123"} {
		if r := b.get(path).wants(t, 200, ""); r.body["id"] != talkAgent || r.body["resolved_from"] != "klen:123" {
			t.Errorf("%s", r.text)
		}
	}
	if r := b.get("/v1/agents/klen:123?resolve=none").wants(t, 200, ""); r.body["id"] != "klen:123" || r.body["resolved_from"] != nil {
		t.Errorf("%s", r.text)
	}
	all, collapsed := b.get("/v1/agents?backend=klen"), b.get("/v1/agents?backend=klen&collapse_migrated=true")
	if strings.Contains(collapsed.text, `"id":"klen:123"`) || !strings.Contains(all.text, `"id":"klen:123"`) {
		t.Errorf("collapsed: %s", collapsed.text)
	}
	count := func(r reply) float64 { return r.body["sources"].([]any)[0].(map[string]any)["count"].(float64) }
	if count(collapsed) != count(all)-1 || collapsed.body["complete"] != true {
		t.Errorf("%v of %v are left", count(collapsed), count(all))
	}
	cursor := b.get("/v1/agents?backend=klen&limit=1").body["next_cursor"].(string)
	b.get("/v1/agents?backend=klen&limit=1&collapse_migrated=true&cursor="+cursor).wants(t, 400, "cursor_mismatch")
	b.get("/v1/agents?collapse_migrated=perhaps").wants(t, 400, "invalid_parameter")
	b.ask(keyAcme, "DELETE", "/v1/agents/klen:123?resolve=none", "").wants(t, 501, "operation_unsupported")
	// A key that cannot see the target cannot see that there is an alias.
	b.ask(keyKlen, "GET", "/v1/agents/klen:123", "").wants(t, 404, "agent_not_found")
	b.ask(keyKlen, "GET", "/v1/aliases/klen:123", "").wants(t, 404, "alias_not_found")
	if list := b.ask(keyKlen, "GET", "/v1/aliases", ""); len(list.body["data"].([]any)) != 0 {
		t.Errorf("%s", list.text)
	}
	b.ask(keyRead, "PUT", "/v1/aliases/mine", `{"target": "klen:123"}`).wants(t, 403, "scope_missing")
	if r := b.ask(keyRead, "GET", "/v1/agents/klen:123", "").wants(t, 200, ""); r.body["id"] != talkAgent {
		t.Errorf("%s", r.text)
	}
}

func TestAlias_ChainsAreFlattenedAndCyclesRefused(t *testing.T) {
	b := newBench(t, "")
	b.put("one", "klen:123", 0).wants(t, 201, "")
	b.put("klen:123", krosAgent, 0).wants(t, 201, "") // aliases of klen:123 point to its target now
	b.put("two", "one", 0).wants(t, 201, "")          // an alias of an alias points to its target
	for _, name := range []string{"one", "two", "klen:123"} {
		if r := b.get("/v1/aliases/"+name).wants(t, 200, ""); r.body["target"] != krosAgent {
			t.Errorf("%s", r.text)
		}
	}
	b.put(krosAgent, "one", 0).wants(t, 409, "alias_conflict")
	b.put("one", "one", 2).wants(t, 409, "alias_conflict")
	b.put(krosAgent, "klen:123", 0).wants(t, 409, "alias_conflict")
}

func TestPutAlias_InvalidRequests(t *testing.T) {
	b := newBench(t, "")
	for _, c := range []struct {
		name, body string
		status     int
		code       string
	}{
		{"Support", `{"target": "klen:123"}`, 422, "validation_failed"},
		{"a_b", `{"target": "klen:123"}`, 422, "validation_failed"},
		{"bot", `{"target": "no id at all"}`, 422, "validation_failed"},
		{"bot", `{"target": "klen:99999"}`, 404, "agent_not_found"},
		{"bot", `{"target": "other:1"}`, 404, "agent_not_found"},
		{"other:1", `{"target": "klen:123"}`, 404, "agent_not_found"},
		{"bot", `{"target": "klen:123", "verison": 1}`, 422, "validation_failed"},
		{"bot", `{"target": 5}`, 422, "validation_failed"},
		{"bot", `{"target": "klen:123"`, 400, "invalid_body"},
		{"bot", `[]`, 400, "invalid_body"},
	} {
		b.ask(keyAcme, "PUT", "/v1/aliases/"+c.name, c.body).wants(t, c.status, c.code)
	}
}

// TestStoreUnavailable_ReadsKeepWorking: operations that need the store return
// store_unavailable; all others keep working.
func TestStoreUnavailable_ReadsKeepWorking(t *testing.T) {
	b := newBench(t, "")
	b.put("support-bot", talkAgent, 0).wants(t, 201, "")
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	b.get("/v1/agents").wants(t, 200, "")
	b.get("/v1/agents/klen:123").wants(t, 200, "")
	if r := b.get("/v1/agents/support-bot").wants(t, 200, ""); r.body["id"] != talkAgent {
		t.Errorf("%s", r.text)
	}
	b.ask(keyAcme, "PATCH", "/v1/agents/support-bot", `{"name": "Still here"}`).wants(t, 200, "")
	b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "krosai", "name": "Free"}`).wants(t, 201, "")
	b.createOnce("key", `{"backend": "krosai", "name": "Kept"}`).wants(t, 503, "store_unavailable")
	b.put("other", talkAgent, 0).wants(t, 503, "store_unavailable")
	b.ask(keyAcme, "POST", "/v1/migrations", `{"source": "klen:123", "target_backend": "krosai"}`).wants(t, 503, "store_unavailable")
	b.get("/v1/migrations").wants(t, 503, "store_unavailable")
	if b.posts("krosai") != 1 {
		t.Errorf("%d creates arrived", b.posts("krosai"))
	}
}

// TestAlias_VisibleToItsAccountOnly: a key that maps to the target's backend with another
// credential does not see the alias, and its own agents keep their ids. Rotating the
// credential of the key that created the alias changes nothing.
func TestAlias_VisibleToItsAccountOnly(t *testing.T) {
	b := newBench(t, "")
	other := []string{"credentials:\n      klen: env:KLEN-ONLY_KLEN", "credentials:\n      klen: env:KLEN-ONLY_KLEN\n      krosai: env:KLEN-ONLY_KLEN\n      talkifai: env:KLEN-ONLY_KLEN"}
	b.reload(other...)
	b.put("support-bot", talkAgent, 0).wants(t, 201, "")
	b.put("klen:123", talkAgent, 0).wants(t, 201, "")
	b.ask(keyKlen, "GET", "/v1/agents/support-bot", "").wants(t, 404, "agent_not_found")
	b.ask(keyKlen, "GET", "/v1/aliases/support-bot", "").wants(t, 404, "alias_not_found")
	b.vendors["klen"].SeedDemo("canary-klen-only-klen")
	if r := b.ask(keyKlen, "GET", "/v1/agents/klen:123", "", "Cache-Control: no-cache").wants(t, 200, ""); r.body["id"] != "klen:123" {
		t.Errorf("another account's agent was resolved to the alias: %s", r.text)
	}
	if list := b.ask(keyKlen, "GET", "/v1/aliases", "").wants(t, 200, ""); len(list.body["data"].([]any)) != 0 {
		t.Errorf("%s", list.text)
	}
	// A rotated credential belongs to the same account.
	b.env["ACME_TALKIFAI"] = "canary-rotated"
	b.vendors["talkifai"].SeedDemo("canary-rotated")
	b.reload(other...)
	b.ask(keyRead, "GET", "/v1/agents/support-bot", "").wants(t, 404, "agent_not_found") // a slug is its key's
	for key, name := range map[string]string{keyAcme: "support-bot", keyRead: "klen:123"} {
		if r := b.ask(key, "GET", "/v1/agents/"+name, "").wants(t, 200, ""); r.body["id"] != talkAgent {
			t.Errorf("%s", r.text)
		}
	}
}

// TestAlias_Group: keys of one group share their slugs; other keys may use the same names.
func TestAlias_Group(t *testing.T) {
	b := newBench(t, "")
	b.reload("  - id: "+keyAcme+"\n", "  - id: "+keyAcme+"\n    alias_group: team\n", "  - id: "+keyRead+"\n", "  - id: "+keyRead+"\n    alias_group: team\n", "scopes: [agents:read, agents:write]", "scopes: [agents:read, aliases:write]")
	b.put("support-bot", talkAgent, 0).wants(t, 201, "")
	b.ask(keyKlen, "PUT", "/v1/aliases/support-bot", `{"target": "klen:123"}`).wants(t, 404, "agent_not_found")
	b.vendors["klen"].SeedDemo("canary-klen-only-klen")
	b.gateway.Purge("", "")
	b.ask(keyKlen, "PUT", "/v1/aliases/support-bot", `{"target": "klen:123"}`).wants(t, 201, "")
	for key, want := range map[string]string{keyAcme: talkAgent, keyRead: talkAgent, keyKlen: "klen:123"} {
		if r := b.ask(key, "GET", "/v1/agents/support-bot", "").wants(t, 200, ""); r.body["id"] != want {
			t.Errorf("%s: %s", key, r.text)
		}
	}
}

// TestAlias_OfAKeyThatIsGone: an alias of an account that no key has any more is nobody's, and
// comes back with the key.
func TestAlias_OfAKeyThatIsGone(t *testing.T) {
	b := newBench(t, "")
	b.vendors["klen"].SeedDemo("canary-klen-only-klen")
	b.put("klen:123", talkAgent, 0).wants(t, 201, "")
	before := b.file
	end := strings.Index(b.file, "  - id: "+keyKlen)
	b.file = b.file[:strings.Index(b.file, "  - id: "+keyAcme)] + b.file[end:strings.Index(b.file, "  - id: "+keyRead)]
	b.reload()
	if r := b.ask(keyKlen, "GET", "/v1/agents/klen:123", "").wants(t, 200, ""); r.body["id"] != "klen:123" {
		t.Errorf("%s", r.text)
	}
	b.ask(keyKlen, "GET", "/v1/aliases/klen:123", "").wants(t, 404, "alias_not_found")
	b.file = before
	b.reload()
	if r := b.get("/v1/agents/klen:123").wants(t, 200, ""); r.body["id"] != talkAgent {
		t.Errorf("%s", r.text)
	}
}

// TestAlias_CredentialsThatPart: a key that gets another credential takes no alias from the keys
// that keep the old one, also if the configuration is read without those for a moment.
func TestAlias_CredentialsThatPart(t *testing.T) {
	b := newBench(t, "")
	b.put(krosAgent, talkAgent, 0).wants(t, 201, "")
	want := func(key, id string) {
		t.Helper()
		if r := b.ask(key, "GET", "/v1/agents/"+krosAgent, "", "Cache-Control: no-cache").wants(t, 200, ""); r.body["id"] != id {
			t.Errorf("%s gets %v, want %s", key, r.body["id"], id)
		}
	}
	// acme gets a credential of its own; the reader keeps the old one.
	b.env["OWN_KROSAI"] = "canary-own-krosai"
	b.vendors["krosai"].SeedDemo("canary-own-krosai")
	b.file = strings.Replace(b.file, "krosai: env:ACME_KROSAI", "krosai: env:OWN_KROSAI", 1)
	whole := b.file
	b.reload()
	want(keyAcme, krosAgent)
	want(keyRead, talkAgent)
	b.file = b.file[:strings.Index(b.file, "  - id: "+keyRead)] // the end is not written yet
	b.reload()
	want(keyAcme, krosAgent)
	b.file = whole
	b.reload()
	want(keyAcme, krosAgent)
	want(keyRead, talkAgent)
	// Both get another one: nobody's, since nobody can say whose.
	b.env["READ_KROSAI"] = "canary-read-krosai"
	b.vendors["krosai"].SeedDemo("canary-read-krosai")
	b.file = strings.Replace(b.file, "krosai: env:ACME_KROSAI", "krosai: env:READ_KROSAI", 1)
	b.reload()
	want(keyAcme, krosAgent)
	want(keyRead, talkAgent) // the reader was the only one that had it
}
