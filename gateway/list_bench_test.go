package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/apikey"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/sandbox"
)

// BenchmarkList measures the list operation behind the response cache: from snapshots, with
// filters, search and order, and with a call to the backend, an emulator over loopback.
//
//	go test -run '^$' -bench List -count 10 ./gateway > new.txt && benchstat old.txt new.txt
func BenchmarkList(b *testing.B) {
	filtered := catalog.Query{Filters: []catalog.Filter{{Field: normalize.FieldLanguage, Values: []string{"en"}}}}
	for _, c := range []struct {
		name  string
		query agents.ListQuery
	}{
		{name: "cached"},
		{name: "cached-filter", query: agents.ListQuery{Query: filtered}},
		{name: "cached-search", query: agents.ListQuery{Query: catalog.Query{Text: "agent 1"}}},
		{name: "cached-ordered", query: agents.ListQuery{Query: catalog.Query{Order: catalog.Order{By: catalog.ByName}}}},
		{name: "cached-full", query: agents.ListQuery{Full: true}},
		{name: "uncached", query: agents.ListQuery{NoCache: true}},
	} {
		for _, agents := range []int{10, 100} {
			g, caller, _ := benchGateway(b, agents, "krosai")
			b.Run(fmt.Sprintf("%s/agents=%d", c.name, agents), func(b *testing.B) {
				b.ReportAllocs()
				c.query.Limit = 1000
				for b.Loop() {
					r, err := g.agents.List(context.Background(), caller, c.query)
					if err != nil || len(r.Body.Plain()) < 1000 {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkCompressedList measures a list and its compression.
func BenchmarkCompressedList(b *testing.B) {
	g, caller, _ := benchGateway(b, 100, "krosai")
	for _, coding := range payload.Codings() {
		b.Run(string(coding), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := g.agents.List(context.Background(), caller, agents.ListQuery{Limit: 1000})
				if err != nil {
					b.Fatal(err)
				}
				if _, made := r.Body.In(coding); made != coding {
					b.Fatal(made)
				}
			}
		})
	}
}

// BenchmarkMiss measures a list of 100 agents that is not cached, without the HTTP call to the
// provider.
func BenchmarkMiss(b *testing.B) {
	for _, provider := range all.Providers() {
		reply := vendorReply(provider.Info.Provider, 100)
		adapter := provider.New(adapters.Settings{Backend: "b", RoundTrip: func(_ context.Context, req *adapters.Request) error {
			return req.Receive(adapters.Response{Status: 200, Body: reply})
		}})
		b.Run(provider.Info.Provider, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(reply)))
			for b.Loop() {
				listing, err := adapter.List(context.Background(), adapters.NewCredential(secret.New("credential")))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := catalog.NewSnapshot(provider.Info, listing); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUpstreamCalls counts the upstream calls of 10,000 lists over HTTP by 32 clients,
// with a ttl of one second.
func BenchmarkUpstreamCalls(b *testing.B) {
	g, _, emulators := benchGateway(b, 100, all.Names()...)
	server := g.NewServer()
	l, err := newLoopback()
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	clients := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 32, MaxIdleConnsPerHost: 32}}
	defer func() {
		clients.CloseIdleConnections()
		_ = server.Shutdown(5 * time.Second)
		<-served
	}()
	calls, lists := 0, 0
	for b.Loop() {
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				for range 10_000 / 32 {
					req, _ := http.NewRequest("GET", "http://"+l.Addr().String()+"/v1/agents", nil)
					req.Header.Set("Authorization", "Bearer "+benchKey)
					req.Header.Set("Accept-Encoding", "identity")
					resp, err := clients.Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
						b.Error(resp.StatusCode, err)
					}
					resp.Body.Close()
				}
			})
		}
		wg.Wait()
		lists += 10_000 / 32 * 32
	}
	for _, e := range emulators {
		calls += len(e.Control().Requests())
	}
	b.ReportMetric(float64(calls)*10_000/float64(lists), "upstream-calls/10k-lists")
	b.ReportMetric(b.Elapsed().Seconds()*10_000/float64(lists), "s/10k-lists")
}

// BenchmarkMemory measures the memory of 1,000 cached agents once they have been searched and
// ordered in every way, and compares the estimate with it.
func BenchmarkMemory(b *testing.B) {
	for _, provider := range all.Providers() {
		b.Run(provider.Info.Provider, func(b *testing.B) {
			for b.Loop() {
				truth, estimate := memoryOf(b, provider, 1000)
				b.ReportMetric(truth, "B/1000-agents")
				b.ReportMetric(estimate/truth, "estimate/truth")
			}
		})
	}
}

// TestSnapshot_SizeIsCloseToMemory checks the estimate that the cache's limit in bytes uses. It
// runs in a process of its own, where nothing else allocates.
func TestSnapshot_SizeIsCloseToMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector takes memory of its own; make test runs this without it")
	}
	const alone = "AGENTGW_TEST_ALONE"
	if os.Getenv(alone) == "" {
		again := exec.Command(os.Args[0], "-test.run=^TestSnapshot_SizeIsCloseToMemory$")
		again.Env = append(os.Environ(), alone+"=1")
		if out, err := again.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	for _, provider := range all.Providers() {
		if truth, estimate := memoryOf(t, provider, 1000); estimate < 0.8*truth || estimate > 1.4*truth {
			t.Errorf("%s: 1,000 agents take %.0f bytes, estimated %.0f", provider.Info.Provider, truth, estimate)
		}
	}
}

