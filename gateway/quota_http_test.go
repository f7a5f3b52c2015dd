package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/agentgw/agentgw/sandbox"
)

// TestFullViewLeavesRoomInTheQuota: the details of a list stop where a caller who
// asks for one agent still gets it.
func TestFullViewLeavesRoomInTheQuota(t *testing.T) {
	b := newBench(t, "quota: {requests: 5, per: 1h}")
	r := b.get("/v1/agents?view=full&backend=talkifai").wants(t, 200, "")
	if s := r.source("talkifai"); s["status"] != "partial" || s["error"].(map[string]any)["code"] != "upstream_rate_limited" {
		t.Errorf("%v", s)
	}
	if n := b.requests("talkifai"); n != 4 {
		t.Errorf("%d requests of 5, one of which is for callers", n)
	}
	b.get("/v1/agents/talkifai:agent_other").wants(t, 404, "agent_not_found")
	b.get("/v1/agents/talkifai:agent_another").wants(t, 429, "upstream_rate_limited")
}

// TestForesees: a vendor that counts and says what is left never has to say 429.
func TestForesees(t *testing.T) {
	b := newBench(t, "cache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}")
	left := 10
	for range 15 {
		control := b.vendors["talkifai"].Control()
		control.Heal()
		control.Fail(sandbox.Fault{Status: 200, Body: `{"success": true, "data": [], "pagination": {"page": 1, "hasNext": false}}`, Header: map[string]string{
			"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": fmt.Sprint(max(0, left-1)), "X-RateLimit-Reset": fmt.Sprint(time.Now().Add(time.Hour / 2).Unix()),
		}})
		before := b.requests("talkifai")
		r := b.get("/v1/agents?backend=talkifai")
		if sent := b.requests("talkifai") - before; sent != min(1, left) || (r.StatusCode == 200) != (left > 0) {
			t.Errorf("with %d left: %d sent, %d", left, sent, r.StatusCode)
		}
		left = max(0, left-1)
	}
}
