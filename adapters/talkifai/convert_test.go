package talkifai

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/test/lossless"
)

// places is where the members of both descriptions' agents stand.
var places = lossless.Mapping{
	"/id":                     lossless.At("/native_id"),
	"/name":                   lossless.At("/name"),
	"/agentArchitecture":      lossless.At("/architecture"),
	"/mode":                   lossless.At("/visibility"),
	"/active":                 lossless.Words("/status", map[string]string{"true": `"active"`, "false": `"inactive"`}),
	"/model":                  lossless.At("/model/id"),
	"/temperature":            lossless.At("/model/temperature"),
	"/stt":                    lossless.At("/stt/provider"),
	"/tts":                    lossless.At("/tts/provider"),
	"/voiceId":                lossless.At("/voice/id"),
	"/realtimeProvider":       lossless.At("/realtime/provider"),
	"/systemPrompt":           lossless.At("/system_prompt"),
	"/sysMsg":                 lossless.At("/system_prompt"),
	"/language":               lossless.At("/language"),
	"/languages/0/language":   lossless.At("/language"),
	"/enabledFunctions":       lossless.At("/tools/builtin"),
	"/enabledCustomFunctions": lossless.At("/tools/custom"),
	"/description":            lossless.At("/description"),
	"/greetingMessage":        lossless.At("/greeting"),
	"/userId":                 lossless.At("/owner/user_id"),
	"/organizationId":         lossless.At("/owner/team_id"),
	"/createdAt":              lossless.At("/created_at"),
	"/updatedAt":              lossless.At("/updated_at"),
}

func TestSamples_EveryValueIsAccountedFor(t *testing.T) {
	lossless.EveryFile(t, map[string]string{
		"list.json":                          lossless.Agents,
		"list_page1_of_2.json":               lossless.Agents,
		"list_page2_of_2.json":               lossless.Agents,
		"get.json":                           lossless.Agents,
		"create.json":                        lossless.Agents,
		"endpoint_pages/list.json":           lossless.Agents,
		"endpoint_pages/get.json":            lossless.Agents,
		"endpoint_pages/create.json":         lossless.Agents,
		"endpoint_pages/update.json":         lossless.Agents,
		"create_pipeline_request.json":       lossless.Request,
		"create_realtime_request.json":       lossless.Request,
		"create_text_request.json":           lossless.Request,
		"update_request.json":                lossless.Request,
		"delete.json":                        lossless.Envelope,
		"error_404.json":                     lossless.Envelope,
		"error_429.json":                     lossless.Envelope,
		"error_generic.json":                 lossless.Envelope,
		"endpoint_pages/create_request.json": lossless.NotOurs,
		"endpoint_pages/update_request.json": lossless.NotOurs,
	})
}

func TestSamples_Lossless(t *testing.T) {
	for path, rows := range map[string]string{
		"list.json": "/data", "list_page2_of_2.json": "/data", "endpoint_pages/list.json": "/data/agents",
	} {
		data := lossless.File(t, path)
		for i, a := range lossless.List(t, Provider, data) {
			lossless.Check(t, lossless.Part(t, data, fmt.Sprintf("%s/%d", rows, i)), a, places)
		}
	}
	page1, err := decodePage("b", adapters.Response{Status: 200, Body: lossless.File(t, "list_page1_of_2.json")})
	if err != nil || !page1.hasNext || page1.number != 1 {
		t.Fatalf("%+v, %v", page1, err)
	}
	lossless.Check(t, lossless.Part(t, lossless.File(t, "list_page1_of_2.json"), "/data/0"), page1.Agents[0], places)

	for path, at := range map[string]string{
		"get.json": "/data", "endpoint_pages/get.json": "/data/agent", "endpoint_pages/create.json": "/data/agent", "endpoint_pages/update.json": "/data/agent",
	} {
		data := lossless.File(t, path)
		lossless.Check(t, lossless.Part(t, data, at), lossless.Get(t, Provider, data), places)
	}
	for path, at := range map[string]string{"create.json": "/data", "endpoint_pages/create.json": "/data/agent"} {
		data := lossless.File(t, path)
		lossless.Check(t, lossless.Part(t, data, at), lossless.Created(t, Provider, data), places)
	}
}

