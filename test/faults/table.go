// Package faults has the contract's table of provider failures (section 9): each fault, the
// response to a read, a list and a write, and whether the breaker counts it. A test runs
// the table, and docs/reliability.md shows it.
package faults

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/test/internal/gatewaytest"
)

// Stale says whether an expired cache entry is served instead of an error.
type Stale string

// Values of Stale.
const (
	StaleYes   Stale = "yes"   // it is served
	StaleNo    Stale = "no"    // it is not served, but kept
	StaleNever Stale = "never" // it is dropped
)

// Verdict says how the breaker counts a failure.
type Verdict string

// Values of Verdict.
const (
	Counts  Verdict = "fail"
	Fine    Verdict = "ok"
	Neutral Verdict = "neutral"
	Unasked Verdict = "–" // no request is sent
)

// Outcome is the response to the caller, and the number of requests to the provider.
type Outcome struct {
	Status   int
	Code     string // of the problem, or of the list's source; may be empty
	Requests int
}

// Fault is one row of the table.
type Fault struct {
	Name string
	// Inject makes the provider fail.
	Inject func(*gatewaytest.Gateway)
	// Unseen: the provider receives no request, so only the gateway can count them.
	Unseen bool
	TLS    bool // the provider uses https
	// Timeout of a request to the provider. It is endless if it is 0.
	Timeout time.Duration

	Read, List, Write Outcome
	Breaker           Verdict
	// Verdicts that differ from Breaker, if any.
	ListBreaker, WriteBreaker Verdict
	Stale                     Stale
	// Kept: a write that ends so keeps the cached agent.
	Kept bool
}

// The provider that fails. It supports every operation.
const (
	vendor  = "talkifai"
	agent   = "/v1/agents/talkifai:agent_abc123"
	patched = "/v1/agents/agent_abc123"
)

// Settings of the gateway that the table is about.
const (
	// silent and slow are timeouts of a request to the provider, in faults that nothing else
	// ends. Before silent is over, the request must be sent; before slow, the header of the
	// response must arrive, too.
	silent        = 10 * time.Second
	slow          = 20 * time.Second
	maxBytes      = 64 << 10
	maxConcurrent = 1
	consecutive   = 2 // failures open the breaker
)

func fails(f sandbox.Fault) func(*gatewaytest.Gateway) {
	return func(g *gatewaytest.Gateway) { g.Vendors[vendor].Control().Fail(f) }
}

func toxic(json string) func(*gatewaytest.Gateway) {
	return func(g *gatewaytest.Gateway) { g.Toxic(vendor, json) }
}

func answers(status int, headers ...string) func(*gatewaytest.Gateway) {
	f := sandbox.Fault{Status: status, Body: `{"success": false, "error": "canary text of the vendor", "code": "SOME_CODE"}`, Header: map[string]string{}}
	for i := 0; i < len(headers); i += 2 {
		f.Header[headers[i]] = headers[i+1]
	}
	return fails(f)
}

// repeated returns JSON of at least size bytes.
func repeated(size int) string {
	return `{"success": true, "data": ["` + strings.Repeat("x", size) + `"]}`
}

// padded appends so much white space to a body that it takes longer than slow.
func padded(body []byte) []byte { return append(body, bytes.Repeat([]byte(" "), 8<<10)...) }

// crawls makes the network slow: 40 bytes in 200 ms.
func crawls(g *gatewaytest.Gateway) {
	fails(sandbox.Fault{Change: padded})(g)
	toxic(`{"type": "slicer", "stream": "downstream", "attributes": {"average_size": 40, "size_variation": 0, "delay": 200000}}`)(g)
}

func zipped(body string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(body))
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	return b.String()
}

// out returns an Outcome.
func out(status int, code string, requests int) Outcome { return Outcome{status, code, requests} }

// lost is the outcome of a write that may or may not have happened.
var lost = Outcome{504, "write_outcome_unknown", 1}

