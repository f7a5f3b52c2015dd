package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report is what came of a batch.
type report struct {
	Step     string    `json:"step"`
	At       time.Time `json:"at"`
	Total    int       `json:"total"`
	Outcomes []outcome `json:"outcomes"`
}

// summaryLine is how many ended so.
type summaryLine struct {
	Result, State string
	Agents        int
}

// Summary counts the outcomes.
func (r report) Summary() []summaryLine {
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

// Losses are all that are to be accepted, each once.
func (r report) Losses() []string {
	var all []string
	for _, o := range r.Outcomes {
		all = append(all, o.Losses...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// ByHand says how many agents have what is left to do by hand, and warnings.
func (r report) ByHand() (lines []string) {
	counts := map[string]int{}
	for _, o := range r.Outcomes {
		for _, m := range o.Manual {
			counts["by hand: "+m]++
		}
		for _, w := range o.Warnings {
			counts["warning: "+w]++
		}
	}
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, fmt.Sprintf("%s (%d)", what, counts[what]))
	}
	return lines
}

func (r report) count(of func(outcome) bool) (n int) {
	for _, o := range r.Outcomes {
		if of(o) {
			n++
		}
	}
	return n
}

// Kinds are the columns of counts.
func (report) Kinds() []string {
	return []string{"exact", "approximate", "manual", "needs_input", "unsupported", "not_migrated"}
}

// reportable says why a report cannot be written into a file.
func reportable(file string) error {
	switch filepath.Ext(file) {
	case ".json", ".csv", ".html":
	default:
		return usageError{fmt.Errorf("--report %s: want a file that ends in .csv, .json or .html", file)}
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		return usageError{fmt.Errorf("--report %s: there is no such folder", file)}
	}
	return nil
}

// write writes it into a file, by the file's ending.
func (r report) write(file string) error {
	var out bytes.Buffer
	var err error
	switch ending := filepath.Ext(file); ending {
	case ".json":
		var text []byte
		text, err = marshal(r)
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
	rows := [][]string{append([]string{"source", "target_backend", "migration", "state", "target", "result", "detail", "losses", "by_hand", "warnings"}, r.Kinds()...)}
	for _, o := range r.Outcomes {
		row := []string{o.Source, o.TargetBackend, o.Migration, o.State, o.Target, o.Result, o.Detail, strings.Join(o.Losses, " "), strings.Join(o.Manual, " "), strings.Join(o.Warnings, "; ")}
		for _, kind := range r.Kinds() {
			row = append(row, strconv.Itoa(o.Counts[kind]))
		}
		for i, cell := range row { // a spreadsheet takes these for formulas
			if cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) {
				row[i] = "'" + cell
			}
		}
		rows = append(rows, row)
	}
	return w.WriteAll(rows)
}
