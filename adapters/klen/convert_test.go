package klen

import (
	"context"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/test/lossless"
)

var places = lossless.Mapping{
	"/id":             lossless.Place{Core: "/native_id", As: lossless.Quoted("").As},
	"/assistant_id":   lossless.Place{Core: "/alternate_ids/0", As: func(v jsontext.Value) jsontext.Value { return jsontext.Value(`"b:` + string(v[1:])) }},
	"/name":           lossless.At("/name"),
	"/role":           lossless.Words("/direction", map[string]string{`"inbound agent"`: `"inbound"`, `"outbound agent"`: `"outbound"`}),
	"/phone_number":   lossless.At("/phone/number"),
	"/minutes_used":   lossless.At("/usage/minutes"),
	"/total_calls":    lossless.At("/usage/calls"),
	"/model":          lossless.At("/model/id"),
	"/voice_id":       lossless.At("/voice/id"),
	"/can_make_calls": lossless.At("/phone/can_call"),
	"/team_id":        lossless.Quoted("/owner/team_id"),
}

func TestSamples_EveryValueIsAccountedFor(t *testing.T) {
	lossless.EveryFile(t, map[string]string{
		"list.json":                              lossless.Agents,
		"list_unassigned.json":                   lossless.Agents,
		"list_empty.json":                        lossless.Envelope,
		"error_401_invalid_key.json":             lossless.Envelope,
		"error_401_authentication_required.json": lossless.Envelope,
		"error_403_permission_denied.json":       lossless.Envelope,
		"error_429_rate_limit_exceeded.json":     lossless.Envelope,
		"error_500_server_error.json":            lossless.Envelope,
	})
}

func TestSamples_Lossless(t *testing.T) {
	f := func(path string, want int) {
		t.Helper()
		data := lossless.File(t, path)
		agents := lossless.List(t, Provider, data)
		if len(agents) != want {
			t.Fatalf("%s has %d agents, want %d", path, len(agents), want)
		}
		for i, a := range agents {
			lossless.Check(t, lossless.Part(t, data, "/agents/"+string(rune('0'+i))), a, places)
		}
	}
	f("list.json", 2)
	f("list_unassigned.json", 1)
	f("list_empty.json", 0)
}

func TestUnknownMembers_Lossless(t *testing.T) {
	agent := lossless.Part(t, lossless.File(t, "list.json"), "/agents/0")
	check := func(t *testing.T, payload jsontext.Value) {
		t.Helper()
		lossless.Check(t, payload, lossless.List(t, Provider, lossless.Wrap(`{"agents": [AGENT]}`, payload))[0], places)
	}
	for name, members := range lossless.Additions {
		t.Run(name, func(t *testing.T) { check(t, lossless.With(t, agent, members)) })
	}
	for member, value := range map[string]string{
		"id": "9007199254740993", "minutes_used": "345.50", "total_calls": "18446744073709551617", "role": `"video agent"`, "phone_number": `""`, "team_id": "0",
	} {
		t.Run(member+"="+value, func(t *testing.T) { check(t, lossless.Replace(t, agent, member, value)) })
	}
}

func TestList_IgnoresPagingMembers(t *testing.T) {
	if got := len(lossless.List(t, Provider, []byte(`{"agents": [], "count": 0, "page": 1, "limit": 10, "pages": 0}`))); got != 0 {
		t.Errorf("%d agents", got)
	}
}

func TestList_UndocumentedShape(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		_, err := lossless.Answering(Provider, 200, []byte(body)).List(context.Background(), lossless.Credential())
		if err == nil || err.Error() != "klen list: "+want {
			t.Errorf("%s: %v", body, err)
		}
	}
	f(`{}`, "wrong_shape (status 200): /agents is missing")
	f(`{"agents": {}}`, "wrong_shape (status 200): /agents has the wrong JSON type: want an array")
	f(`[]`, "wrong_shape (status 200): the body has the wrong JSON type: an array")
	f(`{"success": false, "agents": []}`, "failure_reply (status 200): the reply says success:false")
	f(`<html>`, "bad_response (status 200): not valid JSON at byte 0")
	f(``, "bad_response (status 200): the body is empty")
	f(`{"agents": []} x`, "bad_response (status 200): not valid JSON at byte 15")
	f(`{"agents": {}} x`, "bad_response (status 200): /agents has the wrong JSON type: want an array")
}

// TestList_UnreadableRows: a row that cannot be an agent is left out, and the list is partial.
func TestList_UnreadableRows(t *testing.T) {
	for row, want := range map[string]string{
		`7`:    "no agent: /agents/1 is a number, not an object",
		`null`: "no agent: /agents/1 is null, not an object",
		`{"id": 2, "x": ` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`: "no agent: /agents/1 nests deeper than 100 levels",
		`{"name": "x"}`:               "no agent: /agents/1/id is missing",
		`{"id": null}`:                "no agent: /agents/1/id is missing",
		`{"id": [2]}`:                 "no agent: /agents/1/id is an array, not an id",
		`{"id": "` + "\\ud800" + `"}`: "no agent: /agents/1/id is not valid Unicode",
	} {
		listing, err := lossless.Answering(Provider, 200, []byte(`{"agents": [{"id": 1}, `+row+`, {"id": 3}]}`)).List(context.Background(), lossless.Credential())
		if err != nil || len(listing.Agents) != 2 || len(listing.Warnings) != 1 {
			t.Errorf("%s: %v, %d agents, %v", row, err, len(listing.Agents), listing.Warnings)
			continue
		}
		if w := listing.Warnings[0]; w.Code != normalize.WarnUnreadableRow || w.Pointer != "/agents/1" || w.Message != want {
			t.Errorf("%s: %+v", row, w)
		}
		if listing.Partial == nil || listing.Partial.Message != "1 of 3 rows cannot be read" {
			t.Errorf("%s: partial: %v", row, listing.Partial)
		}
	}
}

func TestFailure_Codes(t *testing.T) {
	f := func(status int, path string, kind normalize.Kind, code string) {
		t.Helper()
		_, err := lossless.Answering(Provider, status, lossless.File(t, path)).List(context.Background(), lossless.Credential())
		failure, ok := err.(*normalize.Error)
		if !ok || failure.Kind != kind || failure.Code != code || failure.Status != status {
			t.Errorf("%s: %#v", path, err)
		}
	}
	f(401, "error_401_invalid_key.json", normalize.KindAuth, "invalid_key")
	f(401, "error_401_authentication_required.json", normalize.KindAuth, "authentication_required")
	f(403, "error_403_permission_denied.json", normalize.KindAuth, "permission_denied")
	f(429, "error_429_rate_limit_exceeded.json", normalize.KindRateLimited, "rate_limit_exceeded")
	f(500, "error_500_server_error.json", normalize.KindUpstream, "server_error")
}

func FuzzList(f *testing.F) {
	lossless.Fuzz(f, Provider, adapters.OpList, "list.json", "list_unassigned.json", "list_empty.json")
}
