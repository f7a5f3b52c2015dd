package gateway

import (
	"context"
	"math"
	"testing"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/gateway/catalog"
)

// TestAllocations_CachedResponse checks that a cached response takes a bounded number of
// allocations, including its access line and unsampled span, however many agents it has.
func TestAllocations_CachedResponse(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes allocations of its own; make test runs this without it first")
	}
	send := newMemoryConn(t, unsampled, 25, all.Names()...)
	etag := string(send("/v1/agents").Header.Peek("Etag"))
	if send("/v1/agents").StatusCode() != 200 || etag == "" {
		t.Fatal("no list")
	}
	for _, c := range []struct {
		name    string
		path    string
		headers []string
		status  int
		most    float64
	}{
		{"list", "/v1/agents", nil, 200, 50},
		{"list with a query", "/v1/agents?limit=1000&order_by=name&language=en", nil, 200, 50},
		{"list, compressed", "/v1/agents", []string{"Accept-Encoding", "gzip, deflate, br, zstd", "Accept", "*/*"}, 200, 50},
		{"unchanged list", "/v1/agents", []string{"If-None-Match", etag}, 304, 50},
		{"agent", "/v1/agents/krosai:agent-1", nil, 200, 50},
	} {
		for range 3 { // fill the caches
			send(c.path, c.headers...)
		}
		got := allocations(500, func() {
			if r := send(c.path, c.headers...); r.StatusCode() != c.status {
				t.Errorf("%s: %d: %.200s", c.name, r.StatusCode(), r.Body())
			}
		})
		if got > c.most {
			t.Errorf("%s: %v allocations, want at most %v", c.name, got, c.most)
		}
		t.Logf("%s: %v allocations", c.name, got)
	}
}

// allocations returns the lowest of several counts, because each count also has the
// allocations of other goroutines.
func allocations(runs int, f func()) float64 {
	least := math.Inf(1)
	for range 5 {
		least = min(least, testing.AllocsPerRun(runs, f))
	}
	return least
}

// TestAllocations_Miss bounds the allocations for each agent of a list that is decoded,
// normalized and encoded.
func TestAllocations_Miss(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes allocations of its own; make test runs this without it first")
	}
	for _, provider := range all.Providers() {
		name, agents := provider.Info.Provider, 100
		reply := vendorReply(name, agents)
		adapter := provider.New(adapters.Settings{Backend: "b", RoundTrip: func(_ context.Context, req *adapters.Request) error {
			return req.Receive(adapters.Response{Status: 200, Body: reply})
		}})
		got := allocations(20, func() {
			listing, err := adapter.List(context.Background(), adapters.NewCredential(secret.New("credential")))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := catalog.NewSnapshot(provider.Info, listing); err != nil {
				t.Fatal(err)
			}
		}) / float64(agents)
		if most := map[string]float64{"klen": 38, "agenthuman": 45, "krosai": 32, "talkifai": 28}[name]; got > most {
			t.Errorf("%s: %.1f allocations for each agent, want at most %v", name, got, most)
		}
		t.Logf("%s: %.1f allocations for each agent", name, got)
	}
}
