package gateway

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/sandbox"
)

const krosaiAgent = "/v1/agents/krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890"

func TestCreate_AppearsInReads(t *testing.T) {
	b := newBench(t, "")
	f := func(body string, want map[string]any) {
		t.Helper()
		r := b.ask(keyAcme, "POST", "/v1/agents", body).wants(t, 201, "")
		for path, v := range want {
			if got := r.at(path); got != v {
				t.Errorf("%s: %s is %v, want %v", body, path, got, v)
			}
		}
		if r.body["view"] != "full" || fmt.Sprint(r.body["warnings"]) != "[]" {
			t.Errorf("%s: view %v, warnings %v", body, r.body["view"], r.body["warnings"])
		}
		id := r.body["id"].(string)
		if got := r.Header.Get("Location"); got != "/v1/agents/"+id {
			t.Errorf("Location %q", got)
		}
		b.get("/v1/agents/"+id).wants(t, 200, "")
		if ids := b.get("/v1/agents?backend=" + r.body["backend"].(string)).ids(); !strings.Contains(strings.Join(ids, " "), id) {
			t.Errorf("the list has no %s: %v", id, ids)
		}
		b.ask(keyAcme, "DELETE", "/v1/agents/"+id, "").wants(t, 204, "")
		b.get("/v1/agents/"+id).wants(t, 404, "agent_not_found")
		b.ask(keyAcme, "DELETE", "/v1/agents/"+id, "").wants(t, 404, "agent_not_found")
	}
	f(`{"backend": "krosai", "name": "New", "knowledge_base_ids": ["kb"], "model": {"id": "m"}}`, map[string]any{"name": "New", "model.id": "m", "language": "en"})
	f(`{"backend": "agenthuman", "name": "New", "avatar": {"id": "1"}, "extensions": {"properties": {"a": 1}}}`, map[string]any{"avatar.id": "1", "avatar.name": "Professional Avatar", "extensions.properties.a": 1.0, "status": "active"})
	f(`{"backend": "talkifai", "name": "New", "architecture": "text", "model": {"id": "m"}, "system_prompt": "p"}`, map[string]any{"status": "inactive", "modality": "text"})
	f(`{"backend": "talkifai", "name": "New", "architecture": "realtime", "realtime": {"provider": "openai"}, "system_prompt": "p", "status": "active"}`, map[string]any{"status": "active", "modality": "voice"})
	f(`{"backend": "talkifai", "name": "New", "architecture": "pipeline", "model": {"id": "m"}, "stt": {"provider": "s"}, "tts": {"provider": "t"}, "system_prompt": "p", "greeting": null}`, map[string]any{"stt.provider": "s"})
}

