package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

// batchFlags are of what is done with many.
type batchFlags struct {
	JSON   bool
	Report []string
}

func (b *batchFlags) define(c *cobra.Command) {
	jsonFlag(c, &b.JSON)
	c.Flags().StringArrayVar(&b.Report, "report", nil, "With --all: write what came of each into `FILE`, by its ending .csv, .json or .html. May be given again.")
}

// check holds them against whether it is a batch at all.
func (b batchFlags) check(all bool) error {
	for _, file := range b.Report {
		if !all {
			return usageError{errors.New("--report goes with --all")}
		}
		if err := reportable(file); err != nil {
			return err
		}
	}
	return nil
}

// outcome is what came of one of a batch.
type outcome struct {
	Source        string         `json:"source"`
	TargetBackend string         `json:"target_backend"`
	Migration     string         `json:"migration,omitempty"`
	State         string         `json:"state"`
	Target        string         `json:"target,omitempty"`
	Result        string         `json:"result"` // done, skipped, or the code of a problem
	Detail        string         `json:"detail,omitempty"`
	Counts        map[string]int `json:"counts,omitempty"`
	Losses        []string       `json:"losses,omitempty"`
	Manual        []string       `json:"manual,omitempty"`   // what is left to do by hand
	Warnings      []string       `json:"warnings,omitempty"` // of the step
	code          int
}