// memoryOf returns the memory of a snapshot in bytes, measured and by its own estimate.
func memoryOf(t testing.TB, provider adapters.Provider, agents int) (truth, estimate float64) {
	const snapshots = 4
	kept := make([]*catalog.Snapshot, 0, snapshots)
	before := heap()
	for range snapshots {
		adapter := provider.New(adapters.Settings{Backend: "b", RoundTrip: func(_ context.Context, req *adapters.Request) error {
			reply := vendorReply(provider.Info.Provider, agents) // each snapshot has its own
			return req.Receive(adapters.Response{Status: 200, Body: reply})
		}})
		listing, err := adapter.List(context.Background(), adapters.NewCredential(secret.New("credential")))
		if err != nil {
			t.Fatal(err)
		}
		s, err := catalog.NewSnapshot(provider.Info, listing)
		if err != nil {
			t.Fatal(err)
		}
		useAll(s)
		kept = append(kept, s)
		estimate += float64(s.Size())
	}
	truth = float64(heap() - before)
	runtime.KeepAlive(kept)
	return truth / snapshots, estimate / snapshots
}

// useAll makes a snapshot build everything that it builds on first use.
func useAll(s *catalog.Snapshot) {
	for _, order := range append(catalog.OrderNames(), "") {
		q := catalog.Query{Text: "nothing"}
		q.Order, _ = catalog.ParseOrder(order)
		catalog.Paginate(q, catalog.Cursor{}, []string{"b"}, []catalog.Part{{Backend: "b", Snapshot: s}}, 1)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// vendorAgents are agents as each provider's list returns them.
var vendorAgents = map[string]string{
	"klen":       `{"id": %d, "assistant_id": "assistant_%[1]d", "name": "Agent %[1]d", "role": "inbound agent", "phone_number": "+15551234567", "minutes_used": 345.5, "total_calls": 78, "model": "claude-3-opus-20240229", "voice_id": "ember", "can_make_calls": true, "team_id": 456}`,
	"agenthuman": `{"agent_id": %d, "name": "Agent %[1]d", "avatar_id": 1, "avatar_name": "Professional Avatar", "avatar_url": "https://example.com/avatar.jpg", "voice_id": "21m00Tcm4TlvDq8ikWAM", "language": "en", "custom_greeting": "Welcome! How can I assist you today?", "context": "You are a helpful sales assistant.", "status": "active", "created_at": "2024-01-15T10:30:00Z", "updated_at": "2024-01-15T10:30:00Z", "last_used_at": "2024-01-15T12:00:00Z", "total_sessions": 5, "avg_duration": 120.5}`,
	"krosai":     `{"id": "agent-%d", "name": "Agent %[1]d", "description": "Helps users", "system_prompt": "You are a product expert.", "language": "en", "voice_id": "nova", "tts_provider": "t", "stt_provider": "s", "llm_model": "m", "knowledge_base_ids": ["kb-1"], "created_at": "2024-03-10T12:00:00Z", "updated_at": "2024-03-10T12:00:00Z", "created_by": "u"}`,
	"talkifai":   `{"id": "agent_%d", "name": "Agent %[1]d", "mode": "public", "agentArchitecture": "pipeline", "active": true, "createdAt": "2024-01-10T09:00:00Z"}`,
}

// vendorEnvelopes are each provider's response around its agents.
var vendorEnvelopes = map[string]string{
	"klen": `{"agents": [%s]}`, "agenthuman": `{"success": true, "agents": [%s]}`, "krosai": `[%s]`,
	"talkifai": `{"success": true, "data": [%s], "pagination": {"page": 1, "total": 1, "hasNext": false}}`,
}

func vendorReply(vendor string, agents int) []byte {
	rows := make([]string, agents)
	for i := range rows {
		rows[i] = fmt.Sprintf(vendorAgents[vendor], i)
	}
	return fmt.Appendf(nil, vendorEnvelopes[vendor], strings.Join(rows, ","))
}

var benchKey = apikey.New(apikey.Test)

// benchGateway returns a gateway with emulated providers that have so many agents each, its one
// caller, and the emulators. With several providers, the ttl is a second.
func benchGateway(b *testing.B, agents int, vendors ...string) (*Gateway, *auth.Caller, []sandbox.Emulator) {
	b.Helper()
	ttl := time.Hour
	if len(vendors) > 1 {
		ttl = time.Second
	}
	return benchGatewayWith(b, slog.New(slog.DiscardHandler), ttl, agents, vendors...)
}

// benchGatewayWith is benchGateway with a log and a ttl. Telemetry follows the environment.
func benchGatewayWith(b testing.TB, log *slog.Logger, ttl time.Duration, agents int, vendors ...string) (*Gateway, *auth.Caller, []sandbox.Emulator) {
	b.Helper()
	var emulators []sandbox.Emulator
	file, credentials := "backends:\n", ""
	for _, v := range all.Entries() {
		name := v.Info.Provider
		if !strings.Contains(" "+strings.Join(vendors, " ")+" ", " "+name+" ") {
			continue
		}
		emulator := v.Emulator()
		emulators = append(emulators, emulator)
		server := httptest.NewServer(emulator)
		b.Cleanup(server.Close)
		for i := range agents {
			emulator.Seed("credential", json.RawMessage(fmt.Sprintf(seeded(name), i)))
		}
		file += fmt.Sprintf("  %s: {provider: %s, base_url: %q, cache: {ttl: %s, stale_while_revalidate: 1h}}\n", name, name, server.URL+emulator.Prefix(), ttl)
		credentials += name + ": credential, "
	}
	file += fmt.Sprintf("keys:\n  - {id: a, sha256: \"%x\", scopes: [agents:read], credentials: {%s}}\n", apikey.Hash(benchKey), strings.TrimSuffix(credentials, ", "))
	c, err := config.Load(config.Source{Path: "config.yaml", Providers: all.Names(), ReadFile: func(string) ([]byte, error) { return []byte(file), nil }})
	if err != nil {
		b.Fatal(err)
	}
	t, err := telemetry.New(context.Background(), telemetry.Options{Log: log})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		bounded, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = t.Shutdown(bounded)
	})
	g, err := New(Options{Providers: all.Providers(), Log: log, Telemetry: t}, c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(g.Close)
	return g, g.caller("a"), emulators
}

// seeded is an agent of vendorAgents as the provider's emulator stores it.
func seeded(vendor string) string {
	switch vendor {
	case "agenthuman":
		return strings.NewReplacer(`"agent_id"`, `"id"`, `"voice_id": "21m00Tcm4TlvDq8ikWAM"`, `"avatar_voice_id": "21m00Tcm4TlvDq8ikWAM", "voice_id": 2, "user_id": 1, "role_id": 1, "properties": null, "memories": null, "knowledge_base": null`).Replace(vendorAgents[vendor])
	case "talkifai":
		return strings.TrimSuffix(vendorAgents[vendor], "}") + `, "model": "gpt-4o", "systemPrompt": "p", "language": "en", "temperature": 0.7, "updatedAt": "2024-01-10T09:00:00Z"}`
	}
	return vendorAgents[vendor]
}