func TestCreate_ChoosesABackend(t *testing.T) {
	b := newBench(t, "")
	f := func(body, backend string, headers ...string) {
		t.Helper()
		r := b.ask(keyAcme, "POST", "/v1/agents", body, headers...).wants(t, 201, "")
		if r.body["backend"] != backend || r.at("warnings.0.code") != "backend_chosen" || r.at("warnings.0.backend") != backend {
			t.Errorf("%s: want %s, got %s", body, backend, r.text)
		}
	}
	f(`{"backend": "auto", "name": "n"}`, "agenthuman")
	f(`{"backend": "auto", "name": "n", "description": "d"}`, "krosai")
	f(`{"backend": "auto", "name": "n", "provider": "krosai"}`, "krosai")
	f(`{"backend": "auto", "name": "n", "modality": "voice"}`, "krosai")
	f(`{"backend": "auto", "name": "nn", "modality": "text", "architecture": "text", "model": {"id": "m"}, "system_prompt": "p"}`, "talkifai")
	// Lenient drops fields only if no backend supports all of them.
	f(`{"backend": "auto", "name": "nn", "architecture": "text", "model": {"id": "m"}, "system_prompt": "p"}`, "talkifai", "Prefer: handling=lenient")
	lenient := b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "auto", "name": "n", "phone": {"number": "+1"}}`, `Prefer: handling="lenient"`).wants(t, 201, "")
	if lenient.body["backend"] != "agenthuman" || lenient.at("warnings.0.code") != "backend_chosen" || lenient.at("warnings.1.path") != "/phone/number" {
		t.Errorf("%s", lenient.text)
	}

	r := b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "auto", "name": "n", "phone": {"number": "+1"}}`).wants(t, 422, "no_backend_fits")
	for _, backend := range []string{"klen: does not support create", "agenthuman: /phone/number", "krosai: /phone/number", "talkifai: "} {
		if !strings.Contains(r.body["detail"].(string), backend) {
			t.Errorf("the detail lacks %q: %s", backend, r.body["detail"])
		}
	}
	b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "auto", "name": "n", "provider": "klen"}`).wants(t, 422, "no_backend_fits")
	b.ask(keyKlen, "POST", "/v1/agents", `{"name": "n"}`).wants(t, 422, "no_backend_fits")
}

// TestCreate_BackendRequired: without a backend in the body, an agent is created only if the key
// can create agents at exactly one.
func TestCreate_BackendRequired(t *testing.T) {
	b := newBench(t, "")
	r := b.ask(keyAcme, "POST", "/v1/agents", `{"name": "n"}`).wants(t, 422, "backend_required")
	if detail := r.body["detail"].(string); !strings.Contains(detail, "agenthuman, krosai, talkifai") || r.pointers() != "/backend required" {
		t.Errorf("%s", r.text)
	}
	r = b.ask(keyAcme, "POST", "/v1/agents", `{"name": "n", "modality": "voice"}`).wants(t, 422, "backend_required")
	if detail := r.body["detail"].(string); strings.Contains(detail, "agenthuman") || !strings.Contains(detail, "krosai, talkifai") {
		t.Errorf("an avatar provider is a candidate for a voice agent: %s", detail)
	}
	b.ask(keyAcme, "POST", "/v1/agents", `{"name": "n", "provider": "klen"}`).wants(t, 422, "no_backend_fits")
	for name := range b.vendors {
		if n := b.requests(name); n != 0 {
			t.Errorf("%s received %d requests", name, n)
		}
	}
	created := b.ask(keyKros, "POST", "/v1/agents", `{"name": "n"}`).wants(t, 201, "")
	if created.body["backend"] != "krosai" {
		t.Errorf("%s", created.text)
	}
}

// TestWrite_InvalidBodyIsNotSent: all violations are reported at once, and no provider
// is called.
func TestWrite_InvalidBodyIsNotSent(t *testing.T) {
	b := newBench(t, "")
	f := func(method, path, body string, status int, code, pointers string) {
		t.Helper()
		r := b.ask(keyAcme, method, path, body).wants(t, status, code)
		if got := r.pointers(); got != pointers {
			t.Errorf("%s %s %s:\ngot  %s\nwant %s", method, path, body, got, pointers)
		}
		for name := range b.vendors {
			if n := b.requests(name); n != 0 {
				t.Errorf("%s: %s received %d requests", body, name, n)
			}
		}
	}
	post := func(body string, status int, code, pointers string) {
		t.Helper()
		f("POST", "/v1/agents", body, status, code, pointers)
	}
	post(`{"backend": "krosai"}`, 422, "validation_failed", "/name required")
	post(`{"backend": "krosai", "name": null}`, 422, "validation_failed", "/name required")
	post(`{"backend": "krosai", "name": "n", "greeting": "hi", "phone": {"number": "1"}}`, 422, "unsupported_fields", "/greeting unsupported, /phone/number unsupported")
	post(`{"backend": "krosai", "nmae": "n", "description": 7, "greeting": "hi"}`, 422, "validation_failed", "/nmae unknown_field, /description wrong_type, /name required, /greeting unsupported")
	post(`{"backend": "krosai", "name": "n", "extensions": {"temperature": 1}}`, 422, "unsupported_fields", "/extensions/temperature unsupported")
	post(`{"backend": "talkifai", "name": "n"}`, 422, "validation_failed", "/name invalid_value, /architecture required, /system_prompt required")
	post(`{"backend": "talkifai", "name": "nn", "architecture": "pipeline", "system_prompt": "p"}`, 422, "validation_failed", "/model/id required, /stt/provider required, /tts/provider required")
	post(`{"backend": "talkifai", "name": "nn", "architecture": "realtime", "system_prompt": "p"}`, 422, "validation_failed", "/realtime/provider required")
	post(`{"backend": "talkifai", "name": "nn", "architecture": "video", "system_prompt": "p"}`, 422, "validation_failed", "/architecture invalid_value")
	post(`{"backend": "talkifai", "name": "`+strings.Repeat("ä", 51)+`", "architecture": "text", "model": {"id": "m", "temperature": 1.5}, "system_prompt": "`+strings.Repeat("p", 5001)+`", "visibility": "secret", "status": "archived"}`,
		422, "validation_failed", "/name too_long, /status invalid_value, /visibility invalid_value, /system_prompt too_long, /model/temperature invalid_value")
	post(`{"backend": "talkifai", "name": "nn", "architecture": "text", "model": {"id": "m"}, "system_prompt": "p", "extensions": {"inactivityTimeout": 5, "greetingType": 1, "lastMessage": "x"}}`,
		422, "validation_failed", "/extensions/greetingType wrong_type, /extensions/inactivityTimeout invalid_value")
	post(`{"backend": "agenthuman", "name": "", "avatar": {"id": "one"}, "status": "active"}`, 422, "validation_failed", "/name invalid_value, /status unsupported, /avatar/id invalid_value")
	post(`{"backend": "krosai", "name": "n", "provider": "talkifai", "modality": "text"}`, 422, "validation_failed", "/provider invalid_value, /modality invalid_value")
	post(`{"backend": "talkifai", "name": "nn", "provider": 7, "modality": "voice", "architecture": "text", "model": {"id": "m"}, "system_prompt": "p"}`, 422, "validation_failed", "/provider wrong_type, /modality invalid_value")
	post(`{"backend": "nobody", "name": "n"}`, 422, "validation_failed", "/backend invalid_value")
	post(`{"backend": "klen", "name": "n"}`, 501, "operation_unsupported", "")
	post(`{"backend": 7}`, 422, "validation_failed", "/backend wrong_type")
	post(`[]`, 400, "invalid_body", "")
	post(`{"name": "a", "name": "b"}`, 400, "invalid_body", "")
	post(`{`, 400, "invalid_body", "")

	f("PATCH", krosaiAgent, `{"greeting": "hi"}`, 422, "unsupported_fields", "/greeting unsupported")
	f("PATCH", krosaiAgent, `{"name": 7, "greeting": "hi"}`, 422, "validation_failed", "/name wrong_type, /greeting unsupported")
	f("PATCH", krosaiAgent, `{"backend": "klen"}`, 422, "immutable_field", "/backend immutable")
	f("PATCH", "/v1/agents/talkifai:agent_abc123", `{"status": "archived"}`, 422, "validation_failed", "/status invalid_value")
	f("PATCH", "/v1/agents/talkifai:agent_abc123", `{"extensions": {"inactivityTimeout": 5000, "lastMessage": 7}}`, 422, "validation_failed", "/extensions/inactivityTimeout invalid_value, /extensions/lastMessage wrong_type")
	f("PATCH", "/v1/agents/talkifai:agent_abc123", `{"extensions": {"inactivityTimeout": "abc"}}`, 422, "validation_failed", "/extensions/inactivityTimeout wrong_type")
	f("PATCH", "/v1/agents/agenthuman:131", `{"extensions": {"properties": "text"}}`, 422, "validation_failed", "/extensions/properties wrong_type")
	f("PATCH", "/v1/agents/klen:123", `{"name": "n"}`, 501, "operation_unsupported", "")
	f("DELETE", "/v1/agents/klen:123", ``, 501, "operation_unsupported", "")
	f("PATCH", "/v1/agents/agenthuman:x", `{"name": "n"}`, 404, "agent_not_found", "")
}

func TestUpdate_MergesIntoTheAgent(t *testing.T) {
	b := newBench(t, "")
	r := b.ask(keyAcme, "PATCH", krosaiAgent, `{"name": "Renamed", "voice": {"id": "echo"}}`).wants(t, 200, "")
	if r.body["name"] != "Renamed" || r.at("voice.id") != "echo" || r.body["description"] != "Helps users with product information and recommendations" {
		t.Errorf("%s", r.text)
	}
	r = b.ask(keyAcme, "PATCH", "/v1/agents/talkifai:agent_def456", `{"status": "active", "model": {"temperature": 0.9}, "extensions": {"lastMessage": "Bye"}}`, "Content-Type: application/merge-patch+json").wants(t, 200, "")
	if r.body["status"] != "active" || r.at("model.temperature") != 0.9 || r.at("extensions.lastMessage") != "Bye" || r.at("model.id") != "gpt-4o-mini" {
		t.Errorf("%s", r.text)
	}
	r = b.ask(keyAcme, "PATCH", "/v1/agents/agenthuman:124", `{"status": "archived", "extensions": {"properties": {"floor": null, "room": "4b"}}}`).wants(t, 200, "")
	if r.body["status"] != "archived" || r.at("extensions.properties.location") != "Hamburg" || r.at("extensions.properties.room") != "4b" || strings.Contains(r.text, `"floor"`) {
		t.Errorf("%s", r.text)
	}
	if got := b.get("/v1/agents/agenthuman:124").at("extensions.properties.room"); got != "4b" {
		t.Errorf("a read after the write shows %v", got)
	}
	b.ask(keyAcme, "PATCH", "/v1/agents/krosai:nobody", `{"name": "n"}`).wants(t, 404, "agent_not_found")
}

// TestUpdate_RoundTripOfAReadAgent: an agent that was read can be edited and sent
// back whole.
func TestUpdate_RoundTripOfAReadAgent(t *testing.T) {
	b := newBench(t, "")
	for _, path := range []string{krosaiAgent, "/v1/agents/talkifai:agent_abc123", "/v1/agents/agenthuman:131"} {
		r := b.get(path+"?include=raw").wants(t, 200, "")
		vendor := b.vendors[r.body["backend"].(string)].Control()
		vendor.Forget()
		if got := b.ask(keyAcme, "PATCH", path, r.text).wants(t, 200, ""); got.body["updated_at"] != r.body["updated_at"] {
			t.Errorf("%s: an unchanged round trip changed the agent", path)
		}
		for _, request := range vendor.Requests() {
			if request.Method != "GET" {
				t.Errorf("%s: on an unchanged round trip the provider received %s", path, request.Method)
			}
		}
		if again := b.ask(keyAcme, "PATCH", path, b.ask(keyAcme, "PATCH", path, `{}`).text); again.StatusCode != 200 {
			t.Errorf("round trip of a write's response: %s", again.text)
		}
		r.body["name"] = "Edited"
		edited, err := json.Marshal(r.body)
		if err != nil {
			t.Fatal(err)
		}
		vendor.Forget()
		if got := b.ask(keyAcme, "PATCH", path, string(edited)).wants(t, 200, ""); got.body["name"] != "Edited" {
			t.Errorf("%s", got.text)
		}
		for _, request := range vendor.Requests() {
			if request.Method != "GET" && string(request.Body) != `{"name":"Edited"}` {
				t.Errorf("%s: the provider received %s", path, request.Body)
			}
		}
	}
}

func TestWrite_ManyViolationsGiveABoundedResponse(t *testing.T) {
	b := newBench(t, "")
	var many strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&many, `,"k%d":1`, i)
	}
	long := strings.Repeat("k", 500_000)
	for _, body := range []string{
		`{"backend": "krosai", "name": "n", "extensions": {"a": 1` + many.String() + `}}`, `{"name": "n", "extensions": {"a": 1` + many.String() + `}}`,
		`{"name": "n", "model": {"id": "m"` + many.String() + `}}`, `{"backend": "` + long + `"}`, `{"` + long + `": 1}`, `{"backend": "krosai", "name": "n", "extensions": {"` + long + `": 1}}`,
	} {
		if r := b.ask(keyAcme, "POST", "/v1/agents", body); r.StatusCode < 400 || len(r.text) > 64<<10 {
			t.Errorf("%.60s…: %d, %d bytes", body, r.StatusCode, len(r.text))
		}
	}
	r := b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "krosai", "name": "n", "extensions": {"a": 1`+many.String()+`}}`, "Prefer: handling=lenient").wants(t, 201, "")
	if got := len(r.body["warnings"].([]any)); got != 101 || r.at("warnings.100.code") != "more_warnings" {
		t.Errorf("%d warnings", got)
	}
}