func TestList_Envelopes(t *testing.T) {
	agent := lossless.Part(t, lossless.File(t, "endpoint_pages/get.json"), "/data/agent")
	for _, envelope := range []string{`{"success": true, "data": AGENT}`, `{"success": true, "data": {"agent": AGENT}}`, `{"agent": AGENT}`} {
		lossless.Check(t, agent, lossless.Get(t, Provider, lossless.Wrap(envelope, agent)), places)
	}
	for _, envelope := range []string{`{"success": true, "data": [AGENT]}`, `{"success": true, "data": {"agents": [AGENT], "count": 1}}`, `{"agents": [AGENT]}`} {
		lossless.Check(t, agent, lossless.List(t, Provider, lossless.Wrap(envelope, agent))[0], places)
	}
}

func TestUnknownMembers_Lossless(t *testing.T) {
	for _, agent := range []jsontext.Value{
		lossless.Part(t, lossless.File(t, "get.json"), "/data"), lossless.Part(t, lossless.File(t, "endpoint_pages/get.json"), "/data/agent"),
	} {
		for name, members := range lossless.Additions {
			t.Run(name, func(t *testing.T) {
				payload := lossless.With(t, agent, members)
				lossless.Check(t, payload, lossless.Get(t, Provider, lossless.Wrap(`{"success": true, "data": AGENT}`, payload)), places)
				lossless.Check(t, payload, lossless.List(t, Provider, lossless.Wrap(`{"success": true, "data": [AGENT]}`, payload))[0], places)
			})
		}
		for member, value := range map[string]string{
			"temperature": "0.70", "mode": `"secret"`, "agentArchitecture": `"video"`, "voiceId": `""`, "enabledFunctions": "null", "createdAt": `"2024-01-10T09:00:00.123456789+05:00"`,
		} {
			payload := lossless.Replace(t, agent, member, value)
			lossless.Check(t, payload, lossless.Get(t, Provider, lossless.Wrap(`{"success": true, "data": AGENT}`, payload)), places)
		}
	}
	// An agent that is written in both ways at once: the agents page goes first.
	both := lossless.With(t, lossless.Part(t, lossless.File(t, "get.json"), "/data"), `{"sysMsg": "other", "languages": [{"id": "1", "language": "ur"}]}`)
	only := lossless.Mapping{}
	for pointer, place := range places {
		if pointer != "/sysMsg" && pointer != "/languages/0/language" {
			only[pointer] = place
		}
	}
	lossless.Check(t, both, lossless.Get(t, Provider, lossless.Wrap(`{"data": AGENT}`, both)), only)
}

// TestList_WalkEnds: a list that does not move on, or does not say that it ends,
// is shown and said to be partial.
func TestList_WalkEnds(t *testing.T) {
	f := func(name, want string, agents int, page func(number int) string) {
		t.Helper()
		number := 0
		adapter := Provider.New(adapters.Settings{Backend: "b", RoundTrip: func(_ context.Context, req *adapters.Request) error {
			number++
			if got := req.Query.Get("page"); got != fmt.Sprint(number) || req.Query.Get("limit") != "100" {
				t.Errorf("%s: asked for page %s with limit %s", name, got, req.Query.Get("limit"))
			}
			return req.Receive(adapters.Response{Status: 200, Body: []byte(page(number))})
		}})
		listing, err := adapter.List(context.Background(), lossless.Credential())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := ""
		if listing.Partial != nil {
			got = listing.Partial.Message
		}
		if got != want || len(listing.Agents) != agents {
			t.Errorf("%s: %d agents, partial %q", name, len(listing.Agents), got)
		}
	}
	row := func(id int) string { return fmt.Sprintf(`{"id": "a%d", "name": "n"}`, id) }
	f("three pages", "", 3, func(n int) string {
		return fmt.Sprintf(`{"success": true, "data": [%s], "pagination": {"page": %d, "total": 99, "hasNext": %t}}`, row(n), n, n < 3)
	})
	f("the page is ignored", "asked for page 2, got page 1", 1, func(int) string {
		return `{"data": [` + row(1) + `], "pagination": {"page": 1, "hasNext": true}}`
	})
	f("the same page for ever", "page 2 has no new agent, yet says that there are more", 1, func(n int) string {
		return fmt.Sprintf(`{"data": [%s], "pagination": {"page": %d, "hasNext": true}}`, row(1), n)
	})
	f("no end", "the list does not end within 200 pages", 200, func(n int) string {
		return fmt.Sprintf(`{"data": [%s], "pagination": {"page": %d, "hasNext": true}}`, row(n), n)
	})
	f("an agent moves to the next page", "", 2, func(n int) string {
		return fmt.Sprintf(`{"data": [%s, %s], "pagination": {"page": %d, "hasNext": %t}}`, row(1), row(n), n, n < 2)
	})
	f("hasNext is missing", "page 1 does not say whether there are more", 1, func(int) string {
		return `{"data": [` + row(1) + `], "pagination": {"page": 1, "total": 250}}`
	})
	f("a page fails", "the body is empty", 1, func(n int) string {
		if n > 1 {
			return ""
		}
		return `{"data": [` + row(1) + `], "pagination": {"page": 1, "hasNext": true}}`
	})
	f("the endpoint pages have no pages", "", 1, func(int) string { return `{"data": {"agents": [` + row(1) + `], "count": 1}}` })
}

