package agenthuman

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/test/lossless"
)

// listed is where the members of a list's row, and of what a create answers,
// stand.
var listed = lossless.Mapping{
	"/agent_id":        lossless.Quoted("/native_id"),
	"/name":            lossless.At("/name"),
	"/avatar_id":       lossless.Quoted("/avatar/id"),
	"/language":        lossless.At("/language"),
	"/custom_greeting": lossless.At("/greeting"),
	"/context":         lossless.At("/system_prompt"),
	"/status":          lossless.At("/status"),
	"/created_at":      lossless.At("/created_at"),
	"/updated_at":      lossless.At("/updated_at"),
	"/last_used_at":    lossless.At("/usage/last_used_at"),
	"/total_sessions":  lossless.At("/usage/sessions"),
	"/avg_duration":    lossless.At("/usage/avg_duration_s"),
	"/avatar_name":     lossless.At("/avatar/name"),
	"/avatar_url":      lossless.At("/avatar/url"),
	"/voice_id":        lossless.At("/avatar/voice_id"),
}

// detailed is where the members of a get stand: its voice_id is another thing.
var detailed = func() lossless.Mapping {
	m := maps.Clone(listed)
	delete(m, "/agent_id")
	m["/id"] = lossless.Quoted("/native_id")
	m["/user_id"] = lossless.Quoted("/owner/user_id")
	m["/voice_id"] = lossless.Quoted("/voice/id")
	return m
}()

// newer is where the members of the agnt_ generation stand.
var newer = lossless.Mapping{
	"/agent_id":         lossless.At("/native_id"),
	"/name":             lossless.At("/name"),
	"/avatar_image_url": lossless.At("/avatar/url"),
	"/created_at":       lossless.At("/created_at"),
}

func TestSamples_EveryValueIsAccountedFor(t *testing.T) {
	lossless.EveryFile(t, map[string]string{
		"list.json":                   lossless.Agents,
		"list_no_voice.json":          lossless.Agents,
		"get.json":                    lossless.Agents,
		"create.json":                 lossless.Agents,
		"current/agent.json":          lossless.Agents,
		"current/create.json":         lossless.Agents,
		"current/update.json":         lossless.Agents,
		"create_request.json":         lossless.Request,
		"update_request.json":         lossless.Request,
		"update.json":                 lossless.Envelope,
		"get_404.json":                lossless.Envelope,
		"update_404.json":             lossless.Envelope,
		"error_generic.json":          lossless.Envelope,
		"error_429.json":              lossless.Envelope,
		"current/delete.json":         lossless.Envelope,
		"current/error_400.json":      lossless.Envelope,
		"current/error_401.json":      lossless.Envelope,
		"current/error_403.json":      lossless.Envelope,
		"current/error_404.json":      lossless.Envelope,
		"current/error_standard.json": lossless.Envelope,
		"current/error_usage.json":    lossless.Envelope,
		"avatars_list.json":           lossless.NotOurs,
		"current/avatars_list.json":   lossless.NotOurs,
		"current/create_request.json": lossless.NotOurs,
		"current/update_request.json": lossless.NotOurs,
	})
}

func TestSamples_Lossless(t *testing.T) {
	for _, path := range []string{"list.json", "list_no_voice.json"} {
		data := lossless.File(t, path)
		for i, a := range lossless.List(t, Provider, data) {
			lossless.Check(t, lossless.Part(t, data, fmt.Sprintf("/agents/%d", i)), a, listed)
		}
	}
	lossless.Check(t, lossless.File(t, "get.json"), lossless.Get(t, Provider, lossless.File(t, "get.json")), detailed)
	lossless.Check(t, lossless.Part(t, lossless.File(t, "create.json"), "/agent"), lossless.Created(t, Provider, lossless.File(t, "create.json")), listed)
}

