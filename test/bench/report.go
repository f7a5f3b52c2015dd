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
	Closed   []closedRow   `json:"closed_loop"`
	Observed []observedRow `json:"list_from_memory_observed"`
	Open     []openRow     `json:"open_loop"`
	Process  processRow    `json:"process"`
}

type closedRow struct {
	Name    string  `json:"name"`
	Goal    float64 `json:"goal"` // of the ratio, at most
	Bare    side    `json:"bare"`
	Gateway side    `json:"gateway"`
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

// observedRow is a way to observe the list from memory.
type observedRow struct {
	Name string `json:"name"`
	side
}

// openRow has p50 and p99 of both sides.
type openRow struct {
	PerSecond int       `json:"requests_per_second"`
	DelayMs   float64   `json:"upstream_ms"`
	Failed    int       `json:"failed"`
	BareMs    []float64 `json:"bare_ms"`
	GatewayMs []float64 `json:"gateway_ms"`
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
	fmt.Fprintf(table, "closed loop, %d connections, 4 × %d agents\tbare, CPU µs\tgateway\tratio\trange\tgoal\n", connections, r.Agents)
	for _, row := range r.Closed {
		middle, low, high := row.ratio()
		fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%.2f\t%.2f–%.2f\t%.2f\n", row.Name, median(row.Bare.Micros), median(row.Gateway.Micros), middle, low, high, row.Goal)
	}
	fmt.Fprintf(table, "\nlist from memory, observed\tCPU µs\tto off\trange\n")
	for _, row := range r.Observed {
		of := closedRow{Bare: r.Observed[0].side, Gateway: row.side}
		middle, low, high := of.ratio()
		fmt.Fprintf(table, "%s\t%.1f\t%+.1f %%\t%+.1f–%+.1f\n", row.Name, median(row.Micros), 100*(middle-1), 100*(low-1), 100*(high-1))
	}
	fmt.Fprintf(table, "\nopen loop, list of 4 asked anew\tbare p50 / p99, ms\tgateway\tadded\tfailed\n")
	for _, row := range r.Open {
		fmt.Fprintf(table, "%d/s, upstreams at %.0f ms\t%.1f / %.1f\t%.1f / %.1f\t%.1f / %.1f\t%d\n", row.PerSecond, row.DelayMs,
			row.BareMs[0], row.BareMs[1], row.GatewayMs[0], row.GatewayMs[1], row.GatewayMs[0]-row.BareMs[0], row.GatewayMs[1]-row.BareMs[1], row.Failed)
	}
	p := r.Process
	fmt.Fprintf(table, "\nprocess\tready in %.0f ms\tidle %.1f MiB\tafter load %.1f MiB\tbinary %.1f MiB\n", p.ReadyMs, p.IdleMiB, p.LoadedMiB, p.BinaryMiB)
	_ = table.Flush() // to a terminal
}

// write keeps the figures as JSON and as a chart.
func (r *report) write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "bench.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "bench.svg"), []byte(r.chart()), 0o644)
}

// chart is a bar for each case: how many times the bare limit's CPU time a request takes,
// with its range and its goal.
func (r *report) chart() string {
	const left, right, rowHeight, top = 190, 560, 40, 40
	highest := 1.0
	for _, row := range r.Closed {
		_, _, high := row.ratio()
		highest = max(highest, high, row.Goal)
	}
	x := func(ratio float64) float64 { return left + (right-left)*ratio/highest }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 %d" font-family="system-ui, sans-serif" font-size="13">`+"\n", top+rowHeight*len(r.Closed)+30)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="10" y="22" font-size="14">CPU time per request, in times of the bare limit's (line: range; mark: goal)</text>`+"\n")
	for i, row := range r.Closed {
		middle, low, high := row.ratio()
		y := float64(top + rowHeight*i)
		fmt.Fprintf(&b, `<text x="%d" y="%.0f" text-anchor="end">%s</text>`, left-10, y+19, row.Name)
		fmt.Fprintf(&b, `<rect x="%d" y="%.0f" width="%.1f" height="18" fill="#2f7d5b"/>`, left, y+6, x(middle)-left)
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.0f" y2="%.0f" stroke="#1a1f24"/>`, x(low), x(high), y+15, y+15)
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.0f" y2="%.0f" stroke="#b3261e" stroke-width="2"/>`, x(row.Goal), x(row.Goal), y+2, y+28)
		fmt.Fprintf(&b, `<text x="%.1f" y="%.0f">%.2f</text>`+"\n", x(max(high, row.Goal))+8, y+19, middle)
	}
	fmt.Fprintf(&b, `<text x="10" y="%d" fill="#5c6670" font-size="11">%s, %d CPUs, 4 × %d agents, %s</text></svg>`+"\n", top+rowHeight*len(r.Closed)+20, r.Go, r.CPUs, r.Agents, r.At.Format(time.DateOnly))
	return b.String()
}
