package gateway

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

func TestList_MergesAllBackends(t *testing.T) {
	b := newBench(t, "")
	r := b.get("/v1/agents").wants(t, 200, "")
	want := []string{
		"klen:123", "klen:789", "klen:812", "klen:845", "klen:901",
		"agenthuman:123", "agenthuman:124", "agenthuman:131", "agenthuman:140",
		"krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890", "krosai:b2c3d4e5-f6a7-8901-bcde-fa2345678901", "krosai:c3d4e5f6-a7b8-4012-8def-ab3456789012", "krosai:d4e5f6a7-b8c9-4123-9efa-bc4567890123",
		"talkifai:agent_abc123", "talkifai:agent_def456", "talkifai:agent_ghi789", "talkifai:agent_jkl012", "talkifai:agent_mno345",
	}
	if got := r.ids(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if r.body["complete"] != true || r.body["next_cursor"] != nil || r.body["resume_cursor"] != nil || r.Header.Get("X-Agentgw-Complete") != "" {
		t.Errorf("complete %v, next_cursor %v", r.body["complete"], r.body["next_cursor"])
	}
	for _, backend := range []string{"klen", "agenthuman", "krosai", "talkifai"} {
		s := r.source(backend)
		if s["status"] != "ok" || s["count"] == 0 || s["fetched_at"] == nil || s["unavailable"] == nil || s["not_loaded"] == nil {
			t.Errorf("%v", s)
		}
	}
	for _, agent := range r.body["data"].([]any) {
		if _, has := agent.(map[string]any)["unavailable"]; has {
			t.Errorf("a row repeats its source's field sets: %v", agent)
		}
	}
	for name, want := range map[string]string{"Cache-Control": "private, no-cache", "Vary": "Authorization, X-API-Key, Accept-Encoding", "Content-Type": "application/json"} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestList_SelectsBackendsAndProviders(t *testing.T) {
	b := newBench(t, "")
	f := func(query string, want ...string) {
		t.Helper()
		var got []string
		for _, s := range b.get("/v1/agents"+query).wants(t, 200, "").body["sources"].([]any) {
			got = append(got, s.(map[string]any)["backend"].(string))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	f("?backend=krosai", "krosai")
	f("?backend=talkifai,klen", "klen", "talkifai")
	f("?provider=klen", "klen")
	f("?backend=klen,krosai&provider=krosai", "krosai")
	b.get("/v1/agents?backend=klenn").wants(t, 400, "invalid_parameter")
	if got := b.ask(keyKlen, "GET", "/v1/agents?backend=krosai", "").wants(t, 400, "invalid_parameter").body["detail"].(string); !strings.Contains(got, "the key maps to klen") {
		t.Errorf("detail %q", got)
	}
	if got := b.ask(keyKlen, "GET", "/v1/agents", "").wants(t, 200, "").body["sources"].([]any); len(got) != 1 {
		t.Errorf("a key for klen sees %v", got)
	}
}

func TestList_InvalidParameters(t *testing.T) {
	b := newBench(t, "")
	f := func(query, want string) {
		t.Helper()
		if got := b.get("/v1/agents"+query).wants(t, 400, "invalid_parameter").body["detail"]; got != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	f("?limit=0", `limit: must be an integer from 1 to 1000, got "0"`)
	f("?limit=-1", `limit: must be an integer from 1 to 1000, got "-1"`)
	f("?limit=ten", `limit: must be an integer from 1 to 1000, got "ten"`)
	f("?limt=1", `limt: unknown query parameter; did you mean limit?`)
	f("?limit=1&limit=2", "limit: was given twice; separate several values with commas")
	f("?include=everything", `include: must be raw, got "everything"`)
	f("?view=all", `view: must be basic or full, got "all"`)
	f("?limit=%2B5", `limit: must be an integer from 1 to 1000, got "+5"`)
	f("?backend=", "backend: has an empty value; leave the parameter out, or separate its values with single commas")
	f("?backend=nope", `backend: no backend "nope": the key maps to klen, agenthuman, krosai, talkifai`)
	f("?provider=nope", "provider: must be one of "+strings.Join(slices.Sorted(slices.Values(all.Names())), ", ")+`, got "nope"`)
	f("?cursor=", "cursor: is empty; leave it out to get the first page")
	f("?backend=klen&provider=krosai", "provider: no backend matches both backend=klen and provider=krosai; leave one of them out")
	f("?modality=face", `modality: must be one of text, voice, avatar, got "face"`)
	f("?order_by=usage", `order_by: must be one of name, created_at, updated_at, got "usage"; prefix it with - for descending order`)
	f("?q=", "q: is empty or contains a NUL; leave it out, or send the text to search for")
	f("?status=active,", "status: has an empty value; leave the parameter out, or separate its values with single commas")
	f("?backend=krosai&require=klen", "require: klen is left out by the backend or provider parameter; add it there, or remove it from require")
	// Each has its entry in errors.
	several := b.get("/v1/agents?limit=0&view=all&status=,").wants(t, 400, "invalid_parameter")
	if got := several.body["errors"].([]any); len(got) != 3 || several.at("errors.0.parameter") != "status" || several.at("errors.0.code") != "invalid_value" || several.body["detail"] != "status: has an empty value; leave the parameter out, or separate its values with single commas (and 2 more, see errors)" {
		t.Errorf("%s", several.text)
	}
	unknown := b.get("/v1/agents?limti=2&vew=1").wants(t, 400, "invalid_parameter")
	if got := unknown.body["errors"].([]any); len(got) != 2 || unknown.at("errors.0.code") != "unknown_parameter" {
		t.Errorf("%s", unknown.text)
	}
	header := b.ask(keyAcme, "POST", "/v1/agents", "{}", "Idempotency-Key: "+strings.Repeat("k", 300)).wants(t, 400, "invalid_parameter")
	if header.at("errors.0.header") != "Idempotency-Key" {
		t.Errorf("%s", header.text)
	}
	b.get("/v1/agents?limit=100000").wants(t, 200, "")
	b.get("/v1/agents?limit=99999999999999999999").wants(t, 200, "")
	b.get("/v1/agents?require=all,nope").wants(t, 400, "invalid_parameter")
	b.get("/v1/agents?view=basic").wants(t, 200, "")
	b.get("/v1/agents/klen:123?limit=1").wants(t, 400, "invalid_parameter")
	b.get("/v1/backends?x=1").wants(t, 400, "invalid_parameter")
}

func TestRaw_IsIncludedOnRequest(t *testing.T) {
	b := newBench(t, "")
	r := b.get("/v1/agents?include=raw&backend=klen&limit=1").wants(t, 200, "")
	if got := r.at("data.0.raw.list.assistant_id"); got != "assistant_abc123" {
		t.Errorf("raw %v", r.at("data.0.raw"))
	}
	r = b.get("/v1/agents/agenthuman:131?include=raw").wants(t, 200, "")
	if r.at("raw.list.agent_id") != 131.0 || r.at("raw.detail.id") != 131.0 {
		t.Errorf("raw %v", r.body["raw"])
	}
	if _, has := b.get("/v1/agents/agenthuman:131").body["raw"]; has {
		t.Error("raw is included without include=raw")
	}
}

func TestList_PartialFailure(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBench(t, "timeout: 3s\nbreaker: {consecutive: 1000, min_requests: 1000}")
	f := func(fault sandbox.Fault, code string) {
		t.Helper()
		b.gateway.Purge("", "")
		b.vendors["talkifai"].Control().Heal()
		b.vendors["talkifai"].Control().Fail(fault)
		r := b.get("/v1/agents").wants(t, 200, "")
		s := r.source("talkifai")
		if s["status"] != "error" || s["count"] != 0.0 || s["error"].(map[string]any)["code"] != code {
			t.Errorf("%+v: %v", fault, s)
		}
		if len(r.ids()) != 13 || r.body["complete"] != false || r.Header.Get("X-Agentgw-Complete") != "false" {
			t.Errorf("%d agents, complete %v", len(r.ids()), r.body["complete"])
		}
	}
	f(sandbox.Fault{Status: 500, Body: `{"error": "x"}`}, "upstream_error")
	f(sandbox.Fault{Status: 503}, "upstream_unavailable")
	f(sandbox.Fault{Hang: true}, "upstream_timeout")
	f(sandbox.Fault{Status: 200, Body: "<html>"}, "upstream_bad_response")
}

func TestList_RequiredBackends(t *testing.T) {
	b := newBench(t, "")
	b.get("/v1/agents?require=all").wants(t, 200, "")
	b.gateway.Purge("", "")
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Status: 503, Header: map[string]string{"Retry-After": "7"}})
	for _, ask := range []func() reply{
		func() reply { return b.get("/v1/agents?require=all") },
		func() reply { return b.get("/v1/agents?require=krosai,klen") },
		func() reply { return b.get("/v1/agents", "Prefer: handling=strict") },
	} {
		r := ask().wants(t, 503, "upstream_unavailable")
		if len(r.body["sources"].([]any)) != 4 || r.body["backend"] != "krosai" || r.Header.Get("Retry-After") != "7" || r.body["retryable"] != true {
			t.Errorf("Retry-After %q: %s", r.Header.Get("Retry-After"), r.text)
		}
		b.gateway.Purge("", "")
	}
	b.get("/v1/agents?require=klen,talkifai").wants(t, 200, "")
	b.get("/v1/agents?require=nobody").wants(t, 400, "invalid_parameter")
	b.get("/v1/agents?backend=krosai").wants(t, 503, "upstream_unavailable")
}

func TestList_AllBackendsFail(t *testing.T) {
	b := newBench(t, "")
	for _, v := range b.vendors {
		v.Control().Fail(sandbox.Fault{Status: 500})
	}
	r := b.get("/v1/agents").wants(t, 502, "upstream_error")
	if len(r.body["sources"].([]any)) != 4 || r.at("upstream.status") != 500.0 {
		t.Errorf("%s", r.text)
	}
}

// TestList_CallsBackendsConcurrently: all four backends are called before
// any of them responds.
func TestList_CallsBackendsConcurrently(t *testing.T) {
	b := newBench(t, "timeout: 1s")
	for _, v := range b.vendors {
		v.Control().Fail(sandbox.Fault{Hang: true})
	}
	done := make(chan reply)
	go func() { done <- b.get("/v1/agents") }()
	waittest.Until(t, "all four backends to be called while none has responded", func() bool {
		return !slices.Contains([]int{b.requests("klen"), b.requests("agenthuman"), b.requests("krosai"), b.requests("talkifai")}, 0)
	})
	(<-done).wants(t, 504, "upstream_timeout")
}

func TestList_PanickingAdapterFailsOnlyItsSource(t *testing.T) {
	broken := provider("klen")
	make := broken.New
	broken.New = func(s adapters.Settings) adapters.Adapter { return panicking{make(s)} }
	b := newBench(t, "", broken)
	r := b.get("/v1/agents").wants(t, 200, "")
	if s := r.source("klen"); s["status"] != "error" || s["error"].(map[string]any)["code"] != "internal" {
		t.Errorf("%v", s)
	}
	if len(r.ids()) != 13 {
		t.Errorf("%d agents", len(r.ids()))
	}
	b.get("/v1/agents/klen:123").wants(t, 500, "internal")
	waittest.Until(t, "the log line of the panic", func() bool { return strings.Contains(b.log.String(), "panic in a backend's call") })
	if log := b.log.String(); strings.Contains(log, "canary") {
		t.Errorf("the log: %s", log)
	}
}

func TestList_FetchedAt(t *testing.T) {
	b := newBench(t, "")
	before := time.Now().Add(-time.Second)
	at, err := time.Parse(time.RFC3339, b.get("/v1/agents?backend=klen").source("klen")["fetched_at"].(string))
	if err != nil || at.Before(before) || at.After(time.Now()) {
		t.Errorf("%v, %v", at, err)
	}
}