func TestSamples_NewerGenerationLossless(t *testing.T) {
	agent := jsontext.Value(lossless.File(t, "current/agent.json"))
	lossless.Check(t, agent, lossless.Get(t, Provider, agent), newer)
	lossless.Check(t, agent, lossless.List(t, Provider, lossless.Wrap(`{"success": true, "agents": [AGENT]}`, agent))[0], newer)
	for _, path := range []string{"current/create.json", "current/update.json"} {
		data := lossless.File(t, path)
		lossless.Check(t, lossless.Part(t, data, "/agent"), lossless.Created(t, Provider, data), newer)
		lossless.Check(t, lossless.Part(t, data, "/agent"), lossless.Get(t, Provider, data), newer)
	}
	a := lossless.Get(t, Provider, agent)
	if a.Unavailable != newerUnavailable || a.NotLoaded != 0 {
		t.Errorf("unavailable %v, not loaded %v", a.Unavailable.Names(), a.NotLoaded.Names())
	}
	if got := string(a.Extension("voice_agent")); got == "" {
		t.Error("voice_agent is not an extension")
	}
}

func TestUnknownMembers_Lossless(t *testing.T) {
	row := lossless.Part(t, lossless.File(t, "list.json"), "/agents/0")
	detail := jsontext.Value(lossless.File(t, "get.json"))
	for name, members := range lossless.Additions {
		t.Run(name, func(t *testing.T) {
			payload := lossless.With(t, row, members)
			lossless.Check(t, payload, lossless.List(t, Provider, lossless.Wrap(`{"success": true, "agents": [AGENT]}`, payload))[0], listed)
			payload = lossless.With(t, detail, members)
			lossless.Check(t, payload, lossless.Get(t, Provider, payload), detailed)
		})
	}
	for member, value := range map[string]string{
		"id": "9007199254740993", "user_id": "0", "voice_id": "null", "avatar_id": "null", "avg_duration": "345.50",
		"properties": `{"a": [1.0, {"B": null}]}`, "last_used_at": "null", "status": `"paused"`,
	} {
		t.Run(member+"="+value, func(t *testing.T) {
			payload := lossless.Replace(t, detail, member, value)
			lossless.Check(t, payload, lossless.Get(t, Provider, payload), detailed)
		})
	}
	// A get that has the list's key for the id beside its own.
	both := lossless.With(t, detail, `{"agent_id": 7}`)
	lossless.Check(t, both, lossless.Get(t, Provider, both), detailed)
	// A row that has both of the avatar's pictures.
	both = lossless.With(t, row, `{"avatar_image_url": "https://x.example/y"}`)
	lossless.Check(t, both, lossless.List(t, Provider, lossless.Wrap(`{"agents": [AGENT]}`, both))[0], listed)
}

func TestFieldSets_PerView(t *testing.T) {
	f := func(what string, got normalize.FieldSet, want ...string) {
		t.Helper()
		if fmt.Sprint(got.Names()) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", what, got.Names(), want)
		}
	}
	row := lossless.List(t, Provider, lossless.File(t, "list.json"))[0]
	detail := lossless.Get(t, Provider, lossless.File(t, "get.json"))
	f("row", row.NotLoaded, "voice", "owner.user_id")
	f("detail", detail.NotLoaded, "avatar.name", "avatar.url", "avatar.voice_id")
	joined := normalize.Join(detail, row)
	f("joined", joined.NotLoaded)
	f("joined, never shown", joined.Unavailable, "description", "architecture", "direction", "visibility", "model", "stt", "tts", "realtime", "phone", "knowledge_base_ids", "tools", "owner.team_id", "usage.calls", "usage.minutes")
	if *joined.Avatar.Name != "Professional Avatar" || *joined.Voice.ID != "2" || *joined.Avatar.VoiceID != "21m00Tcm4TlvDq8ikWAM" || *joined.Avatar.ID != "1" {
		t.Errorf("joined: %+v %+v", joined.Avatar, joined.Voice)
	}
	if detail.Avatar.Name != nil {
		t.Error("the join changed the detail that others share")
	}
}

