package main

import (
	"fmt"
	"strconv"
	"time"
)

// curve is how costs grow with something.
type curve struct {
	Name   string    `json:"name"`
	File   string    `json:"file"`
	Over   string    `json:"over"` // what grows
	Unit   string    `json:"unit"` // of the values
	At     []float64 `json:"at"`
	Series []series  `json:"series"`
}

type series struct {
	Name   string    `json:"name"`
	Values []float64 `json:"values"`
}

// put adds the value of a series at the place that was added last.
func (c *curve) put(name string, value float64) {
	for i := range c.Series {
		if c.Series[i].Name == name {
			c.Series[i].Values = append(c.Series[i].Values, value)
			return
		}
	}
	c.Series = append(c.Series, series{name, []float64{value}})
}

// Series of what is asked. A preference has the answer put together out of what is in memory
// each time, as for a caller who never asks the same twice.
const (
	page      = "/v1/agents?limit=100"
	filtered  = "/v1/agents?limit=100&language=en&order_by=-name"
	few       = "/v1/agents?limit=100&backend=krosai&language=fr"
	unlike    = "Prefer: handling=lenient"
	fromMem   = "page of 100, from memory"
	putNew    = "page of 100, put together"
	byFilter  = "page of 100 by a filter that most pass, in order, put together"
	byFew     = "page of the 10 that pass a filter, put together"
	askedAnew = "page of 100, backends asked anew by one key"
)

// growth measures each curve.
func (b *bench) growth(r *report) error {
	for _, measure := range []func() (curve, error){b.overAgents, b.overBackends, b.overKeys, b.overBody} {
		c, err := measure()
		if err != nil {
			return err
		}
		r.Growth = append(r.Growth, c)
	}
	return nil
}

// sizes are the first one, or all.
func sizes(all ...int) []int {
	if *short {
		return all[:1]
	}
	return all
}

// cost is the CPU time of a request to a gateway, in microseconds.
func (b *bench) cost(g *server, t target) (float64, error) {
	cpu, _, err := closed(t, g.process, min(*length, 2*time.Second))
	return float64(cpu.Nanoseconds()) / 1000, err
}

// costs adds those of what is asked, by the names of their series.
func (b *bench) costs(c *curve, g *server, asked ...any) error {
	for i := 0; i < len(asked); i += 2 {
		name := asked[i].(string)
		value, err := b.cost(g, asked[i+1].(target))
		if err != nil {
			return fmt.Errorf("%s at %v: %w", name, c.At[len(c.At)-1], err)
		}
		c.put(name, value)
	}
	return nil
}

// at adds what is asked of a gateway where so many are.
func (b *bench) at(c *curve, n int, s setup, asked func(*server) []any) error {
	s.program, s.observed = "agentgw", unsampled
	g, err := b.serve(s)
	if err != nil {
		return err
	}
	defer g.stop()
	if err := g.warm(page); err != nil {
		return err
	}
	c.At = append(c.At, float64(n))
	return b.costs(c, g, asked(g)...)
}

// overAgents has more and more of them at each of the four vendors.
func (b *bench) overAgents() (curve, error) {
	c := curve{Name: "CPU time of a request by the number of agents of each of four backends", File: "agents.svg", Over: "agents of each backend", Unit: "µs"}
	for _, n := range sizes(25, 100, 250, 1000, 2500, 10_000) {
		backends, err := b.vendors(n, "0")
		if err != nil {
			return c, err
		}
		if err := b.at(&c, n, setup{backends: backends}, func(g *server) []any {
			return []any{
				fromMem, g.asked(page), putNew, g.asked(page, unlike), byFilter, g.asked(filtered, unlike),
				byFew, g.asked(few, unlike), askedAnew, g.asked(page, noCache),
			}
		}); err != nil {
			return c, err
		}
	}
	return c, nil
}

