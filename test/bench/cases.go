package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	list = "/v1/agents?limit=1000"
	one  = "/v1/agents/krosai:agent-1"

	noCache = "Cache-Control: no-cache"
)

// comparison is a case: the gateway against a bare limit.
type comparison struct {
	name  string
	bare  []string // flags of the program bare; none: the gateway's own list
	of    *server
	asked target
	goal  float64 // of the ratio
	nginx bool    // is measured, too, as a cache of the same
	alike bool    // the bare limit is asked with the same header
}

// comparisons are the cases; the bodies that the bare limit answers are the gateway's own.
// Asked anew, most backends say what they said before; changing ones never do.
func (b *bench) comparisons() ([]comparison, error) {
	tag := ""
	for name, path := range map[string]string{"list.json": list, "one.json": one} {
		body, header, err := fetch(b.gateway.asked(path))
		if err != nil {
			return nil, err
		}
		if path == list {
			tag = header.Get("ETag")
		}
		if err := os.WriteFile(b.path(name), body, 0o600); err != nil {
			return nil, err
		}
	}
	withIDs, err := b.withIDs(b.gateway, one)
	if err != nil {
		return nil, err
	}
	cases := []comparison{
		{name: "list from memory", bare: []string{"-fixed", b.path("list.json")}, of: b.gateway, asked: b.gateway.asked(list), goal: 1.25, nginx: true},
		{name: "agent from memory", bare: []string{"-fixed", b.path("one.json")}, of: b.gateway, asked: b.gateway.asked(one), goal: 1.45, nginx: true},
		{name: "agent from memory, ids each time", bare: []string{"-fixed", b.path("one.json")}, of: b.gateway, asked: withIDs, goal: 1.45, alike: true},
		{name: "not modified, to the list", of: b.gateway, asked: b.gateway.asked(list, "If-None-Match: "+tag), goal: 1},
	}
	changing, err := b.vendors(*agents, "0", "-changing")
	if err != nil {
		return nil, err
	}
	other, err := b.serve(setup{program: "agentgw", backends: changing, keys: manyKeys, observed: unsampled})
	if err != nil {
		return nil, err
	}
	for _, anew := range []struct {
		of       *server
		backends map[string]string
		how      string
	}{{b.gateway, b.backends, "asked anew"}, {other, changing, "asked anew, changed"}} {
		oneAnew, err := b.inTurn(anew.of, one, noCache)
		if err != nil {
			return nil, err
		}
		listAnew, err := b.inTurn(anew.of, list, noCache)
		if err != nil {
			return nil, err
		}
		cases = append(cases,
			comparison{name: "agent, " + anew.how, bare: []string{"-proxy", anew.backends["krosai"] + "/agents/agent-1"}, of: anew.of, asked: oneAnew, goal: 2},
			comparison{name: "list of 4, " + anew.how, bare: []string{"-merge", strings.Join(lists(anew.backends), ",")}, of: anew.of, asked: listAnew, goal: 3.5},
		)
	}
	return cases, nil
}

// lists are the URLs of what is to be merged.
func lists(backends map[string]string) (urls []string) {
	for _, name := range names(backends) {
		urls = append(urls, backends[name]+"/agents")
	}
	return urls
}

func fetch(t target) ([]byte, http.Header, error) {
	req, err := http.NewRequest(http.MethodGet, t.url, nil)
	if err != nil {
		return nil, nil, err
	}
	for name, value := range t.headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d: %.200s", t.url, resp.StatusCode, body)
	}
	return body, resp.Header, err
}

