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

// Trouble is what a vendor has now and then while the demo makes traffic: long enough
// for a breaker to open, and often enough that somebody who looks sees it.
const (
	troubleFor   = 6 * time.Second
	troubleEvery = 20 * time.Second
	troubleFirst = 2 * time.Second
)

// traffic makes requests as clients do, so that the console and dashboards have something
// to show: mostly lists, some past the cache, some agents that are there and some that
// are not, some creates, some with a key that nobody has.
type traffic struct {
	api     string // "http://127.0.0.1:8080"
	vendors []demoVendor
	client  *http.Client

	mu  sync.Mutex
	ids []string // of agents that were seen
}

// run makes so many requests in a second until ctx ends.
func (t *traffic) run(ctx context.Context, perSecond float64) {
	t.client = &http.Client{Timeout: 30 * time.Second}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { t.trouble(ctx) })
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

// trouble has one vendor after the other fail for a while.
func (t *traffic) trouble(ctx context.Context) {
	faults := []sandbox.Fault{{Status: 503}, {Status: 500}, {Delay: 2 * time.Second}, {Reset: true}}
	wait := troubleFirst
	for i := 0; ; i++ {
		if !pause(ctx, wait) {
			return
		}
		wait = troubleEvery - troubleFor
		// From the last one on: it is where the creates go, and what fails of them is not
		// made good by the cache.
		control := t.vendors[len(t.vendors)-1-i%len(t.vendors)].control
		control.Fail(faults[i/len(t.vendors)%len(faults)])
		well := pause(ctx, troubleFor)
		control.Heal()
		if !well {
			return
		}
	}
}

// pause waits; false if ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// request makes one, of a kind that is drawn.
func (t *traffic) request(ctx context.Context) {
	backend := t.vendors[rand.N(len(t.vendors))].name
	switch n := rand.N(100); {
	case n < 40:
		t.list(ctx, url.Values{"limit": {"50"}})
	case n < 50:
		t.list(ctx, url.Values{"q": {"desk"}, "order_by": {"name"}})
	case n < 65:
		t.list(ctx, url.Values{"backend": {backend}}, "Cache-Control: no-cache")
	case n < 85:
		t.send(ctx, "GET", "/v1/agents/"+url.PathEscape(t.seen()), nil)
	case n < 90:
		t.send(ctx, "GET", "/v1/agents/"+url.PathEscape(t.seen()), nil, "Cache-Control: no-cache")
	case n < 92:
		t.send(ctx, "GET", "/v1/agents/"+backend+":nobody", nil)
	case n < 94:
		t.send(ctx, "GET", "/v1/backends", nil)
	case n < 96:
		t.send(ctx, "GET", "/v1/agents", nil, "Authorization: Bearer nobody-has-this-key")
	default:
		t.create(ctx)
	}
}

// create makes an agent wherever one can be, with a retry as clients do that heard
// nothing, and deletes it again.
func (t *traffic) create(ctx context.Context) {
	body := []byte(`{"name":"Traffic","architecture":"text","model":{"id":"gpt-4o-mini"},"system_prompt":"Answer briefly.","status":"active"}`)
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

// list remembers the agents that it sees.
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

// seen is an agent's id.
func (t *traffic) seen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ids) == 0 {
		return "none:yet"
	}
	return t.ids[rand.N(len(t.ids))]
}

// send gives the answer's body; nil if there is none. What fails is for the console to
// show.
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
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 400 {
		return nil
	}
	return answer
}
