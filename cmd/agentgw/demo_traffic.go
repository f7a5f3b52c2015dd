package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/agentgw/agentgw/sandbox"
)

// Providers fail now and then while the demo generates traffic: long enough to open a
// breaker, and often enough to be seen.
const (
	faultDuration = 6 * time.Second
	faultInterval = 20 * time.Second
	firstFault    = 2 * time.Second
)

// traffic sends requests like those of clients, so that the console and dashboards have
// data: mostly lists, some of them with no-cache, gets of existing and missing agents,
// creates, and requests with an invalid key.
type traffic struct {
	api       string // "http://127.0.0.1:8080"
	providers []emulatedProvider
	client    *http.Client

	mu  sync.Mutex
	ids []string // agents of the last full list
}

// run sends perSecond requests per second until ctx ends.
func (t *traffic) run(ctx context.Context, perSecond float64) {
	t.client = &http.Client{Timeout: 30 * time.Second}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { t.injectFaults(ctx) })
	tick := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			wg.Go(func() { t.request(ctx) })
		}
	}
}

// injectFaults makes one provider after the other fail for a while.
func (t *traffic) injectFaults(ctx context.Context) {
	faults := []sandbox.Fault{{Status: 503}, {Status: 500}, {Delay: 2 * time.Second}, {Reset: true}}
	wait := firstFault
	for i := 0; ; i++ {
		if !sleep(ctx, wait) {
			return
		}
		wait = faultInterval - faultDuration
		// Start with the last provider: it gets the creates, whose failures the cache
		// cannot hide.
		n := len(t.providers)
		control := t.providers[n-1-i%n].control
		control.Fail(faults[i/n%len(faults)])
		ok := sleep(ctx, faultDuration)
		control.Heal()
		if !ok {
			return
		}
	}
}

// sleep waits for d. It returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// request sends a request of a random kind.
func (t *traffic) request(ctx context.Context) {
	backend := t.providers[rand.N(len(t.providers))].name
	switch n := rand.N(100); {
	case n < 40:
		t.list(ctx, url.Values{"limit": {"50"}})
	case n < 50:
		t.list(ctx, url.Values{"q": {"desk"}, "order_by": {"name"}})
	case n < 65:
		t.list(ctx, url.Values{"backend": {backend}}, "Cache-Control: no-cache")
	case n < 85:
		t.send(ctx, "GET", "/v1/agents/"+url.PathEscape(t.randomID()), nil)
	case n < 90:
		t.send(ctx, "GET", "/v1/agents/"+url.PathEscape(t.randomID()), nil, "Cache-Control: no-cache")
	case n < 92:
		t.send(ctx, "GET", "/v1/agents/"+backend+":missing", nil)
	case n < 94:
		t.send(ctx, "GET", "/v1/backends", nil)
	case n < 96:
		t.send(ctx, "GET", "/v1/agents", nil, "Authorization: Bearer invalid-key")
	default:
		t.create(ctx)
	}
}

// create creates an agent, repeats the request as a client does after a lost response, and
// deletes the agent.
func (t *traffic) create(ctx context.Context) {
	body := []byte(`{"backend":"talkifai","name":"Traffic","architecture":"text","model":{"id":"gpt-4o-mini"},"system_prompt":"Answer briefly.","status":"active"}`)
	key := fmt.Sprintf("Idempotency-Key: traffic-%d", rand.Uint64())
	created := t.send(ctx, "POST", "/v1/agents", body, key)
	t.send(ctx, "POST", "/v1/agents", body, key)
	var agent struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(created, &agent) == nil && agent.ID != "" {
		t.send(ctx, "DELETE", "/v1/agents/"+url.PathEscape(agent.ID), nil)
	}
}

// list requests a list and remembers the ids if it covers all backends.
func (t *traffic) list(ctx context.Context, query url.Values, headers ...string) {
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if json.Unmarshal(t.send(ctx, "GET", "/v1/agents?"+query.Encode(), nil, headers...), &list) != nil || len(query["backend"]) > 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ids = t.ids[:0]
	for _, agent := range list.Data {
		t.ids = append(t.ids, agent.ID)
	}
}

// randomID returns the id of an agent of the last list.
func (t *traffic) randomID() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ids) == 0 {
		return "unknown:id"
	}
	return t.ids[rand.N(len(t.ids))]
}

// send sends a request and returns the response body, or nil on any failure. Failures are
// visible in the console.
func (t *traffic) send(ctx context.Context, method, path string, body []byte, headers ...string) []byte {
	req, err := http.NewRequestWithContext(ctx, method, t.api+path, bytes.NewReader(body))
	if err != nil {
		return nil
	}
	req.Header.Set("Authorization", "Bearer "+demoKey)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 400 {
		return nil
	}
	return content
}