// closedLoop measures the comparisons, and what the process is.
func (b *bench) closedLoop(r *report) error {
	ready, err := b.ready()
	if err != nil {
		return err
	}
	r.Process = &processRow{ReadyMs: milliseconds(ready), IdleMiB: mebibytes(b.gateway.idle), BinaryMiB: mebibytes(b.size)}
	comparisons, err := b.comparisons()
	if err != nil {
		return err
	}
	for _, c := range comparisons {
		row, err := b.compare(c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		r.Closed = append(r.Closed, row)
	}
	loaded, err := b.gateway.memory()
	r.Process.LoadedMiB = mebibytes(loaded)
	return err
}

// ready is how long the gateway takes until it is, the middle one of as many starts as there
// are rounds.
func (b *bench) ready() (time.Duration, error) {
	took := []time.Duration{b.gateway.up}
	for len(took) < *rounds {
		g, err := b.serve(b.usual())
		if err != nil {
			return 0, err
		}
		g.stop()
		took = append(took, g.up)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// compare has the sides take turns: the gateway, the bare limit, the same with what every
// answer has to have, and nginx.
func (b *bench) compare(c comparison) (closedRow, error) {
	row := closedRow{Name: c.name, Goal: c.goal}
	gateway := turn{c.of.process, c.asked, &row.Gateway}
	if len(c.bare) == 0 {
		return row, takeTurns([]turn{{b.gateway.process, b.gateway.asked(list), &row.Bare}, gateway})
	}
	bare, address, err := b.bare(c.bare...)
	if err != nil {
		return row, err
	}
	defer bare.stop()
	observed, at, err := b.bare(append([]string{"-observed"}, c.bare...)...)
	if err != nil {
		return row, err
	}
	defer observed.stop()
	row.Observed = &side{}
	plain, keyed := target{url: address + "/x"}, target{url: at + "/x", headers: map[string]string{"Authorization": "Bearer bench"}}
	if c.alike {
		plain.headers, plain.script, keyed.script = c.asked.headers, c.asked.script, c.asked.script
	}
	sides := []turn{{bare, plain, &row.Bare}, gateway, {observed, keyed, row.Observed}}
	if c.nginx {
		proxy, at, err := b.nginx(address)
		switch {
		case err != nil:
			return row, err
		case proxy != nil:
			defer proxy.stop()
			row.Nginx = &side{}
			sides = append(sides, turn{proxy, target{url: at + "/x"}, row.Nginx})
		}
	}
	return row, takeTurns(sides)
}

// bare starts a bare limit, and says where it is.
func (b *bench) bare(flags ...string) (*process, string, error) {
	p, err := b.start(false, nil, "bare", flags...)
	if err != nil {
		return nil, "", err
	}
	address, err := p.line("http")
	if err != nil {
		p.stop()
		return nil, "", err
	}
	return p, address, nil
}

// turn is a side of a comparison.
type turn struct {
	of     *process
	target target
	into   *side
}

func takeTurns(sides []turn) error {
	for range *rounds {
		for _, s := range sides {
			cpu, rate, err := closed(s.target, s.of, *length)
			if err != nil {
				return err
			}
			s.into.add(cpu, rate)
		}
	}
	return nil
}

// observed is the list from memory in each way of observing it.
func (b *bench) observed(r *report) error {
	r.Observed = make([]observedRow, len(ways))
	var sides []turn
	for i, w := range ways {
		r.Observed[i].Name = w.name
		g, err := b.serve(setup{program: "agentgw", backends: b.backends, observed: w})
		if err != nil {
			return err
		}
		defer g.stop()
		if err := g.warm(list); err != nil {
			return err
		}
		sides = append(sides, turn{g.process, g.asked(list), &r.Observed[i].side})
	}
	return takeTurns(sides)
}

// slow is the list of vendors that take 20 ms, in an open loop, against the fan-out alone.
func (b *bench) slow(r *report) error {
	const delay = 20 * time.Millisecond
	backends, err := b.vendors(*agents, delay.String())
	if err != nil {
		return err
	}
	bare, err := b.start(false, nil, "bare", "-merge", strings.Join(lists(backends), ","))
	if err != nil {
		return err
	}
	defer bare.stop()
	address, err := bare.line("http")
	if err != nil {
		return err
	}
	g, err := b.serve(setup{program: "agentgw", backends: backends, observed: unsampled})
	if err != nil {
		return err
	}
	defer g.stop()
	rates := []int{250, 1000}
	if *short {
		rates = []int{50}
	}
	for _, perSecond := range rates {
		row := openRow{PerSecond: perSecond, DelayMs: milliseconds(delay)}
		for range *rounds {
			for _, side := range []struct {
				target target
				into   *latencies
			}{{target{url: address + "/x"}, &row.Bare}, {g.asked(list, noCache), &row.Gateway}} {
				took, failed, err := open(side.target, perSecond, max(*length, 2*time.Second))
				if err != nil {
					return err
				}
				row.Failed += failed
				side.into.P50Ms = append(side.into.P50Ms, milliseconds(quantile(took, 0.5)))
				side.into.P99Ms = append(side.into.P99Ms, milliseconds(quantile(took, 0.99)))
			}
		}
		r.Open = append(r.Open, row)
	}
	return nil
}
