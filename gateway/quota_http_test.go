package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/agentgw/agentgw/sandbox"
)

// A list in full view leaves the reserve of the quota to requests for single agents.
func TestQuota_FullViewLeavesForegroundReserve(t *testing.T) {
	b := newBench(t, "quota: {requests: 5, per: 1h}")
	r := b.get("/v1/agents?view=full&backend=talkifai").wants(t, 200, "")
	if s := r.source("talkifai"); s["status"] != "partial" || s["error"].(map[string]any)["code"] != "upstream_rate_limited" {
		t.Errorf("%v", s)
	}
	if n := b.requests("talkifai"); n != 4 {
		t.Errorf("%d requests of 5, one of which is reserved", n)
	}
	b.get("/v1/agents/talkifai:agent_other").wants(t, 404, "agent_not_found")
	b.get("/v1/agents/talkifai:agent_another").wants(t, 429, "upstream_rate_limited")
}

// A provider that reports what is left receives no request beyond it.
func TestQuota_RateLimitHeadersPreventA429(t *testing.T) {
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
