package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agentgw/agentgw/gateway/apikey"
	"github.com/agentgw/agentgw/sandbox"
)

// tenant is a gateway key with the account that it uses at its backends. Every agent of an
// account contains the account's canary; the ids are the same in all accounts.
type tenant struct {
	id, account string
	backends    []string
}

var tenants = []tenant{
	{"alpha", "one", []string{"klen", "agenthuman", "krosai", "talkifai"}},
	{"beta", "one", []string{"krosai", "talkifai"}}, // another key of the same accounts
	{"gamma", "two", []string{"klen", "agenthuman", "krosai", "talkifai"}},
	{"delta", "three", []string{"klen", "krosai"}},
	{"coming-and-going", "four", []string{"klen", "agenthuman", "krosai"}},
}

var accountAgents = map[string]string{
	"klen":       `{"id": 1%d, "assistant_id": "assistant_%[1]d", "name": "canary-%[2]s-", "role": "inbound agent", "phone_number": null, "minutes_used": 0, "total_calls": 0, "model": "m", "voice_id": "v", "can_make_calls": false, "team_id": null}`,
	"agenthuman": `{"id": 1%d, "user_id": 1, "name": "canary-%[2]s-", "avatar_id": 1, "avatar_name": "canary-%[2]s-", "avatar_url": null, "avatar_voice_id": null, "voice_id": 2, "role_id": 1, "language": "en", "custom_greeting": "g", "context": "c", "properties": null, "memories": null, "knowledge_base": null, "status": "active", "created_at": "2024-01-15T10:30:00Z", "updated_at": "2024-01-15T10:30:00Z", "last_used_at": null, "total_sessions": 5, "avg_duration": 1}`,
	"krosai":     `{"id": "1%d", "name": "canary-%[2]s-", "description": "d", "system_prompt": "p", "language": "en", "voice_id": "v", "tts_provider": "t", "stt_provider": "s", "llm_model": "m", "knowledge_base_ids": [], "created_at": "2024-03-10T12:00:00Z", "updated_at": "2024-03-10T12:00:00Z", "created_by": "u"}`,
	"talkifai":   `{"id": "1%d", "name": "canary-%[2]s-", "agentArchitecture": "text", "model": "m", "systemPrompt": "p", "language": "en", "mode": "public", "active": true, "temperature": 0.5, "createdAt": "2024-01-01T00:00:00Z", "updatedAt": "2024-01-01T00:00:00Z"}`,
}

// tenantsBench starts a gateway with the tenants in place of the bench's own keys.
func tenantsBench(t *testing.T) *bench {
	b := newBench(t, "cache: {ttl: 5s, stale_while_revalidate: 1s, stale_if_error: 2s}\nbreaker: {consecutive: 100000, min_requests: 100000}")
	b.file = b.file[:strings.Index(b.file, "keys:\n")] + "keys:\n"
	for _, tenant := range tenants {
		b.keys[tenant.id] = apikey.New(apikey.Test)
		b.file += fmt.Sprintf("  - id: %s\n    sha256: \"%x\"\n    scopes: [agents:read, agents:write]\n    credentials:\n", tenant.id, apikey.Hash(b.keys[tenant.id]))
		for _, backend := range tenant.backends {
			variable := strings.ToUpper(tenant.account + "_" + backend)
			b.env[variable] = "secret-" + tenant.account + "-" + backend
			b.file += fmt.Sprintf("      %s: env:%s\n", backend, variable)
			if tenant.id != "beta" {
				for i := range 6 {
					b.vendors[backend].Seed(b.env[variable], json.RawMessage(fmt.Sprintf(accountAgents[backend], i, tenant.account)))
				}
			}
		}
	}
	b.reload()
	return b
}

