package krosai

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/test/lossless"
)

var places = lossless.Mapping{
	"/id":                 lossless.At("/native_id"),
	"/name":               lossless.At("/name"),
	"/description":        lossless.At("/description"),
	"/system_prompt":      lossless.At("/system_prompt"),
	"/language":           lossless.At("/language"),
	"/voice_id":           lossless.At("/voice/id"),
	"/tts_provider":       lossless.At("/tts/provider"),
	"/stt_provider":       lossless.At("/stt/provider"),
	"/llm_model":          lossless.At("/model/id"),
	"/knowledge_base_ids": lossless.At("/knowledge_base_ids"),
	"/created_at":         lossless.At("/created_at"),
	"/updated_at":         lossless.At("/updated_at"),
	"/created_by":         lossless.At("/owner/user_id"),
}

// untimed: the type names in the documentation's samples, and any other text
// that is no RFC 3339 time, are kept as the provider's own.
var untimed = func() lossless.Mapping {
	m := lossless.Mapping{}
	for pointer, place := range places {
		if pointer != "/created_at" && pointer != "/updated_at" {
			m[pointer] = place
		}
	}
	return m
}()

func TestSamples_EveryValueIsAccountedFor(t *testing.T) {
	lossless.EveryFile(t, map[string]string{
		"list.json":                   lossless.Agents,
		"list_doc_types.json":         lossless.Agents,
		"get.json":                    lossless.Agents,
		"get_doc_types.json":          lossless.Agents,
		"create.json":                 lossless.Agents,
		"update.json":                 lossless.Agents,
		"create_request.json":         lossless.Request,
		"create_minimal_request.json": lossless.Request,
		"update_request.json":         lossless.Request,
		"delete.json":                 lossless.Envelope,
		"error_404_detail.json":       lossless.Envelope,
		"error_429.json":              lossless.Envelope,
		"voice_session.json":          lossless.NotOurs,
	})
}

func TestSamples_Lossless(t *testing.T) {
	for _, path := range []string{"list.json", "list_doc_types.json"} {
		mapping := places
		if path == "list_doc_types.json" {
			mapping = untimed
		}
		data := lossless.File(t, path)
		for i, a := range lossless.List(t, Provider, data) {
			lossless.Check(t, lossless.Part(t, data, fmt.Sprintf("/%d", i)), a, mapping)
		}
	}
	for path, mapping := range map[string]lossless.Mapping{"get.json": places, "update.json": places, "create.json": places, "get_doc_types.json": untimed} {
		lossless.Check(t, lossless.File(t, path), lossless.Get(t, Provider, lossless.File(t, path)), mapping)
	}
	lossless.Check(t, lossless.File(t, "create.json"), lossless.Created(t, Provider, lossless.File(t, "create.json")), places)
}

func TestUnknownMembers_Lossless(t *testing.T) {
	agent := jsontext.Value(lossless.File(t, "get.json"))
	for name, members := range lossless.Additions {
		t.Run(name, func(t *testing.T) {
			payload := lossless.With(t, agent, members)
			lossless.Check(t, payload, lossless.Get(t, Provider, payload), places)
			lossless.Check(t, payload, lossless.List(t, Provider, lossless.Wrap("[AGENT]", payload))[0], places)
		})
	}
	for member, value := range map[string]string{"description": `""`, "knowledge_base_ids": `[]`, "created_at": `"2024-03-10T12:00:00.123456789+02:00"`} {
		payload := lossless.Replace(t, agent, member, value)
		lossless.Check(t, payload, lossless.Get(t, Provider, payload), places)
	}
	naive := lossless.Replace(t, lossless.Replace(t, agent, "created_at", `"2024-03-10T12:00:00"`), "updated_at", `"10 March"`)
	lossless.Check(t, naive, lossless.Get(t, Provider, naive), untimed)
}

