package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"
)

// againstRow is a case of this tree, and of another commit.
type againstRow struct {
	name       string
	other, now side
}

// against measures the cases of this tree and of another commit, in turns.
func (b *bench) against(ref string) ([]againstRow, error) {
	folder := b.path("other")
	sources := b.path("other.tar")
	if said, err := exec.Command("git", "archive", "--output", sources, ref).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("git archive %s: %w: %s", ref, err, said)
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return nil, err
	}
	if said, err := exec.Command("tar", "-x", "-f", sources, "-C", folder).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("tar: %w: %s", err, said)
	}
	if err := b.build(folder, "agentgw-other", "./cmd/agentgw"); err != nil {
		return nil, err
	}
	other, err := b.serve(setup{program: "agentgw-other", backends: b.backends, keys: manyKeys, observed: unsampled})
	if err != nil {
		return nil, err
	}
	defer other.stop()
	comparisons, err := b.comparisons()
	if err != nil {
		return nil, err
	}
	var rows []againstRow
	for _, c := range comparisons {
		if c.of != b.gateway { // the other one has the same backends
			continue
		}
		row := againstRow{name: c.name}
		asked := c.asked
		asked.url = other.api + strings.TrimPrefix(asked.url, b.gateway.api)
		if err := takeTurns([]turn{{other.process, asked, &row.other}, {b.gateway.process, c.asked, &row.now}}); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func printAgainst(w io.Writer, ref string, rows []againstRow) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "closed loop, %d connections\t%s, CPU µs\tnow\tratio\trange\n", connections, ref)
	for _, row := range rows {
		of := closedRow{Bare: row.other, Gateway: row.now}
		middle, low, high := of.ratio()
		fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%.2f\t%.2f–%.2f\n", row.name, median(row.other.Micros), median(row.now.Micros), middle, low, high)
	}
	_ = table.Flush() // to a terminal
}
