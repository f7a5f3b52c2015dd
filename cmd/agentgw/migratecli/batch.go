package migratecli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/cmd/agentgw/migratecli/client"
)

// batchFlags are the flags for the output of a step over several agents.
type batchFlags struct {
	JSON    bool
	Reports []string
}

func (b *batchFlags) define(c *cobra.Command) {
	cli.JSONFlag(c, &b.JSON)
	c.Flags().StringArrayVar(&b.Reports, "report", nil, "With several agents: write the result of each to `FILE`, in the format of its extension: .csv, .json or .html. Can be repeated.")
}

func (b batchFlags) check(several bool) error {
	for _, file := range b.Reports {
		if !several {
			return cli.UsageErrorf("--report requires several agents")
		}
		if err := checkReportFile(file); err != nil {
			return err
		}
	}
	return nil
}

// batch performs a step on many agents, one after the other, and records the outcomes. It is
// sequential so that the quotas of providers hold.
type batch struct {
	app      *cli.App
	step     string
	flags    batchFlags
	outcomes []outcome
	total    int
	bar      *progressbar.ProgressBar // nil if stderr is not a terminal
}

// newBatch shows the progress as a bar on a terminal, and as one line per agent otherwise.
func newBatch(a *cli.App, c *client.Client, step string, total int, flags batchFlags) *batch {
	b := &batch{app: a, step: step, flags: flags, total: total}
	if cli.IsTerminal(a.Stderr) {
		b.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(a.Stderr), progressbar.OptionSetDescription(step), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
	}
	waitWhenAsked(a, c)
	if b.bar != nil {
		c.OnWait = func(code string, wait time.Duration) {
			b.bar.Describe(fmt.Sprintf("%s (%s: waiting %s)", step, code, wait))
		}
	}
	return b
}

// waitWhenAsked has the client wait as long as a Retry-After says, and say so.
func waitWhenAsked(a *cli.App, c *client.Client) {
	c.OnWait = func(code string, wait time.Duration) { fmt.Fprintf(a.Stderr, "%s: waiting %s\n", code, wait) }
}

// add records an outcome and shows the progress.
func (b *batch) add(o outcome) {
	b.outcomes = append(b.outcomes, o)
	if b.bar != nil {
		b.bar.Describe(b.step)
		_ = b.bar.Add(1) // display only
		return
	}
	fmt.Fprintf(b.app.Stderr, "%d/%d %s\n", len(b.outcomes), b.total, o)
}

// finish writes the reports and the summary. Its error has the exit code of the most severe
// outcome: failures before missing input, losses and drift.
func (b *batch) finish(interrupted bool) error {
	if b.bar != nil {
		_ = b.bar.Finish() // display only
	}
	r := report{Step: b.step, At: time.Now().UTC(), Total: b.total, Outcomes: b.outcomes}
	for _, file := range b.flags.Reports {
		if err := r.write(file); err != nil {
			return err
		}
	}
	if b.flags.JSON {
		if err := b.app.PrintJSON(r); err != nil {
			return err
		}
	} else {
		r.print(b.app.Stdout)
	}
	if interrupted {
		return fmt.Errorf("interrupted after %d of %d agents; run the same command again to continue", len(b.outcomes), b.total)
	}
	for _, severity := range []struct {
		code int
		text string
	}{
		{cli.ExitFailed, "failed"}, {exitMissing, "need input or are blocked"},
		{exitLoss, "have losses to accept"}, {exitDrift, "have drifted"},
	} {
		if n := r.count(func(o outcome) bool { return o.code == severity.code }); n > 0 {
			return exitErrorf(severity.code, "%d of %d agents %s", n, len(b.outcomes), severity.text)
		}
	}
	return nil
}

// outcome is the result of a step for one agent.
type outcome struct {
	Name          string           `json:"name,omitempty"` // of the source agent
	Source        string           `json:"source"`
	TargetBackend string           `json:"target_backend"`
	Migration     string           `json:"migration,omitempty"`
	State         string           `json:"state"`
	Target        string           `json:"target,omitempty"`
	Result        string           `json:"result"` // done, skipped, drift, error or an API error code
	Detail        string           `json:"detail,omitempty"`
	Counts        map[string]int   `json:"counts,omitempty"`
	Losses        []string         `json:"losses,omitempty"`
	Manual        []string         `json:"manual,omitempty"`   // paths with a manual step after the cutover
	Warnings      []string         `json:"warnings,omitempty"` // warnings of the step
	Findings      []client.Finding `json:"findings,omitempty"` // of a plan; with values if asked for
	code          int              // exit code
}

// String is the progress line of the agent.
func (o outcome) String() string {
	line := strings.TrimSpace(printable(o.Name)+" "+o.Source) + " " + o.Result
	if o.State != "" {
		line += " " + o.State
	}
	if o.Detail != "" {
		line += ": " + o.Detail
	}
	if len(o.Manual) > 0 {
		line += "; manual: " + strings.Join(o.Manual, ", ")
	}
	if len(o.Warnings) > 0 {
		line += "; warnings: " + strings.Join(o.Warnings, ", ")
	}
	return line
}

// update copies the state of the migration into the outcome.
func (o *outcome) update(m client.Migration) {
	o.Name, o.Source, o.TargetBackend = m.Name(), m.Source, m.TargetBackend
	o.Migration, o.State, o.Counts, o.Losses = m.ID, m.State, m.Counts, m.Losses
	if m.Target != nil {
		o.Target = *m.Target
	}
	o.Manual, o.Warnings = nil, nil
	for _, w := range m.Warnings {
		text := w.Code
		if w.Path != nil {
			text += " " + *w.Path
		}
		o.Warnings = append(o.Warnings, text)
	}
	if m.State == "cut_over" {
		for _, f := range m.Manual {
			o.Manual = append(o.Manual, f.Path)
		}
	}
}

// addFindings copies the findings that need a decision or a look, or all of them with their
// values.
func (o *outcome) addFindings(m client.Migration, values bool) {
	for _, f := range m.Plan.Findings {
		if !values {
			f.From, f.To = nil, nil
		}
		if values || f.Severity != "info" {
			o.Findings = append(o.Findings, f)
		}
	}
}

// withError returns the outcome for an error.
func (o outcome) withError(err error) outcome {
	o.Result, o.Detail = "error", err.Error()
	if e, ok := errors.AsType[*client.Error](err); ok {
		o.Result, o.Detail = e.Code, e.Detail
	}
	o.code = cli.ExitCode(withExitCode(err))
	return o
}
