package gateway

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestFilters_MatchAndReportUnfiltered(t *testing.T) {
	b := newBench(t, "")
	f := func(query, wantIDs, wantUnfiltered string) {
		t.Helper()
		r := b.get("/v1/agents?"+query).wants(t, 200, "")
		var unfiltered []string
		complete := true
		count := 0.0
		for _, s := range r.body["sources"].([]any) {
			s := s.(map[string]any)
			if names, ok := s["unfiltered"].([]any); ok {
				unfiltered = append(unfiltered, fmt.Sprintf("%s%v", s["backend"], names))
				if s["status"] != "ok" || s["error"] != nil {
					t.Errorf("%s: an unfiltered source is %v %v", query, s["status"], s["error"])
				}
			}
			complete = complete && s["status"] == "ok"
			count += s["count"].(float64)
		}
		if got := strings.Join(r.ids(), " "); got != wantIDs || strings.Join(unfiltered, " ") != wantUnfiltered {
			t.Errorf("%s: %s, unfiltered %v, want %s, %s", query, got, unfiltered, wantIDs, wantUnfiltered)
		}
		if r.body["complete"] != complete || (r.Header.Get("X-Agentgw-Complete") == "false") == complete {
			t.Errorf("%s: complete %v, header %q", query, r.body["complete"], r.Header.Get("X-Agentgw-Complete"))
		}
		if !strings.Contains(query, "limit") && count != float64(len(r.ids())) {
			t.Errorf("%s: counts of %v, %d agents", query, count, len(r.ids()))
		}
	}
	f("status=archived", "agenthuman:140", "klen[status] krosai[status]")
	f("status=inactive,archived", "agenthuman:140 talkifai:agent_def456", "klen[status] krosai[status]")
	f("status=archived&provider=agenthuman", "agenthuman:140", "")
	f("architecture=text,realtime&backend=talkifai", "talkifai:agent_def456 talkifai:agent_ghi789", "")
	f("direction=outbound&backend=klen", "klen:789 klen:812", "")
	f("visibility=private&backend=talkifai", "talkifai:agent_def456 talkifai:agent_mno345", "")
	f("language=de,fr&backend=agenthuman,krosai", "agenthuman:124 krosai:c3d4e5f6-a7b8-4012-8def-ab3456789012", "")
	f("language=en&backend=talkifai", "", "talkifai[language]")
	f("modality=avatar", "agenthuman:123 agenthuman:124 agenthuman:131 agenthuman:140", "")
	f("modality=avatar,avatar", "agenthuman:123 agenthuman:124 agenthuman:131 agenthuman:140", "")
	f("modality=text,avatar&status=archived", "agenthuman:140", "") // klen's agents have another modality, whatever their status
	f("q=ASSISTANT_ABC", "klen:123", "")
	f("q=klen:8", "klen:812 klen:845", "")
	f("q=nothing-has-this", "", "")
	f("status=nothing-has-this&backend=agenthuman", "", "")
}

// TestFilters_DoNotMakeAListIncomplete: a filter on a field that a provider does not have is a
// warning. Only a failed read makes a list incomplete.
func TestFilters_DoNotMakeAListIncomplete(t *testing.T) {
	b := newBench(t, "")
	r := b.get("/v1/agents?status=active&require=all").wants(t, 200, "")
	var warned []string
	for _, w := range r.body["warnings"].([]any) {
		warned = append(warned, fmt.Sprint(w.(map[string]any)["code"], w.(map[string]any)["backend"], w.(map[string]any)["path"]))
	}
	if r.body["complete"] != true || r.Header.Get("X-Agentgw-Complete") != "" || strings.Join(warned, " ") != "filter_not_applicableklen/status filter_not_applicablekrosai/status" {
		t.Errorf("%v %s", warned, r.text)
	}
	b.get("/v1/agents?status=active", "Prefer: handling=strict").wants(t, 200, "")
	b.gateway.Purge("", "")
	b.vendors["agenthuman"].Control().Fail(faultOf(500))
	b.get("/v1/agents?status=active&require=all").wants(t, 502, "upstream_error")
}

func TestOrderBy_WarnsOfMissingValues(t *testing.T) {
	b := newBench(t, "")
	r := b.get("/v1/agents?order_by=created_at&backend=klen,talkifai").wants(t, 200, "")
	if r.at("warnings.0.code") != "unordered" || r.at("warnings.0.backend") != "klen" || len(r.body["warnings"].([]any)) != 1 {
		t.Errorf("%v", r.body["warnings"])
	}
}

func TestOrderBy_SortsAcrossBackends(t *testing.T) {
	b := newBench(t, "")
	values := func(query, field string) (values []string) {
		for _, a := range b.get("/v1/agents?"+query).wants(t, 200, "").body["data"].([]any) {
			values = append(values, fmt.Sprint(a.(map[string]any)[field]))
		}
		return values
	}
	if got := values("order_by=name&limit=4", "name"); !reflect.DeepEqual(got, []string{"After-Hours Reception", "Appointment Reminders", "Clinic Front Desk", "Customer Support"}) {
		t.Errorf("%v", got)
	}
	created := values("order_by=-created_at", "created_at")
	if len(created) != 18 || created[0] != "2024-05-21T10:05:00Z" || created[12] == "<nil>" || created[13] != "<nil>" {
		t.Errorf("%v", created)
	}
	// Only talkifai's details have updated_at: full view loads them first.
	if basic, full := values("order_by=updated_at&backend=talkifai", "updated_at"), values("order_by=updated_at&backend=talkifai&view=full", "updated_at"); basic[0] != "<nil>" || full[0] == "<nil>" || len(full) != 5 {
		t.Errorf("%v %v", basic, full)
	}
}

func TestList_Warnings(t *testing.T) {
	b := newBench(t, "")
	f := func(query string, want ...string) {
		t.Helper()
		var got []string
		for _, w := range b.get("/v1/agents?"+query).wants(t, 200, "").body["warnings"].([]any) {
			w := w.(map[string]any)
			got = append(got, fmt.Sprintf("%s %v %s", w["code"], w["backend"], w["message"]))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	f("status=active&order_by=name&provider=agenthuman")
	f("status=activ&provider=agenthuman", `unknown_value <nil> status="activ" matches no agent; known values are active, inactive, archived; did you mean active?`)
	f("status=activ,archived&provider=agenthuman") // an agent matches
	f("language=xx&provider=agenthuman")           // there are no known values for languages
	f("language=xx&backend=klen,talkifai", "filter_not_applicable klen agents of this backend that do not show language are left out",
		"filter_not_applicable talkifai agents of this backend that do not show language are left out; use view=full to load it")
	unavailable := "unordered klen this backend's agents are sorted last, because its provider does not show updated_at"
	f("order_by=updated_at", unavailable, "unordered talkifai this backend's agents are sorted last, because its list does not include updated_at; use view=full to load it")
	f("order_by=updated_at&view=full", unavailable)
}
