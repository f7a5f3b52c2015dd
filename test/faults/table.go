// Package faults is the contract's table of what a vendor can do wrong (section
// 9), as a test runs it and as docs/reliability.md shows it: each fault, what
// becomes of a read, a list and a write, and what that says of the backend.
package faults

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/agentgw/agentgw/sandbox"
	"github.com/agentgw/agentgw/test/live"
)

// Stale is whether an older answer stands in.
type Stale string

// What can become of an older answer.
const (
	StaleYes   Stale = "yes"   // it stands in
	StaleNo    Stale = "no"    // it does not, and is kept
	StaleNever Stale = "never" // it does not, and is dropped
)

// Verdict is what the breaker makes of a failure.
type Verdict string

// What a breaker can make of a failure.
const (
	Counts  Verdict = "fail"
	Fine    Verdict = "ok"
	Neutral Verdict = "neutral"
	Unasked Verdict = "–" // nothing was sent
)

// Outcome is what a caller gets, and how many requests the vendor gets for it.
type Outcome struct {
	Status   int
	Code     string // of the problem, or of the list's source; empty for none
	Requests int
}

// Fault is one row.
type Fault struct {
	Name string
	// Inject has the vendor fail from now on.
	Inject func(*live.Live)
	// Unseen: the requests do not come as far as the vendor; they are counted
	// where they are sent.
	Unseen bool
	TLS    bool // it takes https
	// Waits: the gateway gives up on it only when its timeout is over. Where nobody
	// waits for the timeout, it is one that a busy machine does not reach.
	Waits bool
	// Timeout is that of a request to the vendor, where it is not the others'.
	Timeout time.Duration

	Read, List, Write Outcome
	Breaker           Verdict
	// Where they differ from Breaker's.
	ListBreaker, WriteBreaker Verdict
	Stale                     Stale
	// Kept: a write that ends so leaves alone what is known.
	Kept bool
}

// The vendor that fails; it has every operation.
const (
	vendor  = "talkifai"
	agent   = "/v1/agents/talkifai:agent_abc123"
	patched = "/v1/agents/agent_abc123"
)

// What the gateway that the table is about is configured with.
const (
	matrixTimeout = 6 * time.Second // of a request to the gateway
	waited        = 2 * time.Second // timeout of one request to a vendor that is waited for
	unreached     = 5 * time.Second // timeout of one that answers, or fails, at once
	maxBytes      = 64 << 10
	maxConcurrent = 1
	consecutive   = 2 // failures open the breaker
)

func fails(f sandbox.Fault) func(*live.Live) {
	return func(l *live.Live) { l.Vendors[vendor].Control().Fail(f) }
}

func toxic(json string) func(*live.Live) {
	return func(l *live.Live) { l.Toxic(vendor, json) }
}

func answers(status int, headers ...string) func(*live.Live) {
	f := sandbox.Fault{Status: status, Body: `{"success": false, "error": "canary text of the vendor", "code": "SOME_CODE"}`, Header: map[string]string{}}
	for i := 0; i < len(headers); i += 2 {
		f.Header[headers[i]] = headers[i+1]
	}
	return fails(f)
}