// TestNoTenantSeesAnother sends requests of random tenants over shared keep-alive
// connections, during reloads, purges, writes and faults. Each of 100,000 responses with data
// contains its tenant's canary, and none that of another account.
func TestNoTenantSeesAnother(t *testing.T) {
	bodies := int64(100_000)
	if raceDetector { // four times slower; make test also runs it without the race detector
		bodies = 10_000
	}
	if testing.Short() {
		bodies = 5_000
	}
	b := tenantsBench(t)
	h := &tenantLoad{bench: b, target: bodies}
	h.client = &http.Client{Transport: &http.Transport{MaxConnsPerHost: 8, MaxIdleConnsPerHost: 8}} // of all tenants
	t.Cleanup(h.client.CloseIdleConnections)
	var wg sync.WaitGroup
	for worker := range uint64(12) {
		wg.Go(func() { h.work(rand.New(rand.NewPCG(worker, 3)), worker == 0) })
	}
	wg.Wait()
	t.Logf("%d requests, %d bodies with a canary, %d not modified, %d refused", h.requests.Load(), h.withCanary.Load(), h.notModified.Load(), h.refused.Load())
	if h.notModified.Load() == 0 || h.refused.Load() == 0 {
		t.Error("no response was 304, or none was an error: the test does not cover them")
	}
}

// tenantLoad is the shared state of the workers that send requests.
type tenantLoad struct {
	*bench
	client *http.Client
	target int64

	requests, withCanary, notModified, refused atomic.Int64
	// Cursors and entity tags that the gateway issued, for other tenants to try.
	mu      sync.Mutex
	cursors []issuedValue
	tags    []issuedValue
}

// issuedValue is a cursor or an entity tag, with the tenant it was issued to and the path of
// the request.
type issuedValue struct {
	tenant, account, path, value string
}

func (h *tenantLoad) work(r *rand.Rand, operator bool) {
	for n := 0; h.withCanary.Load() < h.target && !h.t.Failed(); n++ {
		if operator {
			h.operate(r, n)
		}
		h.sendRandom(r, tenants[r.IntN(len(tenants))])
	}
}

// operate reloads and purges at random, and makes backends fail.
func (h *tenantLoad) operate(r *rand.Rand, n int) {
	switch r.IntN(200) {
	case 0: // remove a key until the next reload
		h.reload(h.file[strings.Index(h.file, "  - id: coming-and-going"):], "")
	case 1, 2, 3:
		h.reload()
	case 4: // recreate every backend
		h.reload("ttl: 5s", "ttl: 5001ms")
	case 5:
		h.gateway.Purge([]string{"", "klen", "krosai"}[r.IntN(3)], []string{"", "alpha"}[r.IntN(2)])
	case 6:
		vendor := []string{"klen", "agenthuman", "krosai", "talkifai"}[r.IntN(4)]
		h.vendors[vendor].Control().Fail([]sandbox.Fault{{Status: 500, Times: 3}, {Status: 401, Times: 1}, {Reset: true, Times: 2}, {Status: 429, Times: 1}, {Status: 200, Body: "<html>", Times: 1}}[r.IntN(5)])
	}
	if n%500 == 0 { // bound the memory of the recorders
		h.spans.Reset()
		h.log.Reset()
		for _, v := range h.vendors {
			v.Control().Forget()
		}
	}
}

func (h *tenantLoad) sendRandom(r *rand.Rand, t tenant) {
	method, path, body := h.choose(r, t)
	var tag issuedValue
	if r.IntN(10) == 0 { // repeat a request with an entity tag of any tenant
		if tag = h.pick(r, &h.tags); tag.value != "" {
			method, path, body = "GET", tag.path, ""
		}
	}
	req, err := http.NewRequest(method, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Error(err)
		return
	}
	req.Header.Set([]string{"Authorization", "X-API-Key"}[r.IntN(2)], h.keys[t.id])
	if key := req.Header.Get("Authorization"); key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.IntN(100) == 0 {
		req.Header.Set("Cache-Control", "no-cache")
	}
	if r.IntN(20) > 0 {
		req.Header.Set("Accept-Encoding", "identity") // else the client unpacks gzip
	}
	if tag.value != "" {
		req.Header.Set("If-None-Match", tag.value)
	}
	h.check(t, tag, path, req)
}