// TestUpdate_RoundTripKeepsCurrentValueOutsideLimits: a value outside the
// provider's limits is accepted if it is the agent's current one.
func TestUpdate_RoundTripKeepsCurrentValueOutsideLimits(t *testing.T) {
	b := newBench(t, "")
	b.vendors["talkifai"].Seed(b.env["ACME_TALKIFAI"], []byte(`{"id": "agent_odd", "name": "X", "agentArchitecture": "text", "model": "m", "systemPrompt": "p", "language": null, "mode": "team",
		"active": true, "temperature": 1.4, "enabledFunctions": [], "enabledCustomFunctions": [], "createdAt": "2024-01-10T09:00:00Z", "updatedAt": "2024-01-10T09:00:00Z"}`))
	const path = "/v1/agents/talkifai:agent_odd"
	r := b.get(path).wants(t, 200, "")
	r.body["system_prompt"] = "q"
	echo := func() string {
		text, err := json.Marshal(r.body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := b.ask(keyAcme, "PATCH", path, echo()).wants(t, 200, ""); got.body["system_prompt"] != "q" {
		t.Errorf("%s", got.text)
	}
	r.body["visibility"] = "squad"
	if got := b.ask(keyAcme, "PATCH", path, echo()).wants(t, 422, "validation_failed").pointers(); got != "/visibility invalid_value" {
		t.Errorf("%s", got)
	}
}

// TestUpdate_RoundTripWithUnreadableFields: a field that could not be read does not
// count as changed.
func TestUpdate_RoundTripWithUnreadableFields(t *testing.T) {
	b := newBench(t, "")
	const path = "/v1/agents/agenthuman:131"
	r := b.get(path).wants(t, 200, "")
	r.body["name"] = "Edited"
	text, err := json.Marshal(r.body)
	if err != nil {
		t.Fatal(err)
	}
	b.vendors["agenthuman"].Control().Fail(sandbox.Fault{Method: "GET", Path: "/v1/agents", Status: 500})
	if got := b.ask(keyAcme, "PATCH", path, string(text)).wants(t, 200, ""); got.body["name"] != "Edited" || got.at("warnings.0.code") != "unverified" || got.at("warnings.0.path") != "/avatar/name" {
		t.Errorf("%s", got.text)
	}
	// An explicit change of the field is refused.
	b.ask(keyAcme, "PATCH", path, `{"avatar": {"name": "Other"}}`).wants(t, 422, "unsupported_fields")
	// A round trip is validated against the capability table, too.
	if got := b.ask(keyAcme, "PATCH", "/v1/agents/talkifai:agent_abc123", `{"id": "talkifai:agent_abc123", "extensions": {"inactivityTimeout": "abc"}}`).wants(t, 422, "validation_failed").pointers(); got != "/extensions/inactivityTimeout wrong_type" {
		t.Errorf("%s", got)
	}
}

func TestUpdate_ReadOnlyFields(t *testing.T) {
	b := newBench(t, "")
	f := func(path, body, code, pointers string) {
		t.Helper()
		if got := b.ask(keyAcme, "PATCH", path, body).wants(t, 422, code).pointers(); got != pointers {
			t.Errorf("%s: %s, want %s", body, got, pointers)
		}
	}
	f("/v1/agents/talkifai:agent_abc123", `{"architecture": "text"}`, "immutable_field", "/architecture immutable")
	f("/v1/agents/agenthuman:131", `{"voice": {"id": "9"}}`, "unsupported_fields", "/voice/id unsupported")
	f("/v1/agents/agenthuman:131", `{"extensions": {"role_id": 3}}`, "unsupported_fields", "/extensions/role_id unsupported")
	f(krosaiAgent, `{"description": null}`, "validation_failed", "/description invalid_value")
	f(krosaiAgent, `{"owner": {"user_id": "me"}, "language": null}`, "validation_failed", "/language invalid_value, /owner/user_id unsupported")
	// The current values are no change.
	b.ask(keyAcme, "PATCH", "/v1/agents/talkifai:agent_abc123", `{"architecture": "pipeline", "greeting": null}`).wants(t, 200, "")
	b.ask(keyAcme, "PATCH", "/v1/agents/agenthuman:131", `{"voice": {"id": "4"}, "extensions": {"role_id": 2}}`).wants(t, 200, "")
	b.ask(keyAcme, "PATCH", "/v1/agents/krosai:b2c3d4e5-f6a7-8901-bcde-fa2345678901", `{"description": null}`).wants(t, 200, "")
	b.ask(keyAcme, "PATCH", krosaiAgent, `{}`).wants(t, 200, "")
}

func TestLenient_DropsUnsupportedFields(t *testing.T) {
	b := newBench(t, "")
	warnings := func(r reply) string {
		var words []string
		for _, w := range r.body["warnings"].([]any) {
			w := w.(map[string]any)
			words = append(words, fmt.Sprintf("%v %v %v", w["code"], w["path"], w["backend"]))
		}
		if got := r.Header.Get("Preference-Applied"); got != "handling=lenient" {
			t.Errorf("Preference-Applied %q", got)
		}
		return strings.Join(words, ", ")
	}
	r := b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "krosai", "name": "n", "greeting": "hi", "extensions": {"x": 1}}`, "Prefer: handling=lenient").wants(t, 201, "")
	if got := warnings(r); got != "unsupported /greeting krosai, unsupported /extensions/x krosai" {
		t.Errorf("warnings %s", got)
	}
	r = b.ask(keyAcme, "PATCH", krosaiAgent, `{"name": "m", "greeting": "hi"}`, "Prefer: respond-async, handling=lenient").wants(t, 200, "")
	if got := warnings(r); got != "unsupported /greeting krosai" || r.body["name"] != "m" {
		t.Errorf("warnings %s", got)
	}
	r = b.ask(keyAcme, "PATCH", "/v1/agents/agenthuman:131", `{"name": "m", "voice": {"id": "9"}}`, "Prefer: handling=lenient").wants(t, 200, "")
	if got := warnings(r); got != "unsupported /voice/id agenthuman" {
		t.Errorf("warnings %s", got)
	}
	// Other violations are still errors.
	b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "krosai", "greeting": "hi"}`, "Prefer: handling=lenient").wants(t, 422, "validation_failed")
}