// repeated is JSON of at least so many bytes.
func repeated(size int) string {
	return `{"success": true, "data": ["` + strings.Repeat("x", size) + `"]}`
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

// out is what becomes of a failure that the table gives one answer.
func out(status int, code string, requests int) Outcome { return Outcome{status, code, requests} }

// lost is a write of which nobody knows what became.
var lost = Outcome{504, "write_outcome_unknown", 1}

// Faults is the table.
func Faults() []Fault {
	return []Fault{
		{
			Name: "name not found", Unseen: true, Inject: func(l *live.Live) { l.Gone(vendor) },
			Read: out(502, "upstream_error", 2), List: out(200, "upstream_error", 2), Write: out(502, "upstream_error", 1),
			Breaker: Counts, Stale: StaleYes, Kept: true,
		},
		{
			Name: "connection refused", Unseen: true, Inject: func(l *live.Live) { l.Proxies[vendor].Stop() },
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
			Name: "TLS failure", Unseen: true, TLS: true, Inject: func(l *live.Live) { l.Plain(vendor) },
			Read: out(502, "upstream_error", 1), List: out(200, "upstream_error", 1), Write: out(502, "upstream_error", 1),
			Breaker: Counts, Stale: StaleYes, Kept: true,
		},
		{
			Name: "no connection in time", Waits: true, Unseen: true, TLS: true, Inject: toxic(`{"type": "timeout", "stream": "upstream", "attributes": {"timeout": 0}}`),
			Read: out(504, "upstream_timeout", 2), List: out(200, "upstream_timeout", 2), Write: out(504, "upstream_timeout", 1),
			Breaker: Counts, Stale: StaleYes, Kept: true,
		},
		{
			Name: "black hole", Waits: true, Unseen: true, Inject: toxic(`{"type": "timeout", "stream": "upstream", "attributes": {"timeout": 0}}`),
			Read: out(504, "upstream_timeout", 2), List: out(200, "upstream_timeout", 2), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "accepts and never answers", Waits: true, Inject: fails(sandbox.Fault{Hang: true}),
			Read: out(504, "upstream_timeout", 2), List: out(200, "upstream_timeout", 2), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "body drips", Waits: true, Inject: fails(sandbox.Fault{Drip: 100 * time.Millisecond}),
			Read: out(504, "upstream_timeout", 1), List: out(200, "upstream_timeout", 1), Write: lost,
			Breaker: Counts, Stale: StaleYes,
		},
		{
			Name: "body crawls", Waits: true, Inject: toxic(`{"type": "slicer", "stream": "downstream", "attributes": {"average_size": 40, "size_variation": 0, "delay": 200000}}`),
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
			Breaker: Counts, WriteBreaker: Fine, Stale: StaleYes,
		},
		{
			Name: "nested too deep", Inject: fails(sandbox.Fault{Status: 200, Body: strings.Repeat("[", 200) + strings.Repeat("]", 200)}),
			Read: out(502, "upstream_bad_response", 1), List: out(200, "upstream_bad_response", 1), Write: lost,
			Breaker: Counts, Stale: StaleYes,
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
			Name: "bulkhead full", Timeout: 10 * time.Second, Inject: fill,
			Read: out(503, "upstream_unavailable", 0), List: out(200, "upstream_unavailable", 0), Write: out(503, "upstream_unavailable", 0),
			Breaker: Unasked, Stale: StaleYes, Kept: true,
		},
	}
}

// elsewhere is an agent that nothing else asks for.
const elsewhere = "/v1/agents/talkifai:agent_elsewhere"

// open fails until the breaker is open.
func open(l *live.Live) {
	control := l.Vendors[vendor].Control()
	control.Fail(sandbox.Fault{Status: 500})
	for range consecutive {
		if _, err := l.Ask(context.Background(), "acme", "GET", elsewhere, ""); err != nil {
			panic(fmt.Sprintf("cannot open the breaker: %v", err))
		}
	}
	control.Heal()
}

// fill has the vendor busy with as many requests as it may get at once.
func fill(l *live.Live) {
	control := l.Vendors[vendor].Control()
	control.Fail(sandbox.Fault{Path: "/v1/agents/agent_elsewhere", Delay: time.Minute})
	before := len(control.Requests())
	for range maxConcurrent {
		go func() { _, _ = l.Ask(context.Background(), "acme", "GET", elsewhere, "") }() // until its timeout
	}
	for len(control.Requests()) < before+maxConcurrent {
		time.Sleep(time.Millisecond) // between two looks
	}
}

// Operation is what is asked.
type Operation string

// The operations of the table.
const (
	Read  Operation = "read"
	List  Operation = "list"
	Write Operation = "write"
)

// Cached is what is known when it is asked.
type Cached string

// What can be known.
const (
	Cold  Cached = "cold"  // nothing
	Fresh Cached = "fresh" // it was read within ttl
	Old   Cached = "stale" // it was read longer ago, and may be served after an error
)

// Operations and states that every fault is tried in.
var (
	Operations = []Operation{Read, List, Write}
	States     = []Cached{Cold, Fresh, Old}
)

// Cell is what is asserted of a fault, an operation and a state.
type Cell struct {
	Outcome
	Cache  string // hit, stale, or empty: neither
	Source string // the source's status in a list
}

// Cell is what follows from the row.
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

// timeout is that of each request to the vendor.
func (f Fault) timeout() time.Duration {
	switch {
	case f.Timeout > 0:
		return f.Timeout
	case f.Waits:
		return waited
	}
	return unreached
}

// Verdict is what the breaker makes of an operation that fails so.
func (f Fault) Verdict(op Operation) Verdict {
	switch {
	case op == List && f.ListBreaker != "":
		return f.ListBreaker
	case op == Write && f.WriteBreaker != "":
		return f.WriteBreaker
	}
	return f.Breaker
}