func (o *outcome) take(m migration) {
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

// batch does something with each of many: one after the other, so that quotas of vendors
// hold, until it is interrupted.
type batch struct {
	app      *app
	step     string
	flags    batchFlags
	outcomes []outcome
	bar      *progressbar.ProgressBar
	total    int
}

// newBatch shows its progress as a bar on a terminal, and elsewhere as lines.
func newBatch(a *app, c *api, step string, total int, flags batchFlags) *batch {
	b := &batch{app: a, step: step, flags: flags, total: total}
	if isTerminal(a.stderr) {
		b.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(a.stderr), progressbar.OptionSetDescription(step), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
	}
	c.waiting = func(code string, wait time.Duration) {
		if b.bar != nil {
			b.bar.Describe(fmt.Sprintf("%s (%s: waiting %s)", step, code, wait))
			return
		}
		fmt.Fprintf(a.stderr, "%s: waiting %s\n", code, wait)
	}
	return b
}

// done notes what came of one.
func (b *batch) done(o outcome) {
	b.outcomes = append(b.outcomes, o)
	if b.bar != nil {
		b.bar.Describe(b.step)
		_ = b.bar.Add(1) // it is only shown
		return
	}
	line := fmt.Sprintf("%d/%d %s %s", len(b.outcomes), b.total, o.Source, o.Result)
	if o.State != "" {
		line += " " + o.State
	}
	if o.Detail != "" {
		line += ": " + o.Detail
	}
	if len(o.Manual) > 0 {
		line += "; by hand: " + strings.Join(o.Manual, ", ")
	}
	if len(o.Warnings) > 0 {
		line += "; warnings: " + strings.Join(o.Warnings, ", ")
	}
	fmt.Fprintln(b.app.stderr, line)
}

// failed is what came of one by an error.
func (o outcome) failed(err error) outcome {
	o.Result, o.Detail, o.code = "error", err.Error(), exitFailed
	if p, ok := errors.AsType[*problem](err); ok {
		o.Result, o.Detail = p.Code, p.Detail
	}
	o.code = codeOf(coded(err))
	return o
}

// codeOf is what the command ends with.
func codeOf(err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[exitError](err); ok {
		return e.code
	}
	return exitFailed
}

// end writes the reports and the summary, and says what the command ends with: an error
// before what is missing, that before losses, and those before drift.
func (b *batch) end(interrupted bool) error {
	if b.bar != nil {
		_ = b.bar.Finish() // it is only shown
	}
	r := report{Step: b.step, At: time.Now().UTC(), Total: b.total, Outcomes: b.outcomes}
	for _, file := range b.flags.Report {
		if err := r.write(file); err != nil {
			return err
		}
	}
	if b.flags.JSON {
		out, err := marshal(r)
		if err != nil {
			return err
		}
		fmt.Fprintf(b.app.stdout, "%s\n", out)
	} else {
		r.print(b.app.stdout)
	}
	if interrupted {
		return fmt.Errorf("interrupted: %d of %d are done; run the same command again to go on", len(b.outcomes), b.total)
	}
	for _, code := range []int{exitFailed, exitMissing, exitLoss, exitDrift} {
		if n := r.count(func(o outcome) bool { return o.code == code }); n > 0 {
			return exitError{fmt.Errorf("of %d agents, %d %s", len(b.outcomes), n, ended[code]), code}
		}
	}
	return nil
}

// ended is what a batch's exit code means.
var ended = map[int]string{
	exitFailed: "failed", exitMissing: "lack input, or are blocked", exitLoss: "have losses to accept", exitDrift: "are not as they were",
}

// planAll plans all agents of a backend. Those that are on their way already are left so.
func planAll(a *app, c *api, from, to string, body map[string]any, flags batchFlags) error {
	ctx, stop := interruptible()
	defer stop()
	sources, err := agentsOf(ctx, c, from, "basic")
	if err != nil {
		return coded(err)
	}
	known, err := migrations(ctx, c, from, to, []string{"outcome_unknown", "applied", "verified", "shadowing", "cut_over"})
	if err != nil {
		return coded(err)
	}
	underway := map[string]migration{}
	for _, m := range known {
		underway[m.Source] = m
	}
	b := newBatch(a, c, "plan", len(sources), flags)
	for _, source := range sources {
		if ctx.Err() != nil {
			break
		}
		o := outcome{Source: source.ID, TargetBackend: to, Result: "done"}
		if m, ok := underway[source.ID]; ok {
			o.take(m)
			o.Result = "skipped"
			b.done(o)
			continue
		}
		body["source"] = source.ID
		var m migration
		if err := c.call(context.WithoutCancel(ctx), "POST", "/v1/migrations", body, &m); err != nil {
			b.done(o.failed(err))
			continue
		}
		o.take(m)
		o.code, o.Detail = codeOf(planCode(m)), m.blocking()
		b.done(o)
	}
	return b.end(ctx.Err() != nil)
}

// blocking names what keeps a plan from being applied.
func (m migration) blocking() string {
	var paths []string
	for _, f := range m.Plan.Findings {
		if f.Severity == "blocking" {
			paths = append(paths, f.Path)
		}
	}
	if len(paths) == 0 {
		return ""
	}
	return "give " + strings.Join(paths, ", ")
}

// nextStates are those in which a step is the next of a batch.
var nextStates = map[string][]string{
	"apply": {"ready", "failed", "outcome_unknown"}, "verify": {"applied"}, "shadow": {"verified"},
	"cutover": {"verified", "shadowing"}, "rollback": {"outcome_unknown", "applied", "verified", "shadowing", "cut_over"},
}

// stepAll does a step of all migrations in these states.
func stepAll(a *app, c *api, chosen chosenFlags, step string, body func(migration) any, states []string) error {
	ctx, stop := interruptible()
	defer stop()
	all, err := migrations(ctx, c, chosen.From, chosen.To, states)
	if err != nil {
		return coded(err)
	}
	if step != "rollback" {
		slices.Reverse(all) // the oldest first; back, the newest
	}
	b := newBatch(a, c, step, len(all), chosen.batchFlags)
	for _, m := range all {
		if ctx.Err() != nil {
			break
		}
		o := outcome{Source: m.Source, TargetBackend: m.TargetBackend, Result: "done"}
		o.take(m)
		var content any
		if body != nil {
			content = body(m)
		}
		var after migration
		if err := c.call(context.WithoutCancel(ctx), "POST", "/v1/migrations/"+url.PathEscape(m.ID)+"/"+step, content, &after); err != nil {
			b.done(o.failed(err))
			continue
		}
		o.take(after)
		o.code = codeOf(stepCode(after, step))
		if o.code == exitDrift {
			o.Result = "drift"
		}
		b.done(o)
	}
	return b.end(ctx.Err() != nil)
}

// listed is an agent of a list.
type listed struct {
	ID  string
	raw json.RawMessage
}

// agentsOf are all agents of a backend.
func agentsOf(ctx context.Context, c *api, backend, view string) (all []listed, err error) {
	q := url.Values{"backend": {backend}, "limit": {"500"}, "view": {view}, "require": {backend}, "collapse_migrated": {"false"}}
	for {
		var page struct {
			Data       []json.RawMessage `json:"data"`
			NextCursor *string           `json:"next_cursor"`
		}
		if err := c.call(ctx, "GET", "/v1/agents?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		for _, raw := range page.Data {
			var a struct {
				ID string `json:"id"`
			}
			if err := json.Unmarshal(raw, &a); err != nil {
				return nil, err
			}
			all = append(all, listed{a.ID, raw})
		}
		if page.NextCursor == nil {
			return all, nil
		}
		q.Set("cursor", *page.NextCursor)
	}
}

// print is the summary.
func (r report) print(w interface{ Write([]byte) (int, error) }) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RESULT\tSTATE\tAGENTS")
	for _, line := range r.Summary() {
		fmt.Fprintf(table, "%s\t%s\t%d\n", line.Result, line.State, line.Agents)
	}
	fmt.Fprintf(table, "in all\t\t%d of %d\n", len(r.Outcomes), r.Total)
	_ = table.Flush()
	if r.Step == "plan" {
		for _, loss := range r.Losses() {
			fmt.Fprintf(w, "--accept %s\n", loss)
		}
	}
	for _, line := range r.ByHand() {
		fmt.Fprintln(w, line)
	}
}