func TestWrite_WarnsOfValuesThatWereNotStored(t *testing.T) {
	b := newBench(t, "")
	control := b.vendors["krosai"].Control()
	path := "/v1/agents/a1b2c3d4-e5f6-7890-abcd-ef1234567890"
	control.Fail(sandbox.Fault{Method: "PUT", Path: path, Times: 1, Status: 200, Body: `{}`})
	r := b.ask(keyAcme, "PATCH", krosaiAgent, `{"name": "x", "language": "en"}`).wants(t, 200, "")
	if r.at("warnings.0.code") != "not_persisted" || r.at("warnings.0.path") != "/name" || r.at("warnings.1") != nil || r.body["name"] != "Product Expert" {
		t.Errorf("%s", r.text)
	}
	control.Fail(sandbox.Fault{Method: "GET", Path: path, Status: 500})
	r = b.ask(keyAcme, "PATCH", krosaiAgent, `{"name": "y"}`).wants(t, 200, "")
	if r.at("warnings.0.code") != "unverified" || r.body["id"] != "krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890" {
		t.Errorf("%s", r.text)
	}
	control.Heal()
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Method: "GET", Status: 500})
	r = b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "talkifai", "name": "nn", "architecture": "text", "model": {"id": "m"}, "system_prompt": "p"}`).wants(t, 201, "")
	if r.at("warnings.0.code") != "unverified" || r.body["name"] != "nn" || r.body["status"] != "inactive" || r.body["view"] != "basic" || !strings.Contains(fmt.Sprint(r.body["not_loaded"]), "visibility") {
		t.Errorf("%s", r.text)
	}
	b.vendors["talkifai"].Control().Heal()
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Method: "PATCH", Status: 403})
	r = b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "talkifai", "name": "nn", "architecture": "text", "model": {"id": "m"}, "system_prompt": "p", "status": "active"}`).wants(t, 201, "")
	if r.at("warnings.0.code") != "activation_failed" || r.at("warnings.1") != nil || r.body["status"] != "inactive" {
		t.Errorf("%s", r.text)
	}
}

