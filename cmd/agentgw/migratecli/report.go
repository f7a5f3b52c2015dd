package migratecli

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
)

// report is the result of a batch.
type report struct {
	Step     string    `json:"step"`
	At       time.Time `json:"at"`
	Total    int       `json:"total"`
	Outcomes []outcome `json:"outcomes"`
}

// summaryLine counts the agents with the same result and state.
type summaryLine struct {
	Result, State string
	Agents        int
}

// summary counts the outcomes by result and state.
func (r report) summary() []summaryLine {
	var lines []summaryLine
	for _, o := range r.Outcomes {
		i := slices.IndexFunc(lines, func(l summaryLine) bool { return l.Result == o.Result && l.State == o.State })
		if i < 0 {
			lines = append(lines, summaryLine{o.Result, o.State, 0})
			i = len(lines) - 1
		}
		lines[i].Agents++
	}
	slices.SortFunc(lines, func(a, b summaryLine) int { return strings.Compare(a.Result+" "+a.State, b.Result+" "+b.State) })
	return lines
}

// losses returns the losses of all agents without duplicates.
func (r report) losses() []string {
	var all []string
	for _, o := range r.Outcomes {
		all = append(all, o.Losses...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// notes returns each manual step and warning with the number of agents that have it.
func (r report) notes() (lines []string) {
	counts := map[string]int{}
	for _, o := range r.Outcomes {
		for _, m := range o.Manual {
			counts["manual step: "+m]++
		}
		for _, w := range o.Warnings {
			counts["warning: "+w]++
		}
	}
	for _, note := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, fmt.Sprintf("%s (%d)", note, counts[note]))
	}
	return lines
}

// count returns the number of outcomes that match.
func (r report) count(matches func(outcome) bool) (n int) {
	for _, o := range r.Outcomes {
		if matches(o) {
			n++
		}
	}
	return n
}

// print prints the summary.
func (r report) print(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RESULT\tSTATE\tAGENTS")
	for _, line := range r.summary() {
		fmt.Fprintf(table, "%s\t%s\t%d\n", line.Result, line.State, line.Agents)
	}
	fmt.Fprintf(table, "total\t\t%d of %d\n", len(r.Outcomes), r.Total)
	_ = table.Flush()
	if r.Step == "plan" {
		for _, loss := range r.losses() {
			fmt.Fprintf(w, "--accept %s\n", loss)
		}
	}
	for _, note := range r.notes() {
		fmt.Fprintln(w, note)
	}
}

// checkReportFile returns an error if a report cannot be written to the file.
func checkReportFile(file string) error {
	switch filepath.Ext(file) {
	case ".json", ".csv", ".html":
	default:
		return cli.UsageErrorf("--report %s: want a file with the extension .csv, .json or .html", file)
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		return cli.UsageErrorf("--report %s: the directory does not exist", file)
	}
	return nil
}

// write writes the report to a file, in the format of its extension.
func (r report) write(file string) error {
	var out bytes.Buffer
	var err error
	switch filepath.Ext(file) {
	case ".json":
		var text []byte
		text, err = cli.MarshalIndent(r)
		out.Write(append(text, '\n'))
	case ".csv":
		err = r.csv(&out)
	case ".html":
		err = r.page().Render(&out)
	}
	if err != nil {
		return fmt.Errorf("--report %s: %w", file, err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	return nil
}

func (r report) csv(out *bytes.Buffer) error {
	w := csv.NewWriter(out)
	rows := [][]string{append([]string{"name", "source", "target_backend", "migration", "state", "target", "result", "detail", "losses", "manual_steps", "warnings"}, findingKinds...)}
	for _, o := range r.Outcomes {
		row := []string{o.Name, o.Source, o.TargetBackend, o.Migration, o.State, o.Target, o.Result, o.Detail, strings.Join(o.Losses, " "), strings.Join(o.Manual, " "), strings.Join(o.Warnings, "; ")}
		for _, kind := range findingKinds {
			row = append(row, strconv.Itoa(o.Counts[kind]))
		}
		for i, cell := range row { // spreadsheets would evaluate these as formulas
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				row[i] = "'" + cell
			}
		}
		rows = append(rows, row)
	}
	return w.WriteAll(rows)
}