// Faults returns the table.
func Faults() []Fault {
	return []Fault{
		{
			Name: "name not found", Unseen: true, Inject: func(g *gatewaytest.Gateway) { g.Unresolve(vendor) },
			Read: out(502, "upstream_error", 2), List: out(200, "upstream_error", 2), Write: out(502, "upstream_error", 1),
			Breaker: Counts, Stale: StaleYes, Kept: true,
		},
		{
			Name: "connection refused", Unseen: true, Inject: func(g *gatewaytest.Gateway) { g.Proxies[vendor].Stop() },
			Read: out(502, "upstream_error", 2), List: out(200, "upstream_error", 2), Write: out(502, "upstream_error", 1),
			Breaker: Counts, Stale: StaleYes, Kept: true,
		},
		{
			Name: "connection reset (RST)", Unseen: true, Inject: toxic(`{"type": "reset_peer", "stream": "upstream", "attributes": {"timeout": 0}}`),
			Read: out(502, "upstream_error", 2), List: out(200, "upstream_error", 2), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "closed before the first byte", Inject: fails(sandbox.Fault{Reset: true}),
			Read: out(502, "upstream_error", 2), List: out(200, "upstream_error", 2), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "TLS failure", Unseen: true, TLS: true, Inject: func(g *gatewaytest.Gateway) { g.Plain(vendor) },
			Read: out(502, "upstream_error", 1), List: out(200, "upstream_error", 1), Write: out(502, "upstream_error", 1),
			Breaker: Counts, Stale: StaleYes, Kept: true,
		},
		{
			Name: "no connection in time", Timeout: silent, Unseen: true, TLS: true, Inject: toxic(`{"type": "timeout", "stream": "upstream", "attributes": {"timeout": 0}}`),
			Read: out(504, "upstream_timeout", 2), List: out(200, "upstream_timeout", 2), Write: out(504, "upstream_timeout", 1),
			Breaker: Counts, Stale: StaleYes, Kept: true,
		},
		{
			Name: "black hole", Timeout: silent, Unseen: true, Inject: toxic(`{"type": "timeout", "stream": "upstream", "attributes": {"timeout": 0}}`),
			Read: out(504, "upstream_timeout", 2), List: out(200, "upstream_timeout", 2), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "accepts and never answers", Timeout: silent, Inject: fails(sandbox.Fault{Hang: true}),
			Read: out(504, "upstream_timeout", 2), List: out(200, "upstream_timeout", 2), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "body drips", Timeout: slow, Inject: fails(sandbox.Fault{Change: padded, Drip: 100 * time.Millisecond}),
			Read: out(504, "upstream_timeout", 1), List: out(200, "upstream_timeout", 1), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "body crawls", Timeout: slow, Inject: crawls,
			Read: out(504, "upstream_timeout", 1), List: out(200, "upstream_timeout", 1), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "body shorter than its Content-Length", Inject: fails(sandbox.Fault{Cut: true}),
			Read: out(502, "upstream_error", 2), List: out(200, "upstream_error", 2), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "connection cut in the headers", Inject: toxic(`{"type": "limit_data", "stream": "downstream", "attributes": {"bytes": 40}}`),
			Read: out(502, "upstream_error", 2), List: out(200, "upstream_error", 2), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "connection cut in the body", Inject: toxic(`{"type": "limit_data", "stream": "downstream", "attributes": {"bytes": 150}}`),
			Read: out(502, "upstream_error", 2), List: out(200, "upstream_error", 2), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "not JSON", Inject: fails(sandbox.Fault{Status: 200, Body: `canary text of the vendor`}),
			Read: out(502, "upstream_bad_response", 1), List: out(200, "upstream_bad_response", 1), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "wrong JSON type", Inject: fails(sandbox.Fault{Status: 200, Body: `{"success": true, "data": 5}`}),
			// Of the reply to an update only the status is documented; the agent
			// that is read back is not one: 200 with the warning unverified.
			Read: out(502, "upstream_bad_response", 1), List: out(200, "upstream_bad_response", 1), Write: out(200, "", 2),
			Breaker: Neutral, WriteBreaker: Fine, Stale: StaleYes,
		},
		{
			Name: "nested too deep", Inject: fails(sandbox.Fault{Status: 200, Body: strings.Repeat("[", 200) + strings.Repeat("]", 200)}),
			Read: out(502, "upstream_bad_response", 1), List: out(200, "upstream_bad_response", 1), Write: lost,
			Breaker: Neutral, Stale: StaleYes,
		},
		{
			Name: "HTML page", Inject: fails(sandbox.Fault{Status: 200, Header: map[string]string{"Content-Type": "text/html; charset=utf-8"}, Body: `<html>canary text of the vendor</html>`}),
			Read: out(502, "upstream_bad_response", 1), List: out(200, "upstream_bad_response", 1), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "body over `max_response_bytes`", Inject: fails(sandbox.Fault{Status: 200, Body: repeated(maxBytes)}),
			Read: out(502, "upstream_bad_response", 1), List: out(200, "upstream_bad_response", 1), Write: lost,
			Breaker: Neutral, Stale: StaleNo,
		},
		{
			Name: "body over `max_response_bytes` once decompressed", Inject: fails(sandbox.Fault{Status: 200, Header: map[string]string{"Content-Encoding": "gzip"}, Body: zipped(repeated(16 * maxBytes))}),
			Read: out(502, "upstream_bad_response", 1), List: out(200, "upstream_bad_response", 1), Write: lost,
			Breaker: Neutral, Stale: StaleNo,
		},
		{
			Name: "500", Inject: answers(500),
			Read: out(502, "upstream_error", 2), List: out(200, "upstream_error", 2), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "502", Inject: answers(502),
			Read: out(502, "upstream_error", 2), List: out(200, "upstream_error", 2), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "503", Inject: answers(503),
			Read: out(503, "upstream_unavailable", 2), List: out(200, "upstream_unavailable", 2), Write: out(503, "upstream_unavailable", 1),
			Breaker: Counts, Stale: StaleYes, Kept: true,
		},
		{
			Name: "503 with `Retry-After: 30`", Inject: answers(503, "Retry-After", "30"),
			Read: out(503, "upstream_unavailable", 1), List: out(200, "upstream_unavailable", 1), Write: out(503, "upstream_unavailable", 1),
			Breaker: Counts, Stale: StaleYes, Kept: true,
		},
		{
			Name: "504", Inject: answers(504),
			Read: out(504, "upstream_timeout", 2), List: out(200, "upstream_timeout", 2), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "429", Inject: answers(429, "Retry-After", "30"),
			Read: out(429, "upstream_rate_limited", 1), List: out(200, "upstream_rate_limited", 1), Write: out(429, "upstream_rate_limited", 1),
			Breaker: Neutral, Stale: StaleYes, Kept: true,
		},
		{
			Name: "401", Inject: answers(401),
			Read: out(502, "upstream_auth_failed", 1), List: out(200, "upstream_auth_failed", 1), Write: out(502, "upstream_auth_failed", 1),
			Breaker: Neutral, Stale: StaleNever,
		},
		{
			Name: "403", Inject: answers(403),
			Read: out(502, "upstream_auth_failed", 1), List: out(200, "upstream_auth_failed", 1), Write: out(502, "upstream_auth_failed", 1),
			Breaker: Neutral, Stale: StaleNever,
		},
		{
			Name: "404", Inject: answers(404),
			// A list names no agent that could be missing.
			Read: out(404, "agent_not_found", 1), List: out(200, "upstream_error", 1), Write: out(404, "agent_not_found", 1),
			Breaker: Fine, ListBreaker: Neutral, Stale: StaleNever,
		},
		{
			Name: "redirect", Inject: answers(302, "Location", "/v1/agents/elsewhere"),
			Read: out(502, "upstream_bad_response", 1), List: out(200, "upstream_bad_response", 1), Write: out(502, "upstream_bad_response", 1),
			Breaker: Neutral, Stale: StaleNo, Kept: true,
		},
		{
			Name: "200 with `success: false`", Inject: answers(200),
			Read: out(502, "upstream_bad_response", 1), List: out(200, "upstream_bad_response", 1), Write: out(502, "upstream_bad_response", 1),
			Breaker: Neutral, Stale: StaleNo, Kept: true,
		},
		{
			Name: "breaker open", Inject: open,
			Read: out(503, "upstream_unavailable", 0), List: out(200, "upstream_unavailable", 0), Write: out(503, "upstream_unavailable", 0),
			Breaker: Unasked, Stale: StaleYes, Kept: true,
		},
		{
			Name: "bulkhead full", Inject: fill,
			Read: out(503, "upstream_unavailable", 0), List: out(200, "upstream_unavailable", 0), Write: out(503, "upstream_unavailable", 0),
			Breaker: Unasked, Stale: StaleYes, Kept: true,
		},
	}
}

