package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what was measured.
type report struct {
	At       time.Time     `json:"at"`
	Go       string        `json:"go"`
	CPUs     int           `json:"cpus"`
	Agents   int           `json:"agents_per_backend"`
	Closed   []closedRow   `json:"closed_loop,omitzero"`
	Observed []observedRow `json:"list_from_memory_observed,omitzero"`
	Open     []openRow     `json:"open_loop,omitzero"`
	Process  *processRow   `json:"process,omitzero"`
	Tenants  *tenantsRow   `json:"tenants,omitzero"`
	Growth   []curve       `json:"growth,omitzero"`
}

type closedRow struct {
	Name     string  `json:"name"`
	Goal     float64 `json:"goal"` // of the ratio, at most
	Bare     side    `json:"bare"`
	Gateway  side    `json:"gateway"`
	Observed *side   `json:"bare_observed,omitzero"` // the bare limit with what every answer has to have
	Nginx    *side   `json:"nginx,omitzero"`         // as a cache of the same; nil where it was not there
}

// side is one side of a comparison, a figure for each round.
type side struct {
	Micros    []float64 `json:"cpu_us_per_request"`
	PerSecond []float64 `json:"requests_per_second"`
}

func (s *side) add(cpu time.Duration, perSecond float64) {
	s.Micros = append(s.Micros, float64(cpu.Nanoseconds())/1000)
	s.PerSecond = append(s.PerSecond, perSecond)
}

// String is the middle of its CPU time; empty where it was not measured.
func (s *side) String() string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("%.1f", median(s.Micros))
}

// observedRow is a way to observe the list from memory.
type observedRow struct {
	Name string `json:"name"`
	side
}

// openRow is both sides at a rate.
type openRow struct {
	PerSecond int       `json:"requests_per_second"`
	DelayMs   float64   `json:"upstream_ms"`
	Failed    int       `json:"failed"`
	Bare      latencies `json:"bare"`
	Gateway   latencies `json:"gateway"`
}

// latencies are a figure for each round.
type latencies struct {
	P50Ms []float64 `json:"p50_ms"`
	P99Ms []float64 `json:"p99_ms"`
}

type processRow struct {
	ReadyMs   float64 `json:"ready_ms"`
	IdleMiB   float64 `json:"idle_mib"`
	LoadedMiB float64 `json:"after_load_mib"`
	BinaryMiB float64 `json:"binary_mib"`
}

func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// ratio is of the medians, and its range over the rounds.
func (r closedRow) ratio() (middle, low, high float64) {
	var each []float64
	for i := range r.Bare.Micros {
		each = append(each, r.Gateway.Micros[i]/r.Bare.Micros[i])
	}
	return median(r.Gateway.Micros) / median(r.Bare.Micros), slices.Min(each), slices.Max(each)
}

func (r *report) print(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(r.Closed) > 0 {
		fmt.Fprintf(table, "closed loop, %d connections, 4 × %d agents\tbare, CPU µs\tgateway\tratio\trange\tgoal\tbare, observed\tnginx cache\n", connections, r.Agents)
	}
	for _, row := range r.Closed {
		middle, low, high := row.ratio()
		fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%.2f\t%.2f–%.2f\t%.2f\t%s\t%s\n", row.Name, median(row.Bare.Micros), median(row.Gateway.Micros), middle, low, high, row.Goal, row.Observed, row.Nginx)
	}
	if p := r.Process; p != nil {
		fmt.Fprintf(table, "\nprocess\tready in %.0f ms\tidle %.1f MiB\tafter load %.1f MiB\tbinary %.1f MiB\n", p.ReadyMs, p.IdleMiB, p.LoadedMiB, p.BinaryMiB)
	}
	for i, row := range r.Observed {
		if i == 0 {
			fmt.Fprintf(table, "\nlist from memory, telemetry\tCPU µs\tto off\trange\n")
		}
		of := closedRow{Bare: r.Observed[0].side, Gateway: row.side}
		middle, low, high := of.ratio()
		fmt.Fprintf(table, "%s\t%.1f\t%+.1f %%\t%+.1f–%+.1f\n", row.Name, median(row.Micros), 100*(middle-1), 100*(low-1), 100*(high-1))
	}
	for i, row := range r.Open {
		if i == 0 {
			fmt.Fprintf(table, "\nopen loop, list of 4 asked anew\tbare p50 / p99, ms\tgateway\tadded\tfailed\n")
		}
		bare50, bare99, ours50, ours99 := median(row.Bare.P50Ms), median(row.Bare.P99Ms), median(row.Gateway.P50Ms), median(row.Gateway.P99Ms)
		fmt.Fprintf(table, "%d/s, upstreams at %.0f ms\t%.1f / %.1f\t%.1f / %.1f\t%.1f / %.1f\t%d\n",
			row.PerSecond, row.DelayMs, bare50, bare99, ours50, ours99, ours50-bare50, ours99-bare99, row.Failed)
	}
	if t := r.Tenants; t != nil {
		fmt.Fprintf(table, "\n%d keys, 4 × %d agents each\tone key %.1f µs\tin turn %.1f µs\tencoded %.1f MiB\tmemory %.1f MiB\t(%.2f × encoded + 25)\n",
			t.Keys, t.Agents, t.OneMicros, t.EachMicros, t.EncodedMiB, t.MemoryMiB, (t.MemoryMiB-25)/t.EncodedMiB)
	}
	for _, c := range r.Growth {
		fmt.Fprintf(table, "\n%s, %s\t", c.Over, c.Unit)
		for _, at := range c.At {
			fmt.Fprintf(table, "%.0f\t", at)
		}
		fmt.Fprintln(table)
		for _, s := range c.Series {
			fmt.Fprintf(table, "%s\t", s.Name)
			for _, value := range s.Values {
				fmt.Fprintf(table, "%.1f\t", value)
			}
			fmt.Fprintln(table)
		}
	}
	_ = table.Flush() // to a terminal
}

// write keeps the figures as JSON and as tables, and charts of them.
func (r *report) write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	var tables strings.Builder
	r.print(&tables)
	files := map[string]string{
		"bench.json": string(data) + "\n",
		"bench.svg":  r.chart(),
		"figures.md": fmt.Sprintf("# Figures\n\nBy `make bench` on %s, %s, %d CPUs. What they mean is in [README.md](README.md).\n\n```text\n%s```\n", r.At.Format(time.DateOnly), r.Go, r.CPUs, tables.String()),
	}
	for _, c := range r.Growth {
		files[c.File] = c.chart()
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
