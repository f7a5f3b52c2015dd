package migratecli

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/cmd/agentgw/migratecli/client"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
)

// findingKinds are the kinds of findings, in the order in which they are counted.
var findingKinds = []string{"exact", "approximate", "manual", "needs_input", "unsupported", "not_migrated"}

func printMigrations(a *cli.App, all []client.Migration) error {
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tMIGRATION\tSTATE\tSOURCE\tTARGET\tBATCH\tEXACT\tAPPROX\tLOST\tNEXT")
	for _, m := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", printable(m.Name()), m.ID, m.State, m.Source, m.TargetText(), client.Deref(m.Batch), m.Counts["exact"], m.Counts["approximate"], len(m.Losses), strings.Join(m.Next, " "))
	}
	return w.Flush()
}

// printHead prints the line that names a migration.
func printHead(a *cli.App, m client.Migration) {
	fmt.Fprintf(a.Stdout, "%s\n", strings.TrimSpace(fmt.Sprintf("%s  %s  %s → %s  %s", printable(m.Name()), m.ID, m.Source, m.TargetText(), m.State)))
}

// printPlan prints the finding of each field, the most severe first, and on request the values
// below each.
func printPlan(a *cli.App, m client.Migration, values bool) {
	printHead(a, m)
	fmt.Fprintln(a.Stdout)
	order := []string{"blocking", "data_loss", "warn", "info"}
	slices.SortStableFunc(m.Plan.Findings, func(x, y client.Finding) int {
		return slices.Index(order, x.Severity) - slices.Index(order, y.Severity)
	})
	if values {
		printValues(a, m.Plan.Findings)
	} else {
		w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "SEVERITY\tFIELD\tKIND\tMESSAGE")
		for _, f := range m.Plan.Findings {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Severity, f.Path, f.Kind, f.Message+f.Hint())
		}
		_ = w.Flush()
	}
	var counts []string
	for _, kind := range findingKinds {
		counts = append(counts, fmt.Sprintf("%d %s", m.Counts[kind], kind))
	}
	fmt.Fprintf(a.Stdout, "\n%s\n", strings.Join(counts, ", "))
}

// printValues prints each finding with the value at the source (-) and at the target (+), or
// the one value that both have (=).
func printValues(a *cli.App, findings []client.Finding) {
	for _, f := range findings {
		fmt.Fprintf(a.Stdout, "%s  %s  %s  %s\n", f.Severity, f.Path, f.Kind, f.Message+f.Hint())
		if f.From != nil && string(f.From) == string(f.To) {
			printValue(a, "=", f.To)
			continue
		}
		printValue(a, "-", f.From)
		printValue(a, "+", f.To)
	}
}

// printValue prints a value, each line after a sign; nothing if there is none.
func printValue(a *cli.App, sign string, value jsontext.Value) {
	if value == nil || value.Kind() == 'n' {
		return
	}
	text := string(value)
	if value.Kind() == '"' {
		if plain, err := jsontext.AppendUnquote(nil, value); err == nil {
			text = string(plain)
		}
	}
	for line := range strings.Lines(text) {
		fmt.Fprintf(a.Stdout, "    %s %s\n", sign, printable(strings.TrimRight(line, "\r\n")))
	}
}

// printable replaces control characters, which could steer a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// printStep prints the result of a step. The step "status" prints everything.
func printStep(a *cli.App, m client.Migration, step string) {
	status := step == "status"
	printHead(a, m)
	if m.Verification != nil && (status || step == "verify" || step == "apply") {
		printVerification(a, m.Verification)
	}
	if n := len(m.Trail); n > 0 && (step == "cutover" || step == "rollback") {
		fmt.Fprintf(a.Stdout, "  %s\n", m.Trail[n-1].Detail)
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

// verdictLegend explains the verdicts whose names do not.
var verdictLegend = map[migrate.Verdict]string{
	migrate.NotPersisted:  " (a value was sent, and the target has none)",
	migrate.TargetDefault: " (no value was sent; the target has a default)",
}

func printVerification(a *cli.App, v *client.Verification) {
	for _, f := range v.Fields {
		if f.Verdict != migrate.Match {
			fmt.Fprintf(a.Stdout, "  %s: %s%s\n", f.Path, f.Verdict, verdictLegend[f.Verdict])
		}
	}
	fmt.Fprintf(a.Stdout, "  %s\n", migrate.Tally(v.Fields))
	if v.SourceChanged {
		fmt.Fprintln(a.Stdout, "  the source has changed since the plan; the cutover copies the changes, unless they lose more than was accepted")
	}
	if v.TargetChanged {
		fmt.Fprintln(a.Stdout, "  the target has changed since it was created, possibly in fields outside the plan")
	}
}

func printShadow(a *cli.App, s *client.Shadow) {
	fmt.Fprintf(a.Stdout, "  %d %% of reads until %s: %s; %s\n", s.Percent, s.Until.Format(time.RFC3339), cli.Count(s.Reads, "shadow read"), s.Note)
	for path, n := range s.Differences {
		fmt.Fprintf(a.Stdout, "  %s differed %s\n", path, cli.Count(n, "time"))
	}
}