func TestWrite_FailureIsReportedAndNotRetried(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBench(t, "timeout: 3s\nbreaker: {consecutive: 1000, min_requests: 1000}")
	control := b.vendors["krosai"].Control()
	f := func(fault sandbox.Fault, status int, code string, upstream any) {
		t.Helper()
		for method, path := range map[string]string{"POST": "/v1/agents", "PATCH": krosaiAgent, "DELETE": krosaiAgent} {
			control.Forget()
			fault.Method = map[string]string{"POST": "POST", "PATCH": "PUT", "DELETE": "DELETE"}[method]
			control.Fail(fault)
			body := map[string]string{"POST": `{"backend": "krosai", "name": "n"}`, "PATCH": `{"name": "n"}`}[method]
			r := b.ask(keyAcme, method, path, body).wants(t, status, code)
			if r.at("upstream.status") != upstream || r.body["backend"] != "krosai" {
				t.Errorf("%s: %s", method, r.text)
			}
			if n := len(control.Requests()); n != 1 {
				t.Errorf("%s, %s: %d requests", method, code, n)
			}
			if strings.Contains(r.text, "text of the vendor") {
				t.Errorf("the provider's error text is relayed: %s", r.text)
			}
		}
	}
	f(sandbox.Fault{Status: 400, Body: `{"detail": "A text of the vendor"}`}, 422, "upstream_rejected", 400.0)
	f(sandbox.Fault{Status: 422, Body: `{"detail": "A text of the vendor"}`}, 422, "upstream_rejected", 422.0)
	f(sandbox.Fault{Status: 401, Body: `{"detail": "A text of the vendor"}`}, 502, "upstream_auth_failed", 401.0)
	f(sandbox.Fault{Status: 403}, 502, "upstream_auth_failed", 403.0)
	f(sandbox.Fault{Status: 500}, 504, "write_outcome_unknown", 500.0)
	f(sandbox.Fault{Status: 502}, 504, "write_outcome_unknown", 502.0)
	f(sandbox.Fault{Status: 504}, 504, "write_outcome_unknown", 504.0)
	f(sandbox.Fault{Status: 503}, 503, "upstream_unavailable", 503.0)
	f(sandbox.Fault{Hang: true}, 504, "write_outcome_unknown", nil)
	f(sandbox.Fault{Reset: true}, 504, "write_outcome_unknown", nil)
	f(sandbox.Fault{Status: 302, Header: map[string]string{"Location": "/x"}}, 502, "upstream_bad_response", 302.0)
}
