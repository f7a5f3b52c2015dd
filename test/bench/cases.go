package main

import (
	"fmt"
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

// closedCase is a request in a closed loop.
type closedCase struct {
	name     string
	path     string
	headers  []string
	bare     func(backends map[string]string) []string // flags of the program bare; nil for none
	inTurn   bool                                      // each request with another key
	changing bool                                      // the providers never send the same reply twice
	nginx    bool                                      // nginx's cache is measured too
	goal     goal
}

// cases returns the cases. The bodies that bare sends are the gateway's own. A key that reads
// past the cache shares the call with another request of the same key, so these cases use
// many keys in turn.
func (b *bench) cases() ([]closedCase, error) {
	g, err := b.server(setup{program: current})
	if err != nil {
		return nil, err
	}
	tag := ""
	for name, path := range map[string]string{"list.json": list, "one.json": one} {
		body, header, err := fetch(g.target(path))
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
	fixed := func(name string) func(map[string]string) []string {
		return func(map[string]string) []string { return []string{"-fixed", b.path(name)} }
	}
	proxy := func(backends map[string]string) []string {
		return []string{"-proxy", backends["krosai"] + "/agents/agent-1"}
	}
	uncached := []string{noCache}
	return []closedCase{
		{name: "list from cache", path: list, bare: fixed("list.json"), nginx: true, goal: goal{"observed", 1.15}},
		{name: "agent from cache", path: one, bare: fixed("one.json"), nginx: true, goal: goal{"observed", 1.2}},
		{name: "list, not modified", path: list, headers: []string{"If-None-Match: " + tag}, goal: goal{"200", 0.65}},
		{name: "agent, not cached", path: one, headers: uncached, bare: proxy, inTurn: true, goal: goal{"bare", 4}},
		{name: "list of 4, not cached", path: list, headers: uncached, bare: merge, inTurn: true, goal: goal{"bare", 3.5}},
		{name: "list of 4, not cached, changed", path: list, headers: uncached, bare: merge, inTurn: true, changing: true, goal: goal{"bare", 8}},
	}, nil
}

// merge returns the flags with which bare joins the lists of all providers.
func merge(backends map[string]string) []string {
	var urls []string
	for _, name := range names(backends) {
		urls = append(urls, backends[name]+"/agents")
	}
	return []string{"-merge", strings.Join(urls, ",")}
}

// closedLoop measures the cases.
func (b *bench) closedLoop(r *report) error {
	cases, err := b.cases()
	if err != nil {
		return err
	}
	for _, c := range cases {
		row := &closedRow{Name: c.name, Goal: c.goal, Micros: map[string][]float64{}}
		if err := b.closedCase(c, row); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		r.Closed = append(r.Closed, row)
	}
	return nil
}

// turn is one side of a case.
type turn struct {
	name   string
	of     *process
	target target
}

// closedCase lets the sides of a case take turns: bare, observed, nginx and each gateway.
func (b *bench) closedCase(c closedCase, row *closedRow) error {
	var sides []turn
	if c.bare != nil {
		flags := c.bare(b.backends(c.changing))
		for name, more := range map[string][]string{"bare": nil, "observed": {"-observed"}} {
			p, url, err := b.bare(append(more, flags...)...)
			if err != nil {
				return err
			}
			defer p.stop()
			sides = append(sides, turn{name, p, target{url: url + "/x", headers: map[string]string{"Authorization": "Bearer bench"}}})
			if !c.nginx || name != "bare" {
				continue
			}
			cache, at, err := b.nginx(url)
			if err != nil {
				return err
			}
			if cache != nil {
				defer cache.stop()
				sides = append(sides, turn{"nginx", cache, target{url: at + "/x"}})
			}
		}
	}
	for _, program := range b.programs {
		g, err := b.server(setup{program: program, changing: c.changing})
		if err != nil {
			return err
		}
		asked := g.target(c.path, c.headers...)
		if c.inTurn {
			if asked, err = b.inTurn(g, c.path, c.headers...); err != nil {
				return err
			}
		}
		sides = append(sides, turn{program, g.process, asked})
		if c.goal.Of == "200" && program == current {
			sides = append(sides, turn{"200", g.process, g.target(c.path)})
		}
	}
	for range *rounds {
		for _, s := range sides {
			cpu, err := closed(s.target, s.of, *length)
			if err != nil {
				return err
			}
			row.Micros[s.name] = append(row.Micros[s.name], float64(cpu.Nanoseconds())/1000)
		}
	}
	return nil
}

// openLoop measures what a gateway adds to providers that take 20 ms, at a fixed rate.
func (b *bench) openLoop(r *report) error {
	const delay = 20 * time.Millisecond
	r.Open = &openRow{PerSecond: 250, DelayMs: milliseconds(delay), Sides: map[string]*latencies{}}
	if *short {
		r.Open.PerSecond = 50
	}
	backends, err := b.vendors(*agents, delay.String())
	if err != nil {
		return err
	}
	p, url, err := b.bare(merge(backends)...)
	if err != nil {
		return err
	}
	defer p.stop()
	targets := map[string]target{"bare": {url: url + "/x"}}
	for _, program := range b.programs {
		g, err := b.serve(program, backends, 1)
		if err != nil {
			return err
		}
		defer g.stop()
		targets[program] = g.target(list, noCache)
	}
	for range *rounds {
		for name, target := range targets {
			took, failed, err := open(target, r.Open.PerSecond, max(*length, 2*time.Second))
			if err != nil {
				return err
			}
			if r.Open.Sides[name] == nil {
				r.Open.Sides[name] = &latencies{}
			}
			r.Open.Sides[name].add(took, failed)
		}
	}
	return nil
}

// memoryOfKeys measures the memory of a gateway in which a hundred keys, each with its own
// credentials, have read four lists of 250 agents.
func (b *bench) memoryOfKeys(r *report) error {
	keys, agents := 100, 250
	if *short {
		keys = 4
	}
	backends, err := b.vendors(agents, "0")
	if err != nil {
		return err
	}
	r.Memory = &memoryRow{Keys: keys, Agents: agents, MiB: map[string]float64{}}
	for _, program := range b.programs {
		g, err := b.serve(program, backends, keys)
		if err != nil {
			return err
		}
		defer g.stop()
		if program == current {
			encoded := 0
			for _, name := range names(backends) {
				body, _, err := fetch(g.target(list + "&backend=" + name))
				if err != nil {
					return err
				}
				encoded += len(body) * keys
			}
			r.Memory.EncodedMiB = mebibytes(int64(encoded))
		}
		for i := range keys {
			if _, _, err := fetch(g.as(i, "/v1/agents?limit=100")); err != nil {
				return err
			}
		}
		memory, err := g.memory()
		if err != nil {
			return err
		}
		r.Memory.MiB[program] = mebibytes(memory)
	}
	return nil
}

// process measures how long a gateway takes until it listens, its memory then, and the size
// of the program.
func (b *bench) process(r *report) error {
	for _, program := range b.programs {
		info, err := os.Stat(b.path(program))
		if err != nil {
			return err
		}
		var ready []time.Duration
		var idle []int64
		for range *rounds {
			g, err := b.serve(program, b.backends(false), manyKeys)
			if err != nil {
				return err
			}
			ready, idle = append(ready, g.ready), append(idle, g.idle)
			g.stop()
		}
		slices.Sort(ready)
		r.Process = append(r.Process, processRow{Program: program, ReadyMs: milliseconds(median(ready)), IdleMiB: mebibytes(median(idle)), BinaryMiB: mebibytes(info.Size())})
	}
	return nil
}
