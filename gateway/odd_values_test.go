package gateway

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/sandbox"
)

// oddValues are values that no provider documents for all its members, with the warning
// that they may cause. The duplicate is a member that stands twice.
var oddValues = map[string]string{
	"string":         `"odd"`,
	"number":         `7.5`,
	"integer":        `9007199254740993`,
	"true":           `true`,
	"object":         `{"deep": [1]}`,
	"array":          `["a", {"b": 1}]`,
	"null":           `null`,
	"lone surrogate": `"a\ud800b"`,
	"not UTF-8":      "\"a\xffb\"",
	"100 KB":         `"` + strings.Repeat("x", 100<<10) + `"`,
	"duplicate":      ``,
}

// changeRow returns a change of a response: one member of the first object that has an id.
func changeRow(t *testing.T, member, value string) func([]byte) []byte {
	return func(body []byte) []byte {
		object := firstRow(body)
		if object == nil {
			t.Errorf("no agent in %.200s", body)
			return body
		}
		changed := `{`
		for name, v := range normalize.EachMember(object) {
			text := string(v)
			if name == member {
				if text = value; value == "" {
					text = string(v) + `,"` + name + `":` + string(v)
				}
			}
			changed += fmt.Sprintf("%q:%s,", name, text)
		}
		return []byte(strings.Replace(string(body), string(object), strings.TrimSuffix(changed, ",")+`}`, 1))
	}
}

// firstRow returns the first object in a JSON text that has an id.
func firstRow(value jsontext.Value) jsontext.Value {
	switch value.Kind() {
	case '{':
		members := normalize.Members(value)
		if members["id"] != nil || members["agent_id"] != nil {
			return value
		}
		for _, member := range normalize.EachMember(value) {
			if row := firstRow(member); row != nil {
				return row
			}
		}
	case '[':
		for _, item := range normalize.Items(value) {
			return firstRow(item)
		}
	}
	return nil
}

// TestOddValues: whatever one member of one row is, the list has all rows that can be read,
// the agent itself can be read, the breaker stays closed, and another tenant notices nothing.
func TestOddValues(t *testing.T) {
	t.Parallel()
	for _, backend := range []string{"klen", "agenthuman", "krosai", "talkifai"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "breaker: {consecutive: 2, min_requests: 4, failure_ratio: 0.5}")
			list := "/v1/agents?include=raw&backend=" + backend
			before := b.get(list)
			rows := firstRow(jsontext.Value(b.rawList(backend)))
			agent := before.ids()[0]
			for member := range normalize.EachMember(rows) {
				for name, value := range oddValues {
					b.vendors[backend].Control().Fail(sandbox.Fault{Method: "GET", Change: changeRow(t, member, value)})
					got := b.get(list, "Cache-Control: no-cache").wants(t, 200, "")
					b.checkOddList(t, got, before, backend, member, name)
					if got := b.get("/v1/agents/"+agent, "Cache-Control: no-cache"); got.StatusCode != 200 && !(isID(member) && (got.StatusCode == 502 || got.StatusCode == 404)) {
						t.Errorf("%s %s, get: %d %s", member, name, got.StatusCode, got.text)
					}
					b.vendors[backend].Control().Heal()
				}
			}
			if got := b.get("/v1/backends/" + backend).at("breaker.state"); got != "closed" {
				t.Errorf("the breaker is %v", got)
			}
			if got := b.get(list, "Cache-Control: no-cache"); got.source(backend)["status"] != "ok" || len(got.ids()) != len(before.ids()) {
				t.Errorf("healed: %v", got.source(backend))
			}
		})
	}
}

// rawList returns the provider's list as acme's account sees it.
func (b *bench) rawList(backend string) []byte {
	b.t.Helper()
	var raw []byte
	b.vendors[backend].Control().Fail(sandbox.Fault{Method: "GET", Times: 1, Change: func(body []byte) []byte { raw = slices.Clone(body); return body }})
	b.get("/v1/agents?backend="+backend, "Cache-Control: no-cache").wants(b.t, 200, "")
	return raw
}

// isID reports whether a member is an agent's own id.
func isID(member string) bool { return member == "id" || member == "agent_id" }

func (b *bench) checkOddList(t *testing.T, got, before reply, backend, member, value string) {
	t.Helper()
	name := member + " " + value
	source, warnings := got.source(backend), fmt.Sprint(got.body["warnings"])
	switch missing := len(before.ids()) - len(got.ids()); {
	case missing == 0 && source["status"] == "ok" && got.body["complete"] == true:
	case missing == 1 && source["status"] == "partial" && strings.Contains(warnings, "unreadable_row") && isID(member):
	default:
		t.Errorf("%s: %d of %d agents, %v, warnings %s", name, len(got.ids()), len(before.ids()), source, warnings)
	}
	if value == "duplicate" && !strings.Contains(warnings, "duplicate_member") {
		t.Errorf("%s: warnings %s", name, warnings)
	}
	if value == "lone surrogate" && !strings.Contains(warnings, "unexpected_type") && !strings.Contains(warnings, "unreadable_row") {
		t.Errorf("%s: warnings %s", name, warnings)
	}
	if !json.Valid([]byte(got.text)) {
		t.Errorf("%s: the response is not JSON", name)
	}
}