// elsewhere is an agent that no operation of the table uses.
const elsewhere = "/v1/agents/talkifai:agent_elsewhere"

// open makes requests fail until the breaker is open.
func open(g *gatewaytest.Gateway) {
	control := g.Vendors[vendor].Control()
	control.Fail(sandbox.Fault{Status: 500})
	for range consecutive {
		if _, err := g.Ask(context.Background(), "acme", "GET", elsewhere, ""); err != nil {
			panic(fmt.Sprintf("cannot open the breaker: %v", err))
		}
	}
	control.Heal()
}

// fill occupies every slot of the bulkhead with a request that hangs.
func fill(g *gatewaytest.Gateway) {
	control := g.Vendors[vendor].Control()
	control.Fail(sandbox.Fault{Path: "/v1/agents/agent_elsewhere", Hang: true})
	before := len(control.Requests())
	for range maxConcurrent {
		go func() { _, _ = g.Ask(context.Background(), "acme", "GET", elsewhere, "") }() // until the gateway ends
	}
	for len(control.Requests()) < before+maxConcurrent {
		time.Sleep(time.Millisecond)
	}
}

// Operation is a kind of request.
type Operation string

// The operations of the table.
const (
	Read  Operation = "read"
	List  Operation = "list"
	Write Operation = "write"
)