// choose returns a random request, sometimes with the cursor or id of another tenant.
func (h *tenantLoad) choose(r *rand.Rand, t tenant) (method, path, body string) {
	backend := t.backends[r.IntN(len(t.backends))]
	id := fmt.Sprintf("%s:1%d", backend, r.IntN(6))
	switch n := r.IntN(100); {
	case n < 20:
		query := []string{"limit=2", "limit=5&order_by=name", "view=full&limit=3", "include=raw&backend=" + backend, "q=canary&limit=4", "status=active&limit=4", "view=full&language=en&backend=" + backend, "limit=1000"}[min(r.IntN(36)/5, 7)]
		if cursor := h.pick(r, &h.cursors); cursor.value != "" && r.IntN(8) == 0 {
			query = "limit=2&cursor=" + cursor.value
		}
		return "GET", "/v1/agents?" + query, ""
	case n < 95:
		return "GET", "/v1/agents/" + id + []string{"", "?include=raw"}[r.IntN(2)], ""
	case n < 97:
		return "PATCH", fmt.Sprintf("/v1/agents/krosai:1%d", r.IntN(6)), fmt.Sprintf(`{"name": "canary-%s-%d"}`, t.account, r.IntN(100))
	case n < 98:
		return "POST", "/v1/agents", fmt.Sprintf(`{"backend": "krosai", "name": "canary-%s-new"}`, t.account)
	}
	return "GET", "/v1/backends/" + backend, ""
}

func (h *tenantLoad) pick(r *rand.Rand, from *[]issuedValue) issuedValue {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(*from) == 0 {
		return issuedValue{}
	}
	return (*from)[r.IntN(len(*from))]
}

func (h *tenantLoad) record(in *[]issuedValue, t tenant, path, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*in = append(*in, issuedValue{t.id, t.account, path, value})
	if len(*in) > 60 {
		*in = slices.Delete(*in, 0, 30)
	}
}

// check sends a request and looks for canaries in the response.
func (h *tenantLoad) check(t tenant, tag issuedValue, path string, req *http.Request) {
	r, err := h.send(req)
	if err != nil {
		h.t.Errorf("%s %s: %v", req.Method, path, err)
		return
	}
	h.requests.Add(1)
	own := false
	for rest := r.text; ; {
		_, after, found := strings.Cut(rest, "canary-")
		if !found {
			break
		}
		if own = true; !strings.HasPrefix(after, t.account+"-") {
			h.t.Errorf("%s of account %s sees canary-%.10s: %s %s", t.id, t.account, after, req.Method, path)
			return
		}
		rest = after
	}
	switch data := strings.Contains(r.text, `"native_id":"`); {
	case r.StatusCode == http.StatusNotModified:
		h.notModified.Add(1)
		if tag.account != t.account && !strings.HasPrefix(path, "/v1/backends/") {
			h.t.Errorf("%s of account %s gets 304 for an entity tag of %s of account %s: %s", t.id, t.account, tag.tenant, tag.account, path)
		}
	case r.StatusCode < 300 && req.Method == http.MethodGet && data != own:
		h.t.Errorf("%s %s: %d, a canary %v: %s", req.Method, path, r.StatusCode, own, r.text)
	case own:
		h.withCanary.Add(1)
	case r.StatusCode >= 400:
		h.refused.Add(1)
	}
	if r.StatusCode != http.StatusOK || req.Method != http.MethodGet {
		h.deleteCreated(t, r)
		return
	}
	if _, after, found := strings.Cut(r.text, `"next_cursor":"`); found {
		cursor, _, _ := strings.Cut(after, `"`)
		h.record(&h.cursors, t, path, cursor)
	}
	h.record(&h.tags, t, path, r.Header.Get("ETag"))
}

// deleteCreated deletes an agent that the request created, so that lists stay short.
func (h *tenantLoad) deleteCreated(t tenant, r reply) {
	if r.StatusCode != http.StatusCreated {
		return
	}
	req, err := http.NewRequest(http.MethodDelete, h.url+r.Header.Get("Location"), nil)
	if err != nil {
		h.t.Error(err)
		return
	}
	req.Header.Set("X-API-Key", h.keys[t.id])
	if _, err := h.send(req); err != nil { // any status is fine: the backend may be failing
		h.t.Error(err)
	}
}

func (h *tenantLoad) send(req *http.Request) (reply, error) {
	resp, err := h.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	return reply{Response: resp, text: string(text)}, nil
}
