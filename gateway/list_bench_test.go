package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/telemetry"
	krosaisandbox "github.com/agentgw/agentgw/sandbox/krosai"
)

// BenchmarkList measures a list inside the handler, from the cache and with the
// backend asked each time (over loopback, its emulator included).
//
//	go test -run '^$' -bench List -count 10 ./gateway > new.txt && benchstat old.txt new.txt
func BenchmarkList(b *testing.B) {
	for _, agents := range []int{10, 100} {
		g, caller := benchGateway(b, agents)
		for name, fresh := range map[string]bool{"cached": false, "asked": true} {
			b.Run(fmt.Sprintf("%s/agents=%d", name, agents), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := g.list(context.Background(), caller, ListQuery{Limit: 1000, Fresh: fresh}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// benchGateway is a gateway before one backend with so many agents.
func benchGateway(b *testing.B, agents int) (*Gateway, *Caller) {
	b.Helper()
	vendor := krosaisandbox.New()
	for i := range agents {
		vendor.Seed("credential", json.RawMessage(fmt.Sprintf(`{"id": "agent-%d", "name": "Agent %d", "description": "Helps users", "system_prompt": "You are a product expert.", "language": "en",
			"voice_id": "nova", "tts_provider": "t", "stt_provider": "s", "llm_model": "m", "knowledge_base_ids": ["kb-1"], "created_at": "2024-03-10T12:00:00Z", "updated_at": "2024-03-10T12:00:00Z", "created_by": "u"}`, i, i)))
	}
	server := httptest.NewServer(vendor)
	b.Cleanup(server.Close)
	file := fmt.Sprintf("backends:\n  k: {provider: krosai, base_url: %q}\nkeys:\n  - {id: a, sha256: \"%064d\", scopes: [agents:read], credentials: {k: credential}}\n", server.URL+"/v1", 1)
	c, err := config.Load(config.Source{Path: "config.yaml", Providers: all.Names(), ReadFile: func(string) ([]byte, error) { return []byte(file), nil }})
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	t, err := telemetry.New(context.Background(), telemetry.Options{Log: log})
	if err != nil {
		b.Fatal(err)
	}
	g, err := New(Options{Providers: all.Providers(), Log: log, Telemetry: t}, c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(g.Close)
	for _, e := range g.state.Load().keys.byHash {
		return g, e.caller
	}
	b.Fatal("no key")
	return nil, nil
}
