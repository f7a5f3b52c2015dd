package faults

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agentgw/agentgw/internal/syncbuf"
	"github.com/agentgw/agentgw/test/internal/gatewaytest"
)

func TestMain(m *testing.M) { gatewaytest.Main(m) }

// runCells runs functions that mostly wait for a timeout, many at a time.
func runCells(cells []func()) {
	var group errgroup.Group
	group.SetLimit(48)
	for _, cell := range cells {
		group.Go(func() error { cell(); return nil })
	}
	_ = group.Wait() // cells return no errors
}

// starting is held by cells that start a gateway, which takes CPU time: only a few may do so
// at a time, for the others have timeouts.
var starting = make(chan struct{}, 2)

// TestMatrix tests every fault with every operation in every state of the cache.
func TestMatrix(t *testing.T) {
	var cells []func()
	for _, f := range Faults() {
		for _, op := range Operations {
			for _, state := range States {
				cells = append(cells, func() {
					t.Run(fmt.Sprintf("%s/%s/%s", f.Name, op, state), func(t *testing.T) { runCell(t, f, op, state) })
				})
			}
		}
	}
	runCells(cells)
	t.Logf("%d cells", len(cells))
}

// runCell puts the cache into a state, injects the fault, sends one request, and checks the
// response and everything else that the table says.
func runCell(t *testing.T, f Fault, op Operation, state Cached) {
	logged := &syncbuf.Buffer{}
	g := prepare(t, f, state, logged)
	f.Inject(g)
	before := count(g)
	want := f.Cell(op, state)
	got := ask(t, g, op)
	after := count(g)

	checkResponse(t, op, want, got)
	checkCounts(t, f, op, want, before, after)
	checkBreaker(t, g, f, op, want)
	checkCache(t, g, f, op, state)
	for _, secret := range append([]string{"canary text"}, g.Secrets...) {
		if strings.Contains(got.Text, secret) || strings.Contains(logged.String(), secret) || strings.Contains(string(g.Metrics()), secret) {
			t.Errorf("%.12s… leaks", secret)
		}
	}
}

// prepare starts a gateway and puts its cache into a state.
func prepare(t *testing.T, f Fault, state Cached, logged *syncbuf.Buffer) *gatewaytest.Gateway {
	t.Helper()
	starting <- struct{}{}
	defer func() { <-starting }()
	g := start(t, f, state, logged)
	if state != Cold {
		for _, warm := range []Operation{Read, List} {
			if r := ask(t, g, warm); r.Status != 200 || warm == List && r.Source(vendor)["status"] != "ok" {
				t.Fatalf("before the fault: %d %s", r.Status, r.Text)
			}
		}
	}
	if state == Old {
		time.Sleep(2 * staleAfter)
	}
	return g
}

// staleAfter is the ttl of the cache where entries are to be stale.
const staleAfter = 5 * time.Millisecond

// start starts a gateway with two backends, of which the fault's provider is one.
func start(t *testing.T, f Fault, state Cached, logged *syncbuf.Buffer) *gatewaytest.Gateway {
	t.Helper()
	ttl := "1h"
	if state == Old {
		ttl = staleAfter.String()
	}
	timeout := gatewaytest.Endless
	if f.Timeout > 0 {
		timeout = f.Timeout.String()
	}
	const settings = "timeout: %s\nmax_response_bytes: %dB\nmax_concurrent: %d\nbreaker: {consecutive: %d, min_requests: 1000, open_for: 1h}\ncache: {ttl: %s, stale_while_revalidate: 0s, stale_if_error: 1h}"
	return gatewaytest.Start(t, gatewaytest.Options{
		Backends: []string{"klen", vendor},
		Backend: map[string]string{
			"klen": fmt.Sprintf(settings, gatewaytest.Endless, maxBytes, maxConcurrent, consecutive, ttl),
			vendor: fmt.Sprintf(settings, timeout, maxBytes, maxConcurrent, consecutive, ttl),
		},
		Proxied: []string{vendor}, OneRequest: true, TLS: f.TLS, Log: logged,
	})
}

// TestRequestDeadline tests that request_timeout ends every request, whatever the provider
// does and whatever its own timeout is: the responses would not come otherwise.
func TestRequestDeadline(t *testing.T) {
	var cells []func()
	for _, f := range Faults() {
		for _, op := range Operations {
			cells = append(cells, func() {
				t.Run(fmt.Sprintf("%s/%s", f.Name, op), func(t *testing.T) {
					g := prepare(t, Fault{TLS: f.TLS}, Cold, &syncbuf.Buffer{})
					f.Inject(g)
					if err := g.Reload("request_timeout: "+gatewaytest.Endless, "request_timeout: 2s"); err != nil {
						t.Fatal(err)
					}
					got := ask(t, g, op)
					if got.Status >= 500 && got.Code() == "internal" {
						t.Errorf("%d %s", got.Status, got.Text)
					}
				})
			})
		}
	}
	runCells(cells)
}

func ask(t *testing.T, g *gatewaytest.Gateway, op Operation) gatewaytest.Reply {
	t.Helper()
	method, path, body := "GET", agent, ""
	switch op {
	case List:
		path = "/v1/agents"
	case Write:
		method, body = "PATCH", `{"name": "New Name"}`
	}
	r, err := g.Ask(context.Background(), "acme", method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