// Cached is the state of the cache before the request.
type Cached string

// Values of Cached.
const (
	Cold  Cached = "cold"  // empty
	Fresh Cached = "fresh" // the entry is younger than ttl
	Old   Cached = "stale" // it is older, and may be served after an error
)

// Every fault is tested with each of these.
var (
	Operations = []Operation{Read, List, Write}
	States     = []Cached{Cold, Fresh, Old}
)

// Cell is what is expected of a fault, an operation and a state of the cache.
type Cell struct {
	Outcome
	Cache  string // hit, stale or empty
	Source string // the source's status in a list
}

// Cell returns what the row says of an operation and a state.
func (f Fault) Cell(op Operation, state Cached) Cell {
	c := Cell{Outcome: map[Operation]Outcome{Read: f.Read, List: f.List, Write: f.Write}[op]}
	switch {
	case op == Write:
		return c
	case state == Fresh:
		return Cell{Outcome: Outcome{Status: 200}, Cache: "hit", Source: "ok"}
	case state == Old && f.Stale == StaleYes:
		c.Status, c.Cache, c.Source = 200, "stale", "stale"
		if op == Read {
			c.Code = ""
		}
		return c
	}
	c.Source = "error"
	return c
}

// Verdict returns how the breaker counts an operation that fails so.
func (f Fault) Verdict(op Operation) Verdict {
	switch {
	case op == List && f.ListBreaker != "":
		return f.ListBreaker
	case op == Write && f.WriteBreaker != "":
		return f.WriteBreaker
	}
	return f.Breaker
}
