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
	At      time.Time    `json:"at"`
	Go      string       `json:"go"`
	CPUs    int          `json:"cpus"`
	Agents  int          `json:"agents_per_backend"`
	Ref     string       `json:"ref,omitzero"` // the other commit
	Closed  []*closedRow `json:"closed_loop,omitzero"`
	Open    *openRow     `json:"open_loop,omitzero"`
	Memory  *memoryRow   `json:"memory,omitzero"`
	Process []processRow `json:"process,omitzero"`
}

// goal is the largest ratio of the gateway's CPU time to that of another side.
type goal struct {
	Of  string  `json:"of"`
	Max float64 `json:"max"`
}

// closedRow has the CPU time of a request in microseconds, by side, one value a round.
type closedRow struct {
	Name   string               `json:"name"`
	Goal   goal                 `json:"goal"`
	Micros map[string][]float64 `json:"cpu_us_per_request"`
}

// openRow has the latencies at a fixed rate, by side.
type openRow struct {
	PerSecond int                   `json:"requests_per_second"`
	DelayMs   float64               `json:"upstream_ms"`
	Sides     map[string]*latencies `json:"sides"`
}

// latencies have one value a round.
type latencies struct {
	P50Ms  []float64 `json:"p50_ms"`
	P99Ms  []float64 `json:"p99_ms"`
	Failed int       `json:"failed"`
}

func (l *latencies) add(sorted []time.Duration, failed int) {
	l.P50Ms = append(l.P50Ms, milliseconds(quantile(sorted, 0.5)))
	l.P99Ms = append(l.P99Ms, milliseconds(quantile(sorted, 0.99)))
	l.Failed += failed
}

// memoryRow has the memory of a gateway by program, and the size of all its lists in JSON.
type memoryRow struct {
	Keys       int                `json:"keys"`
	Agents     int                `json:"agents_per_backend"`
	EncodedMiB float64            `json:"encoded_mib"`
	MiB        map[string]float64 `json:"mib"`
}

type processRow struct {
	Program   string  `json:"program"`
	ReadyMs   float64 `json:"ready_ms"`
	IdleMiB   float64 `json:"idle_mib"`
	BinaryMiB float64 `json:"binary_mib"`
}

// Goals of the other parts.
const (
	goalP50Ms, goalP99Ms         = 0.7, 2.5
	goalMemory, memoryBase       = 1.5, 25 // times the encoded lists, plus MiB
	goalReadyMs, goalIdleMiB     = 100, 40
	goalBinaryMiB            int = 32
)

func median[T cmp.Ordered](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// cpu returns the median of a side, or an empty string if it was not measured.
func (r *closedRow) cpu(side string) string {
	if len(r.Micros[side]) == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", median(r.Micros[side]))
}

// ratio returns the ratio of a program's median to that of another side, with its range over
// the rounds, or an empty string if that side was not measured.
func (r *closedRow) ratio(program, side string) string {
	if len(r.Micros[side]) == 0 {
		return ""
	}
	var each []float64
	for i, micros := range r.Micros[side] {
		each = append(each, r.Micros[program][i]/micros)
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", median(r.Micros[program])/median(r.Micros[side]), slices.Min(each), slices.Max(each))
}

func (r *report) print(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer func() { _ = table.Flush() }() // to a terminal
	if len(r.Closed) > 0 {
		fmt.Fprintf(table, "closed loop, %d connections, 4 × %d agents, CPU µs\tbare\tobserved\tnginx\tgateway\tto bare\tto observed\tgoal\t", connections, r.Agents)
		if r.Ref != "" {
			fmt.Fprintf(table, "%s\tto bare\tto observed\tgateway to %[1]s\t", r.Ref)
		}
		fmt.Fprintln(table)
	}
	for _, row := range r.Closed {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t", row.Name, row.cpu("bare"), row.cpu("observed"), row.cpu("nginx"), row.cpu(current), row.ratio(current, "bare"), row.ratio(current, "observed"))
		fmt.Fprintf(table, "%.2f %s", row.Goal.Max, row.Goal.Of)
		if row.Goal.Of == "200" {
			fmt.Fprintf(table, ": %s", row.ratio(current, "200"))
		}
		if r.Ref != "" {
			fmt.Fprintf(table, "\t%s\t%s\t%s\t%s", row.cpu(other), row.ratio(other, "bare"), row.ratio(other, "observed"), row.ratio(current, other))
		}
		fmt.Fprintln(table, "\t")
	}
	if o := r.Open; o != nil {
		fmt.Fprintf(table, "\nlist of 4, not cached, %d/s, providers at %.0f ms\tp50 ms\tp99 ms\tadded p50 / p99 ms\tfailed\tgoal\t\n", o.PerSecond, o.DelayMs)
		bare := o.Sides["bare"]
		for _, side := range []string{"bare", current, other} {
			if l := o.Sides[side]; l != nil {
				p50, p99 := median(l.P50Ms), median(l.P99Ms)
				fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%.1f / %.1f\t%d\t%.1f / %.1f\t\n", r.name(side), p50, p99, p50-median(bare.P50Ms), p99-median(bare.P99Ms), l.Failed, goalP50Ms, goalP99Ms)
			}
		}
	}
	if m := r.Memory; m != nil {
		fmt.Fprintf(table, "\nmemory of %d keys, 4 × %d agents each\tencoded MiB\tmemory MiB\ttimes encoded + %d\tgoal\t\n", m.Keys, m.Agents, int(memoryBase))
		for _, side := range []string{current, other} {
			if mib, ok := m.MiB[side]; ok {
				fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%.2f\t%.2f\t\n", r.name(side), m.EncodedMiB, mib, (mib-memoryBase)/m.EncodedMiB, goalMemory)
			}
		}
	}
	if len(r.Process) > 0 {
		fmt.Fprintf(table, "\nprocess\tready ms\tidle MiB\tbinary MiB\tgoal\t\n")
	}
	for _, p := range r.Process {
		fmt.Fprintf(table, "%s\t%.0f\t%.1f\t%.1f\t%d / %d / %d\t\n", r.name(p.Program), p.ReadyMs, p.IdleMiB, p.BinaryMiB, goalReadyMs, goalIdleMiB, goalBinaryMiB)
	}
}

// name returns the name of a side for a reader.
func (r *report) name(side string) string {
	switch side {
	case current:
		return "gateway"
	case other:
		return r.Ref
	}
	return side
}

// write writes the figures as JSON and as tables.
func (r *report) write(folder string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	var tables strings.Builder
	r.print(&tables)
	text := fmt.Sprintf("# Figures\n\nBy `make bench` on %s, %s, %d CPUs. What they mean is in [README.md](README.md).\n\n```text\n%s```\n", r.At.Format(time.DateOnly), r.Go, r.CPUs, tables.String())
	if err := os.WriteFile(filepath.Join(folder, "bench.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "figures.md"), []byte(text), 0o644)
}
