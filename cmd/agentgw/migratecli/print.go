package migratecli

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
)

// findingKinds are the kinds of findings, in the order in which they are counted.
var findingKinds = []string{"exact", "approximate", "manual", "needs_input", "unsupported", "not_migrated"}

func printMigrations(a *cli.App, all []migration) error {
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MIGRATION\tSTATE\tSOURCE\tTARGET\tEXACT\tAPPROX\tLOST\tNEXT")
	for _, m := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", m.ID, m.State, m.Source, m.target(), m.Counts["exact"], m.Counts["approximate"], len(m.Losses), strings.Join(m.Next, " "))
	}
	return w.Flush()
}

// printPlan prints the finding of each field, the most severe first.
func printPlan(a *cli.App, m migration) {
	fmt.Fprintf(a.Stdout, "%s  %s → %s  %s\n\n", m.ID, m.Source, m.target(), m.State)
	order := []string{"blocking", "data_loss", "warn", "info"}
	slices.SortStableFunc(m.Plan.Findings, func(x, y finding) int {
		return slices.Index(order, x.Severity) - slices.Index(order, y.Severity)
	})
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SEVERITY\tFIELD\tKIND\tMESSAGE")
	for _, f := range m.Plan.Findings {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Severity, f.Path, f.Kind, f.Message)
	}
	_ = w.Flush()
	var counts []string
	for _, kind := range findingKinds {
		counts = append(counts, fmt.Sprintf("%d %s", m.Counts[kind], kind))
	}
	fmt.Fprintf(a.Stdout, "\n%s\n", strings.Join(counts, ", "))
}

// printStep prints the result of a step. The step "status" prints everything.
func printStep(a *cli.App, m migration, step string) {
	status := step == "status"
	fmt.Fprintf(a.Stdout, "%s  %s → %s  %s\n", m.ID, m.Source, m.target(), m.State)
	if m.Verification != nil && (status || step == "verify" || step == "apply") {
		printVerification(a, m.Verification)
	}
	if m.Shadow != nil && (status || step == "shadow") {
		printShadow(a, m.Shadow)
	}
	for _, w := range m.Warnings {
		path := ""
		if w.Path != nil {
			path = *w.Path + " "
		}
		fmt.Fprintf(a.Stdout, "  warning: %s%s (%s)\n", path, w.Message, w.Code)
	}
	if step == "cutover" {
		for _, f := range m.Manual {
			fmt.Fprintf(a.Stdout, "  manual step: %s %s\n", f.Path, f.Message)
		}
	}
	if status {
		for _, e := range m.Trail {
			fmt.Fprintf(a.Stdout, "  %s  %-8s %-15s %s (%s)\n", e.At.Format(time.RFC3339), e.Step, e.State, e.Detail, e.KeyID)
		}
	}
}

func printVerification(a *cli.App, v *verification) {
	matches := 0
	for _, f := range v.Fields {
		if f.Verdict == "match" {
			matches++
		} else {
			fmt.Fprintf(a.Stdout, "  %s: %s\n", f.Path, f.Verdict)
		}
	}
	fmt.Fprintf(a.Stdout, "  %d of %d fields match\n", matches, len(v.Fields))
	if v.SourceChanged {
		fmt.Fprintln(a.Stdout, "  the source has changed since the plan; the cutover copies the changes, unless they lose more than was accepted")
	}
	if v.TargetChanged {
		fmt.Fprintln(a.Stdout, "  the target has changed since it was created, possibly in fields outside the plan")
	}
}

func printShadow(a *cli.App, s *shadow) {
	fmt.Fprintf(a.Stdout, "  %d %% of reads until %s: %s; %s\n", s.Percent, s.Until.Format(time.RFC3339), cli.Count(s.Reads, "shadow read"), s.Note)
	for path, n := range s.Differences {
		fmt.Fprintf(a.Stdout, "  %s differed %s\n", path, cli.Count(n, "time"))
	}
}
