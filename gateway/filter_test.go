package gateway

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestListFilters(t *testing.T) {
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
				if s["status"] != "partial" || s["error"] != nil {
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
	f("modality=text,avatar&status=archived", "agenthuman:140", "") // klen's are neither, whatever their status
	f("q=ASSISTANT_ABC", "klen:123", "")
	f("q=klen:8", "klen:812 klen:845", "")
	f("q=nothing-has-this", "", "")
	f("status=nothing-has-this&backend=agenthuman", "", "")
}

func TestFilterThatCannotBeApplied(t *testing.T) {
	b := newBench(t, "")
	r := b.get("/v1/agents?status=active&require=all").wants(t, 400, "invalid_parameter")
	if len(r.body["sources"].([]any)) != 4 || !strings.Contains(r.body["detail"].(string), "status") {
		t.Errorf("%s", r.text)
	}
	b.get("/v1/agents?status=active&require=klen").wants(t, 400, "invalid_parameter")
	b.get("/v1/agents?status=active&require=agenthuman,talkifai").wants(t, 200, "")
	b.get("/v1/agents?status=active", "Prefer: handling=strict").wants(t, 400, "invalid_parameter")
	b.get("/v1/agents?status=active&backend=klen").wants(t, 200, "") // nothing failed
	b.gateway.Purge("", "")
	b.vendors["agenthuman"].Control().Fail(faultOf(500))
	b.get("/v1/agents?status=active&require=all").wants(t, 502, "upstream_error") // what failed goes before
}

func TestOrderBy(t *testing.T) {
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
	// Only the details of talkifai have this: in full view they are read first.
	if basic, full := values("order_by=updated_at&backend=talkifai", "updated_at"), values("order_by=updated_at&backend=talkifai&view=full", "updated_at"); basic[0] != "<nil>" || full[0] == "<nil>" || len(full) != 5 {
		t.Errorf("%v %v", basic, full)
	}
}

// TestWalkInEveryOrder: with every limit each agent is seen once, in order, and
// the filters hold on every page.
func TestWalkInEveryOrder(t *testing.T) {
	b := newBench(t, "")
	for _, query := range []string{"order_by=name", "order_by=-name", "order_by=created_at", "order_by=-updated_at", "order_by=updated_at&view=full", "status=active", "q=e&order_by=-created_at"} {
		whole := b.get("/v1/agents?" + query).ids()
		for _, limit := range []int{1, 2, 5, 17, 18} {
			if walked := b.walk(query, limit); !reflect.DeepEqual(walked, whole) {
				t.Errorf("%s, limit %d: %v, want %v", query, limit, walked, whole)
			}
		}
	}
}

// walk follows next_cursor to the end.
func (b *bench) walk(query string, limit int) (ids []string) {
	b.t.Helper()
	cursor := ""
	for range 100 {
		r := b.get(fmt.Sprintf("/v1/agents?%s&limit=%d%s", query, limit, cursor)).wants(b.t, 200, "")
		ids = append(ids, r.ids()...)
		next, more := r.body["next_cursor"].(string)
		if !more {
			return ids
		}
		cursor = "&cursor=" + next
	}
	b.t.Fatal("the walk does not end")
	return nil
}

func TestCursorBelongsToItsQuery(t *testing.T) {
	b := newBench(t, "")
	cursor := b.get("/v1/agents?limit=1&status=active,archived&order_by=name&q=e").body["next_cursor"].(string)
	f := func(query string, ok bool) {
		t.Helper()
		if r := b.get("/v1/agents?" + query + "&cursor=" + cursor); ok {
			r.wants(t, 200, "")
		} else {
			r.wants(t, 400, "cursor_mismatch")
		}
	}
	f("status=active,archived&order_by=name&q=e", true)
	f("status=archived,active&order_by=name&q=e&limit=7&include=raw", true)
	f("status=active,archived&order_by=-name&q=e", false)
	f("status=active,archived&q=e", false)
	f("status=active&order_by=name&q=e", false)
	f("status=active,archived&order_by=name&q=f", false)
	f("status=active,archived&order_by=name", false)
	f("status=active,archived&order_by=name&q=e&view=full", false)
	f("direction=active,archived&order_by=name&q=e", false)
}

func TestListWarnings(t *testing.T) {
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
	f("status=active&order_by=name")
	f("status=activ", `unknown_value <nil> status="activ" is none of active, inactive, archived, and no agent has it; did you mean active?`)
	f("status=activ,archived") // something matches
	f("language=xx")           // any language may be asked for
	f("order_by=updated_at", "unordered talkifai the list does not show updated_at, so these agents come last; view=full reads it")
	f("order_by=updated_at&view=full")
	f("order_by=updated_at&backend=klen") // never shown, as its source says
}

// TestStaleStaysStaleInAWalk: with when to come back.
func TestStaleStaysStaleInAWalk(t *testing.T) {
	b := newBench(t, "quota: {requests: 1, per: 1h}\ncache: {ttl: 1ms, stale_while_revalidate: 0s}")
	b.get("/v1/agents?backend=krosai").wants(t, 200, "")
	path := "/v1/agents?backend=krosai&limit=2"
	var r reply
	waitFor(t, "the list to age", func() bool {
		r = b.get(path)
		return r.source("krosai")["status"] == "stale"
	})
	r = b.get(path+"&cursor="+r.body["next_cursor"].(string)).wants(t, 200, "")
	if s := r.source("krosai"); s["status"] != "stale" || s["error"].(map[string]any)["retry_after_s"] == nil || r.body["next_cursor"] != nil || r.body["resume_cursor"] != nil {
		t.Errorf("%s", r.text)
	}
}