// TestConvertLanguages: the first language is the agent's; what else there is of the
// array is an extension.
func TestConvertLanguages(t *testing.T) {
	f := func(languages, want, rest string) {
		t.Helper()
		a := lossless.Get(t, Provider, []byte(`{"data": {"id": "x", "languages": `+languages+`}}`))
		got := "null"
		if a.Language != nil {
			got = *a.Language
		}
		if got != want || string(a.Extension("languages")) != rest {
			t.Errorf("%s: language %s, extension %s", languages, got, a.Extension("languages"))
		}
	}
	f(`["english"]`, "english", "")
	f(`["english", "urdu"]`, "english", `["urdu"]`)
	f(`[{"id": "1", "language": "en"}]`, "en", `[{"id":"1"}]`)
	f(`[{"language": "en"}]`, "en", "")
	f(`[{"language": "en"}, {"id":"2","language":"ur"}]`, "en", `[{"id":"2","language":"ur"}]`)
	f(`[{"id": "1", "language": "en"}, {"id": "2", "language": "ur"}]`, "en", `[{"id":"1"},{"id": "2", "language": "ur"}]`)
	f(`[]`, "null", `[]`)
	f(`null`, "null", `null`)
	f(`[7]`, "null", `[7]`)
	f(`"en"`, "null", `"en"`)
}

func TestFieldSets_PerDescription(t *testing.T) {
	f := func(what string, a *normalize.Agent, unavailable, notLoaded []string) {
		t.Helper()
		if fmt.Sprint(a.Unavailable.Names()) != fmt.Sprint(unavailable) || fmt.Sprint(a.NotLoaded.Names()) != fmt.Sprint(notLoaded) {
			t.Errorf("%s:\nunavailable %v, want %v\nnot loaded %v, want %v", what, a.Unavailable.Names(), unavailable, a.NotLoaded.Names(), notLoaded)
		}
	}
	never := []string{"description", "direction", "greeting", "avatar", "phone", "knowledge_base_ids", "owner", "usage"}
	later := []string{"language", "system_prompt", "model", "voice", "stt", "tts", "realtime", "tools", "updated_at"}
	f("row", lossless.List(t, Provider, lossless.File(t, "list.json"))[0], never, later)
	f("get", lossless.Get(t, Provider, lossless.File(t, "get.json")), never, nil)
	neverE := []string{"status", "direction", "tts", "avatar", "phone", "knowledge_base_ids", "usage"}
	f("endpoint pages' row", lossless.List(t, Provider, lossless.File(t, "endpoint_pages/list.json"))[0], neverE, nil)
	f("endpoint pages' get", lossless.Get(t, Provider, lossless.File(t, "endpoint_pages/get.json")), neverE, nil)
}