// overBackends has more and more of them, of 25 agents each.
func (b *bench) overBackends() (curve, error) {
	c := curve{Name: "CPU time of a request by the number of backends of 25 agents each", File: "backends.svg", Over: "backends", Unit: "µs"}
	for _, n := range sizes(1, 2, 4, 8, 16, 32) {
		backends := map[string]string{}
		for i := range n {
			vendor := names(b.backends)[i%len(b.backends)]
			backends[vendor+strconv.Itoa(i)] = b.backends[vendor]
		}
		if err := b.at(&c, n, setup{backends: backends}, func(g *server) []any {
			return []any{fromMem, g.asked(page), putNew, g.asked(page, unlike), askedAnew, g.asked(page, noCache)}
		}); err != nil {
			return c, err
		}
	}
	return c, nil
}

// overKeys has more and more keys, each with credentials of its own.
func (b *bench) overKeys() (curve, error) {
	c := curve{Name: "CPU time of a page from memory by the number of keys, and memory", File: "keys.svg", Over: "keys with credentials of their own, of 4 × 25 agents each", Unit: "µs, MiB"}
	for _, n := range sizes(1, 10, 100, 1000) {
		g, err := b.serve(setup{program: "agentgw", backends: b.backends, keys: n, observed: unsampled})
		if err != nil {
			return c, err
		}
		if err := g.warm(page); err != nil {
			return c, err
		}
		c.At = append(c.At, float64(n))
		asked, err := b.inTurn(g, page)
		if err == nil {
			err = b.costs(&c, g, "page of 100 from memory, keys in turn, µs", asked)
		}
		if err != nil {
			return c, err
		}
		memory, err := g.memory()
		if err != nil {
			return c, err
		}
		c.put("memory, MiB", mebibytes(memory))
		g.stop()
	}
	return c, nil
}

// overBody has the agents' texts grow.
func (b *bench) overBody() (curve, error) {
	c := curve{Name: "CPU time of a request by the size of an agent's texts", File: "body.svg", Over: "bytes of text in each agent, of 4 × 25", Unit: "µs"}
	for _, n := range sizes(100, 1000, 10_000, 100_000) {
		backends, err := b.vendors(*agents, "0", "-text", strconv.Itoa(n))
		if err != nil {
			return c, err
		}
		if err := b.at(&c, n, setup{backends: backends}, func(g *server) []any {
			return []any{"agent, from memory", g.asked(one), "agent, asked anew", g.asked(one, noCache), askedAnew, g.asked(page, noCache)}
		}); err != nil {
			return c, err
		}
	}
	return c, nil
}

// tenantsRow is many keys with credentials of their own.
type tenantsRow struct {
	Keys       int     `json:"keys"`
	Agents     int     `json:"agents_per_backend"`
	OneMicros  float64 `json:"one_key_cpu_us"`
	EachMicros float64 `json:"keys_in_turn_cpu_us"`
	EncodedMiB float64 `json:"encoded_mib"` // the lists of all keys, as they are sent
	MemoryMiB  float64 `json:"memory_mib"`
	IdleMiB    float64 `json:"idle_mib"`
}

// tenants measures a hundred keys, of 4 × 250 agents each.
func (b *bench) tenants(r *report) error {
	keys, agents := 100, 250
	if *short {
		keys = 4
	}
	backends, err := b.vendors(agents, "0")
	if err != nil {
		return err
	}
	g, err := b.serve(setup{program: "agentgw", backends: backends, keys: keys, observed: unsampled})
	if err != nil {
		return err
	}
	defer g.stop()
	encoded := 0
	for _, name := range names(backends) {
		body, _, err := fetch(g.asked(list + "&backend=" + name))
		if err != nil {
			return err
		}
		encoded += len(body) * keys
	}
	row := &tenantsRow{Keys: keys, Agents: agents, EncodedMiB: mebibytes(int64(encoded)), IdleMiB: mebibytes(g.idle)}
	if err := g.warm(page); err != nil {
		return err
	}
	memory, err := g.memory()
	if err != nil {
		return err
	}
	row.MemoryMiB = mebibytes(memory)
	each, err := b.inTurn(g, page)
	if err != nil {
		return err
	}
	var one, all side
	err = takeTurns([]turn{{g.process, g.asked(page), &one}, {g.process, each, &all}})
	if err != nil {
		return err
	}
	row.OneMicros, row.EachMicros = median(one.Micros), median(all.Micros)
	r.Tenants = row
	return nil
}