// TestWrites_RequestBodies compares the requests with the provider's samples.
func TestWrites_RequestBodies(t *testing.T) {
	body, violations, err := normalize.ParseBody([]byte(`{
		"name": "Product Expert", "description": "Helps users with product information and recommendations",
		"system_prompt": "You are a product expert. Keep answers short and accurate.", "language": "en", "voice": {"id": "nova"},
		"tts": {"provider": "krosaimlingual"}, "stt": {"provider": "krosaimlingual"}, "model": {"id": "krosaimlingual"}, "knowledge_base_ids": ["kb-product-catalog"]}`))
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

	minimal, _, err := normalize.ParseBody([]byte(`{"name": "Product Expert"}`))
	if err != nil || info.CheckCreate(minimal.Change) != nil {
		t.Fatal(err)
	}
	if _, err := adapter.Create(context.Background(), lossless.Credential(), minimal.Change); err != nil || !normalize.Equal(sent.Body, lossless.File(t, "create_minimal_request.json")) {
		t.Errorf("%v %s", err, sent.Body)
	}

	body, _, err = normalize.ParseBody([]byte(`{"name": "Senior Product Expert", "voice": {"id": "echo"}, "knowledge_base_ids": ["kb-product-catalog", "kb-technical-docs"],
		"system_prompt": "You are a senior product expert for KrosAI with deep technical knowledge..."}`))
	if err != nil {
		t.Fatal(err)
	}
	adapter, sent = lossless.Recording(Provider, 200, lossless.File(t, "update.json"))
	if err := adapter.Update(context.Background(), lossless.Credential(), "a/b c", body.Change); err != nil {
		t.Fatal(err)
	}
	if sent.Method != "PUT" || sent.Path != "/agents/a%2Fb%20c" || !normalize.Equal(sent.Body, lossless.File(t, "update_request.json")) {
		t.Errorf("%s %s %s", sent.Method, sent.Path, sent.Body)
	}

	adapter, sent = lossless.Recording(Provider, 200, lossless.File(t, "delete.json"))
	if err := adapter.Delete(context.Background(), lossless.Credential(), "x"); err != nil || sent.Method != "DELETE" || sent.Body != nil {
		t.Errorf("%v %s %s", err, sent.Method, sent.Body)
	}
}

func TestFailure(t *testing.T) {
	f := func(status int, body string, kind normalize.Kind, code string, wait time.Duration) {
		t.Helper()
		_, err := lossless.Answering(Provider, status, []byte(body)).Get(context.Background(), lossless.Credential(), "x")
		failure, ok := err.(*normalize.Error)
		if !ok || failure.Kind != kind || failure.Code != code || failure.RetryAfter != wait {
			t.Errorf("%d %s: %#v", status, body, err)
		}
	}
	f(404, string(lossless.File(t, "error_404_detail.json")), normalize.KindNotFound, "", 0)
	f(429, string(lossless.File(t, "error_429.json")), normalize.KindRateLimited, "RATE_LIMIT_EXCEEDED", 1500*time.Millisecond)
	f(400, `{"detail": [{"loc": ["body", "name"], "msg": "field required"}]}`, normalize.KindRejected, "", 0)
	f(500, `<html>oops</html>`, normalize.KindUpstream, "", 0)
	f(503, ``, normalize.KindUnavailable, "", 0)
	f(403, `"text"`, normalize.KindAuth, "", 0)
	f(302, ``, normalize.KindRedirect, "", 0)
	f(429, `{"retry_after": "soon", "code": "the key kros_live_1 is over its limit"}`, normalize.KindRateLimited, "", 0)
	f(200, `null`, normalize.KindWrongShape, "", 0)
	f(200, `{"id": ""}`, normalize.KindWrongShape, "", 0)
	f(200, `{"id": [7]}`, normalize.KindWrongShape, "", 0)
	f(200, `{"success": false}`, normalize.KindFailureReply, "", 0)
}

func FuzzList(f *testing.F) {
	lossless.Fuzz(f, Provider, adapters.OpList, "list.json", "list_doc_types.json")
}

func FuzzGet(f *testing.F) {
	lossless.Fuzz(f, Provider, adapters.OpGet, "get.json", "get_doc_types.json", "update.json")
}

func FuzzCreated(f *testing.F) { lossless.Fuzz(f, Provider, adapters.OpCreate, "create.json") }