func TestWrites_RequestBodies(t *testing.T) {
	f := func(body, sample string) {
		t.Helper()
		parsed, violations, err := normalize.ParseBody([]byte(body))
		if err != nil || violations != nil || info.CheckCreate(parsed.Change) != nil {
			t.Fatalf("%v %v %v", err, violations, info.CheckCreate(parsed.Change))
		}
		adapter, sent := lossless.Recording(Provider, 201, lossless.File(t, "create.json"))
		if _, err := adapter.Create(context.Background(), lossless.Credential(), parsed.Change); err != nil {
			t.Fatal(err)
		}
		if sent.Method != "POST" || sent.Path != "/agents" || !normalize.Equal(sent.Body, lossless.File(t, sample)) {
			t.Errorf("%s: %s %s %s", sample, sent.Method, sent.Path, sent.Body)
		}
	}
	f(`{"name": "Sales Bot", "architecture": "pipeline", "model": {"id": "gpt-4o", "temperature": 0.7}, "stt": {"provider": "deepgram"}, "tts": {"provider": "cartesia"},
		"voice": {"id": "some-cartesia-voice-id"}, "system_prompt": "You are a helpful sales agent for Acme Corp...", "language": "en", "visibility": "private"}`, "create_pipeline_request.json")
	f(`{"name": "Low Latency Support", "architecture": "realtime", "realtime": {"provider": "openai"}, "voice": {"id": "alloy"},
		"system_prompt": "You are a support agent...", "language": "en", "visibility": "public"}`, "create_realtime_request.json")
	f(`{"name": "Support Chatbot", "architecture": "text", "model": {"id": "gpt-4o-mini"}, "system_prompt": "You are a helpful support assistant...", "language": "en", "visibility": "public"}`, "create_text_request.json")

	parsed, _, err := normalize.ParseBody([]byte(`{"system_prompt": "Updated instructions...", "model": {"temperature": 0.5}, "status": "active"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, reply := range []string{"", `{"success": true}`, `{"success": true, "data": {"agent": {}}}`} {
		adapter, sent := lossless.Recording(Provider, 200, []byte(reply))
		if err := adapter.Update(context.Background(), lossless.Credential(), "agent_abc123", parsed.Change); err != nil {
			t.Fatal(err)
		}
		if sent.Method != "PATCH" || sent.Path != "/agents/agent_abc123" || !normalize.Equal(sent.Body, lossless.File(t, "update_request.json")) {
			t.Errorf("%s %s %s", sent.Method, sent.Path, sent.Body)
		}
	}
	adapter, sent := lossless.Recording(Provider, 200, lossless.File(t, "delete.json"))
	if err := adapter.Delete(context.Background(), lossless.Credential(), "agent_abc123"); err != nil || sent.Method != "DELETE" {
		t.Errorf("%v %s", err, sent.Method)
	}
}

func TestFailure(t *testing.T) {
	f := func(status int, path string, kind normalize.Kind, code string) {
		t.Helper()
		_, err := lossless.Answering(Provider, status, lossless.File(t, path)).Get(context.Background(), lossless.Credential(), "x")
		failure, ok := err.(*normalize.Error)
		if !ok || failure.Kind != kind || failure.Code != code {
			t.Errorf("%s: %#v", path, err)
		}
	}
	f(404, "error_404.json", normalize.KindNotFound, "NOT_FOUND")
	f(429, "error_429.json", normalize.KindRateLimited, "RATE_LIMITED")
	f(500, "error_generic.json", normalize.KindUpstream, "ERROR_CODE")
	f(200, "error_generic.json", normalize.KindFailureReply, "")
}

func FuzzList(f *testing.F) {
	lossless.Fuzz(f, Provider, adapters.OpList, "list.json", "list_page2_of_2.json", "endpoint_pages/list.json")
}

func FuzzGet(f *testing.F) {
	lossless.Fuzz(f, Provider, adapters.OpGet, "get.json", "endpoint_pages/get.json", "endpoint_pages/update.json")
}

func FuzzCreated(f *testing.F) {
	lossless.Fuzz(f, Provider, adapters.OpCreate, "create.json", "endpoint_pages/create.json")
}

// TestList_WalkIsBounded: in agents and in bytes, all pages together.
func TestList_WalkIsBounded(t *testing.T) {
	f := func(name string, rows, size int) {
		t.Helper()
		pages := 0
		adapter := Provider.New(adapters.Settings{Backend: "b", RoundTrip: func(_ context.Context, req *adapters.Request) error {
			pages++
			var page bytes.Buffer
			value := bytes.Repeat([]byte("x"), size)
			for i := range rows {
				fmt.Fprintf(&page, `{"id": "a%d-%d", "x": "%s"},`, pages, i, value)
			}
			return req.Receive(adapters.Response{Status: 200, Body: fmt.Appendf(nil, `{"success": true, "data": [%s], "pagination": {"page": %d, "hasNext": true}}`, bytes.TrimSuffix(page.Bytes(), []byte(",")), pages)})
		}})
		adapter.(*Adapter).maxBytes /= 64 // else it is long work
		_, err := adapter.List(context.Background(), lossless.Credential())
		if normalize.KindOf(err) != normalize.KindTooLarge || pages > 10 {
			t.Errorf("%s: %v after %d pages", name, err, pages)
		}
	}
	f("many small agents", 5000, 0)
	f("few large ones", 2, 13<<13)
}
