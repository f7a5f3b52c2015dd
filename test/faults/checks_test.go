package faults

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/internal/syncbuf"
	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/test/internal/gatewaytest"
)

func checkResponse(t *testing.T, op Operation, want Cell, got gatewaytest.Reply) {
	t.Helper()
	code := got.Code()
	if op == List {
		source := got.Source(vendor)
		if failure, ok := source["error"].(map[string]any); ok {
			code = failure["code"].(string)
		}
		if source["status"] != want.Source || got.Source("klen")["status"] != "ok" || got.Body["complete"] != (want.Source == "ok") {
			t.Errorf("source %v, want %s; complete %v", source, want.Source, got.Body["complete"])
		}
	}
	if got.Status != want.Status || code != want.Code {
		t.Errorf("%d %q, want %d %q: %s", got.Status, code, want.Status, want.Code, got.Text)
	}
	if got.Status >= 400 && got.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("an error with Content-Type %s", got.Header.Get("Content-Type"))
	}
	if (got.Status == 429 || got.Status == 503) && got.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	status := got.Header.Get("Cache-Status")
	for word, is := range map[string]string{"hit": "agentgw; hit", "stale": "agentgw; fwd=stale"} {
		if (want.Cache == word) != (status == is) {
			t.Errorf("Cache-Status %q, want %q", status, want.Cache)
		}
	}
}

// counts are the requests to the provider, as it and the gateway count them.
type counts struct {
	received                                        int // by the provider
	sent, retries, hits, stale, incomplete, failing int
}

func count(g *gatewaytest.Gateway) counts {
	backend := fmt.Sprintf("backend=%q", vendor)
	page := g.Metrics()
	return counts{
		received:   len(g.Vendors[vendor].Control().Requests()),
		sent:       page.Sum("http_client_request_duration_seconds_count", backend),
		failing:    page.Sum("http_client_request_duration_seconds_count", backend, "error_type="),
		retries:    page.Sum("agentgw_upstream_retries_total", backend),
		hits:       page.Sum("agentgw_cache_requests_total", backend, `result="hit"`),
		stale:      page.Sum("agentgw_cache_requests_total", backend, `result="stale"`),
		incomplete: page.Sum("agentgw_list_incomplete_total", backend),
	}
}

func (c counts) minus(b counts) counts {
	return counts{c.received - b.received, c.sent - b.sent, c.retries - b.retries, c.hits - b.hits, c.stale - b.stale, c.incomplete - b.incomplete, c.failing - b.failing}
}

func checkCounts(t *testing.T, f Fault, op Operation, cell Cell, before, after counts) {
	t.Helper()
	got := after.minus(before)
	want := counts{received: cell.Requests, sent: cell.Requests, failing: cell.Requests}
	if f.Unseen {
		want.received = 0
	}
	if op == Write && cell.Status == 200 {
		want.failing-- // the write itself
	}
	if op != Write {
		want.retries = max(0, cell.Requests-1)
	}
	switch cell.Cache {
	case "hit":
		want.hits = 1
	case "stale":
		want.stale = 1
	}
	if op == List && cell.Source != "ok" {
		want.incomplete = 1
	}
	if got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

// checkBreaker sends requests until the breaker must open, if it counts them.
func checkBreaker(t *testing.T, g *gatewaytest.Gateway, f Fault, op Operation, cell Cell) {
	t.Helper()
	verdict := f.Verdict(op)
	for sent := cell.Requests; sent > 0 && sent < consecutive; sent += cell.Requests {
		ask(t, g, op)
	}
	want := "closed"
	if verdict == Counts && cell.Requests > 0 || f.Name == "breaker open" {
		want = "open"
	}
	r, err := g.Ask(context.Background(), "acme", "GET", "/v1/backends/"+vendor, "")
	if err != nil {
		t.Fatal(err)
	}
	if breaker := r.Body["breaker"].(map[string]any); breaker["state"] != want {
		t.Errorf("the breaker is %v, want %s", breaker["state"], want)
	}
	if g.Metrics().Sum("agentgw_breaker_state", fmt.Sprintf("backend=%q", vendor), fmt.Sprintf("state=%q", want)) != 1 {
		t.Errorf("the metric does not say that it is %s", want)
	}
}

// checkCache sends one more request while the provider is unavailable: the cached entry must
// still be there, or it must not.
func checkCache(t *testing.T, g *gatewaytest.Gateway, f Fault, op Operation, state Cached) {
	t.Helper()
	if state == Cold || op != Write && state == Fresh {
		return
	}
	kept := f.Stale != StaleNever
	if op == Write {
		kept = f.Kept
	}
	control := g.Vendors[vendor].Control()
	control.Heal()
	control.Fail(sandbox.Fault{Status: 503})
	if op == Write {
		op = Read
	}
	r := ask(t, g, op)
	served := r.Status == 200
	if op == List {
		served = r.Source(vendor)["status"] == "stale"
	}
	if served != kept {
		t.Errorf("afterwards %d %s; want the entry to be kept: %v", r.Status, r.Code(), kept)
	}
}

// TestBreaker_ConsecutiveFailures tests that two failures are still consecutive if a neutral
// outcome is between them, but not if a success is.
func TestBreaker_ConsecutiveFailures(t *testing.T) {
	for _, f := range Faults() {
		if f.Breaker == Counts || f.Breaker == Unasked || f.Name == "429" { // after a 429 no request is sent
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			g := prepare(t, f, Cold, &syncbuf.Buffer{})
			control := g.Vendors[vendor].Control()
			fail := func() {
				control.Heal()
				control.Fail(sandbox.Fault{Status: 500})
				ask(t, g, Write) // a write is not retried
				control.Heal()
			}
			fail()
			f.Inject(g)
			ask(t, g, Read)
			fail()
			r, err := g.Ask(context.Background(), "acme", "GET", "/v1/backends/"+vendor, "")
			if err != nil {
				t.Fatal(err)
			}
			if opened := r.Body["breaker"].(map[string]any)["state"] == "open"; opened != (f.Breaker == Neutral) {
				t.Errorf("%s: opened %v", f.Breaker, opened)
			}
		})
	}
}

// TestRedirect_IsNotFollowed tests that the gateway sends requests to the configured host
// only.
func TestRedirect_IsNotFollowed(t *testing.T) {
	g := start(t, Fault{}, Cold, &syncbuf.Buffer{})
	klen := len(g.Vendors["klen"].Control().Requests())
	host := "http://" + strings.TrimPrefix(strings.SplitAfter(g.File(), "base_url: http://")[1], "http://")
	answers(307, "Location", strings.SplitN(host, "\n", 2)[0]+"/agents")(g)
	for _, op := range Operations {
		if r := ask(t, g, op); op != List && r.Code() != "upstream_bad_response" {
			t.Errorf("%s: %d %s", op, r.Status, r.Code())
		}
	}
	if got := len(g.Vendors["klen"].Control().Requests()); got > klen+1 { // by the list
		t.Errorf("the redirect was followed: %d requests", got-klen)
	}
}