func TestWrites_RequestBodies(t *testing.T) {
	body, violations, err := normalize.ParseBody([]byte(`{
		"name": "Sales Support Agent", "avatar": {"id": "1"}, "language": "en", "greeting": "Welcome! How can I assist you today?",
		"system_prompt": "You are a helpful sales assistant specializing in software products.", "extensions": {"properties": {"department": "sales"}}}`))
	if err != nil || violations != nil || info.CheckCreate(body.Change) != nil {
		t.Fatalf("%v %v %v", err, violations, info.CheckCreate(body.Change))
	}
	adapter, sent := lossless.Recording(Provider, 201, lossless.File(t, "create.json"))
	if _, err := adapter.Create(context.Background(), lossless.Credential(), body.Change); err != nil {
		t.Fatal(err)
	}
	if sent.Method != "POST" || sent.Path != "/agents" || !normalize.Equal(sent.Body, lossless.File(t, "create_request.json")) {
		t.Errorf("%s %s %s", sent.Method, sent.Path, sent.Body)
	}

	body, _, err = normalize.ParseBody([]byte(`{"name": "Updated Sales Support Agent", "greeting": "Hello! How may I assist you?", "system_prompt": "You are an expert sales assistant."}`))
	if err != nil {
		t.Fatal(err)
	}
	adapter, sent = lossless.Recording(Provider, 200, lossless.File(t, "update.json"))
	if err := adapter.Update(context.Background(), lossless.Credential(), "123", body.Change); err != nil {
		t.Fatal(err)
	}
	if sent.Method != "PUT" || sent.Path != "/agents/123" || !normalize.Equal(sent.Body, lossless.File(t, "update_request.json")) {
		t.Errorf("%s %s %s", sent.Method, sent.Path, sent.Body)
	}
}

func TestDelete_AcceptsAny2xx(t *testing.T) {
	f := func(status int, body string) {
		t.Helper()
		if err := lossless.Answering(Provider, status, []byte(body)).Delete(context.Background(), lossless.Credential(), "123"); err != nil {
			t.Errorf("%d %q: %v", status, body, err)
		}
	}
	f(204, "")
	f(200, "")
	f(200, string(lossless.File(t, "current/delete.json")))
}

func TestNativeIDs(t *testing.T) {
	for _, id := range []string{"", ".", "..", "1/2", "1%2F2", "-1", "01", "1.0", "1e3", "abc", "agnt_", "agnt_a/b", "99999999999999999999", "123 "} {
		if info.AcceptsNativeID(id) {
			t.Errorf("%q is accepted", id)
		}
	}
	adapter, sent := lossless.Recording(Provider, 200, lossless.File(t, "get.json"))
	for _, id := range []string{"0", "123", "9007199254740993", "agnt_01J8ZK4R2N5M6P7Q8W4T"} {
		if _, err := adapter.Get(context.Background(), lossless.Credential(), id); err != nil || sent.Path != "/agents/"+id || !info.AcceptsNativeID(id) {
			t.Errorf("%q: %v, sent %s", id, err, sent.Path)
		}
	}
}

func TestFailure(t *testing.T) {
	f := func(status int, path string, kind normalize.Kind, code string) {
		t.Helper()
		_, err := lossless.Answering(Provider, status, lossless.File(t, path)).Get(context.Background(), lossless.Credential(), "1")
		failure, ok := err.(*normalize.Error)
		if !ok || failure.Kind != kind || failure.Code != code {
			t.Errorf("%s: %#v", path, err)
		}
	}
	f(404, "get_404.json", normalize.KindNotFound, "")
	f(404, "update_404.json", normalize.KindNotFound, "")
	f(429, "error_429.json", normalize.KindRateLimited, "")
	f(500, "error_generic.json", normalize.KindUpstream, "")
	f(400, "current/error_400.json", normalize.KindRejected, "")
	f(401, "current/error_401.json", normalize.KindAuth, "")
	f(403, "current/error_403.json", normalize.KindAuth, "")
	f(404, "current/error_404.json", normalize.KindNotFound, "")
	f(500, "current/error_standard.json", normalize.KindUpstream, "")
	f(402, "current/error_usage.json", normalize.KindRejected, "INSUFFICIENT_MINUTES")
	f(200, "error_generic.json", normalize.KindFailureReply, "")
}

func FuzzList(f *testing.F) {
	lossless.Fuzz(f, Provider, adapters.OpList, "list.json", "list_no_voice.json")
}

func FuzzGet(f *testing.F) {
	lossless.Fuzz(f, Provider, adapters.OpGet, "get.json", "current/agent.json", "current/update.json")
}

func FuzzCreated(f *testing.F) {
	lossless.Fuzz(f, Provider, adapters.OpCreate, "create.json", "current/create.json")
}