// TestOddValues_AreExtensions: an odd value is null in the agent, and in its extensions as it came.
func TestOddValues_AreExtensions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ backend, member, value, field string }{
		{"krosai", "created_at", `1704067200000`, "created_at"},
		{"krosai", "knowledge_base_ids", `[1,2]`, "knowledge_base_ids"},
		{"krosai", "created_by", `5`, "owner.user_id"},
		{"krosai", "language", `["en"]`, "language"},
		{"klen", "phone_number", `15550100`, "phone.number"},
		{"klen", "can_make_calls", `1`, "phone.can_call"},
		{"klen", "model", `{"name":"m"}`, "model.id"},
		{"klen", "minutes_used", `"12.5"`, "usage.minutes"},
		{"klen", "team_id", `"t7"`, "owner.team_id"},
		{"talkifai", "active", `1`, "status"},
		{"talkifai", "createdAt", `1704067200`, "created_at"},
	} {
		t.Run(c.backend+" "+c.member, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "")
			b.vendors[c.backend].Control().Fail(sandbox.Fault{Method: "GET", Change: changeRow(t, c.member, c.value)})
			list := b.get("/v1/agents?backend="+c.backend).wants(t, 200, "")
			id := ""
			for i, agent := range list.ids() {
				path := fmt.Sprint("data.", i, ".")
				if list.at(path+"extensions."+c.member) == nil {
					continue
				}
				id = agent
				extension, err := json.Marshal(list.at(path + "extensions." + c.member))
				if err != nil || !normalize.Equal(extension, jsontext.Value(c.value)) || list.at(path+c.field) != nil {
					t.Errorf("extension %s, %s %v", extension, c.field, list.at(path+c.field))
				}
			}
			if id == "" || list.at("warnings.0.code") != "unexpected_type" || list.at("warnings.0.backend") != c.backend {
				t.Fatalf("%q, warnings %v", id, list.body["warnings"])
			}
			if path, _ := list.at("warnings.0.path").(string); !strings.HasSuffix(path, "/0/"+c.member) {
				t.Errorf("path %q", path)
			}
			one := b.get("/v1/agents/"+id).wants(t, 200, "")
			if one.at("warnings.0.code") != "unexpected_type" || one.at(c.field) != nil {
				t.Errorf("one agent: warnings %v, %s %v", one.body["warnings"], c.field, one.at(c.field))
			}
		})
	}
}

// TestEmptyLists: null for a list is an empty list.
func TestEmptyLists(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ backend, body string }{
		{"klen", `{"agents":null}`},
		{"agenthuman", `{"success":true,"agents":null}`},
		{"krosai", `null`},
		{"talkifai", `{"success":true,"data":null,"pagination":{"page":1,"total":0,"hasNext":false}}`},
		{"talkifai", `{"success":true,"data":{"agents":null,"count":0}}`},
	} {
		b := newBench(t, "")
		b.vendors[c.backend].Control().Fail(sandbox.Fault{Status: 200, Body: c.body})
		for range 6 {
			got := b.get("/v1/agents?backend="+c.backend, "Cache-Control: no-cache").wants(t, 200, "")
			if len(got.ids()) != 0 || got.body["complete"] != true {
				t.Errorf("%s: %s", c.body, got.text)
			}
		}
		if got := b.get("/v1/backends/" + c.backend).at("breaker.state"); got != "closed" {
			t.Errorf("the breaker is %v", got)
		}
	}
}

// TestFailureReplies: a list that says success:false has failed, at every provider.
func TestFailureReplies(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	for backend, body := range map[string]string{
		"klen": `{"success":false,"agents":[]}`, "agenthuman": `{"success":false,"agents":[]}`, "krosai": `{"success":false}`, "talkifai": `{"success":false,"data":[]}`,
	} {
		b.vendors[backend].Control().Fail(sandbox.Fault{Status: 200, Body: body})
		for range 6 {
			b.get("/v1/agents?backend="+backend, "Cache-Control: no-cache").wants(t, 502, "upstream_bad_response")
		}
		if got := b.get("/v1/backends/" + backend).at("breaker.state"); got != "closed" {
			t.Errorf("the breaker is %v", got)
		}
	}
}

// TestOneUnreadableAgent: what one agent is answered with says nothing about the others.
func TestOneUnreadableAgent(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	const agent = "/v1/agents/talkifai:agent_abc123"
	b.vendors["talkifai"].Control().Fail(sandbox.Fault{Path: "/v1/agents/agent_abc123", Method: "GET", Status: 200, Body: `{"success":true,"data":[]}`})
	for range 7 {
		b.get(agent, "Cache-Control: no-cache").wants(t, 502, "upstream_bad_response")
	}
	if got := b.get("/v1/backends/talkifai").at("breaker.state"); got != "closed" {
		t.Errorf("the breaker is %v", got)
	}
}

// TestAnotherAgent: a get that is answered with another agent fails, and nothing of it is kept.
func TestAnotherAgent(t *testing.T) {
	t.Parallel()
	for backend, ids := range map[string][2]string{"krosai": {"mine", `"other"`}, "talkifai": {"agent_mine", `"agent_other"`}, "agenthuman": {"123", "456"}} {
		b := newBench(t, "")
		agent := fmt.Sprintf(`{"id":%s,"name":"x"}`, ids[1])
		if backend == "talkifai" {
			agent = `{"success":true,"data":` + agent + `}`
		}
		b.vendors[backend].Control().Fail(sandbox.Fault{Path: b.vendors[backend].Prefix() + "/agents/" + ids[0], Status: 200, Body: agent, Times: 1})
		b.get("/v1/agents/"+backend+":"+ids[0]).wants(t, 502, "upstream_bad_response")
		if got := b.get("/v1/agents/" + backend + ":" + ids[0]); got.StatusCode == 200 && got.body["id"] != backend+":"+ids[0] {
			t.Errorf("kept: %s", got.text)
		}
	}
}
