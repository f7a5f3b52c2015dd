package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func printMigrations(a *app, all []migration) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MIGRATION\tSTATE\tSOURCE\tTARGET\tEXACT\tAPPROX\tLOST\tNEXT")
	for _, m := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", m.ID, m.State, m.Source, targetOf(m), m.Counts["exact"], m.Counts["approximate"], len(m.Losses), strings.Join(m.Next, " "))
	}
	return w.Flush()
}

func targetOf(m migration) string {
	if m.Target != nil {
		return *m.Target
	}
	return m.TargetBackend
}

// printPlan shows what becomes of each field, what matters most first.
func printPlan(a *app, m migration) {
	fmt.Fprintf(a.stdout, "%s  %s → %s  %s\n\n", m.ID, m.Source, targetOf(m), m.State)
	order := []string{"blocking", "data_loss", "warn", "info"}
	slices.SortStableFunc(m.Plan.Findings, func(x, y finding) int {
		return slices.Index(order, x.Severity) - slices.Index(order, y.Severity)
	})
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SEVERITY\tFIELD\tBECOMES\t")
	for _, f := range m.Plan.Findings {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Severity, f.Path, f.Kind, f.Message)
	}
	_ = w.Flush()
	fmt.Fprintf(a.stdout, "\n%s\n", counts(m.Counts))
}

func counts(of map[string]int) string {
	var words []string
	for _, kind := range []string{"exact", "approximate", "manual", "needs_input", "unsupported", "not_migrated"} {
		words = append(words, fmt.Sprintf("%d %s", of[kind], kind))
	}
	return strings.Join(words, ", ")
}

// printStep shows what a step came to.
func printStep(a *app, m migration, step string) {
	fmt.Fprintf(a.stdout, "%s  %s → %s  %s\n", m.ID, m.Source, targetOf(m), m.State)
	if v := m.Verification; v != nil && (step == "verify" || step == "apply" || step == "status") {
		same := 0
		for _, f := range v.Fields {
			if f.Verdict == "match" {
				same++
			} else {
				fmt.Fprintf(a.stdout, "  %s: %s\n", f.Path, f.Verdict)
			}
		}
		fmt.Fprintf(a.stdout, "  %d of %d fields match\n", same, len(v.Fields))
		if v.SourceChanged {
			fmt.Fprintln(a.stdout, "  the source was changed since it was planned; the cutover takes that over, unless more is lost by it than was accepted")
		}
		if v.TargetChanged {
			fmt.Fprintln(a.stdout, "  the target was changed since it was made, be it in fields that the plan has not")
		}
	}
	if s := m.Shadow; s != nil && (step == "shadow" || step == "status") {
		fmt.Fprintf(a.stdout, "  %d %% of reads until %s: %d read along; %s\n", s.Percent, s.Until.Format(time.RFC3339), s.Reads, s.Note)
		for path, n := range s.Differences {
			fmt.Fprintf(a.stdout, "  %s differed %d times\n", path, n)
		}
	}
	for _, w := range m.Warnings {
		path := ""
		if w.Path != nil {
			path = *w.Path + " "
		}
		fmt.Fprintf(a.stdout, "  warning: %s%s (%s)\n", path, w.Message, w.Code)
	}
	if step == "cutover" {
		for _, f := range m.Manual {
			fmt.Fprintf(a.stdout, "  by hand: %s %s\n", f.Path, f.Message)
		}
	}
	if step == "status" {
		for _, l := range m.Trail {
			fmt.Fprintf(a.stdout, "  %s  %-8s %-15s %s (%s)\n", l.At.Format(time.RFC3339), l.Step, l.State, l.Detail, l.KeyID)
		}
	}
}
