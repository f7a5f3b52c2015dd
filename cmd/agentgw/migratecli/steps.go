package migratecli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/cmd/agentgw/migratecli/client"
)

// step is a command that performs one step of migrations.
type step struct {
	selection
	name, effect string // effect is a key of effects; empty for a step that changes no agent
	Yes, DryRun  bool
	// body returns the body of the request for a migration.
	body func(client.Migration) any
}

// newStep returns the command of a step. check, which can be nil, checks its own flags.
func newStep(a *cli.App, name, short string, s *step, check func() error) *cobra.Command {
	s.name = name
	c := cli.NewCommand(name+" [MIGRATION...]", short, cobra.ArbitraryArgs, func(args []string) error {
		s.IDs = args
		if check != nil {
			if err := check(); err != nil {
				return err
			}
		}
		return s.run(a)
	})
	s.selection.define(c)
	if s.effect != "" {
		c.Flags().BoolVar(&s.Yes, "yes", false, "Do not ask before a step over several agents. Required without a terminal.")
	}
	c.Flags().BoolVar(&s.DryRun, "dry-run", false, "List the selected migrations, and do nothing.")
	return c
}

func newApply(a *cli.App) *cobra.Command {
	var accept []string
	s := &step{effect: "apply"}
	s.body = func(m client.Migration) any {
		for _, name := range accept {
			if s.single() && !slices.Contains(m.Losses, name) {
				fmt.Fprintf(a.Stderr, "warning: the plan has no loss %s\n", name)
			}
		}
		hash, ok := s.planHashes[m.ID]
		if !ok {
			hash = m.PlanHash
		}
		return map[string]any{"plan_hash": hash, "accept": accept}
	}
	c := newStep(a, "apply", "Create the target agent, out of service where the provider supports it. Can be repeated: there is never a second target.", s, func() error {
		for _, name := range accept {
			if !strings.HasPrefix(name, "data_loss:/") {
				return cli.UsageErrorf("--accept %q: want the name of a loss, such as data_loss:/avatar; agentgw migrate plan lists them", name)
			}
		}
		return s.readPlanFiles()
	})
	c.Use = "apply [MIGRATION...|PLANFILE...]"
	c.Long = c.Short + "\n\nA PLANFILE is written by agentgw migrate plan --out FILE.json. Exactly its plans are applied: a plan that was\nreplaced since is refused (plan_stale)."
	c.Flags().StringArrayVar(&accept, "accept", nil, "Accept a loss by name, such as `data_loss:/PATH`. Can be repeated.")
	return c
}

func newVerify(a *cli.App) *cobra.Command {
	var accept []string
	s := &step{body: func(client.Migration) any { return map[string]any{"accept": append([]string{}, accept...)} }}
	c := newStep(a, "verify", "Compare the target with the plan, field by field.", s, nil)
	c.Flags().StringArrayVar(&accept, "accept", nil, "Accept a difference, as `VERDICT:/PATH`, such as mismatch:/voice/id if the provider stores the value in its own notation. Can be repeated.")
	return c
}

func newShadow(a *cli.App) *cobra.Command {
	var percent int
	var duration string
	s := &step{effect: "shadow", body: func(client.Migration) any { return map[string]any{"percent": percent, "for": duration} }}
	c := newStep(a, "shadow", "Shadow a share of the source's reads with reads of the target, and count differences.", s, func() error {
		if percent < 0 || percent > 100 {
			return cli.UsageErrorf("--percent %d: want 1 to 100, or 0 to stop the shadow reads", percent)
		}
		if d, err := time.ParseDuration(duration); err != nil || d <= 0 {
			return cli.UsageErrorf("--for %q: want a duration in hours, minutes and seconds, such as 90m or 24h", duration)
		}
		return nil
	})
	c.Flags().IntVar(&percent, "percent", 10, "Shadow `N` percent of the reads; 0 stops the shadow reads.")
	c.Flags().StringVar(&duration, "for", "1h", "Shadow for this `DURATION`, such as 90m or 24h.")
	return c
}

func newCutover(a *cli.App) *cobra.Command {
	var activate, noActivate bool
	s := &step{effect: "cutover", body: func(client.Migration) any {
		if activate || noActivate {
			return map[string]any{"activate": activate}
		}
		return map[string]any{} // like the source
	}}
	c := newStep(a, "cutover", "Activate the target and point the source's ids to it.", s, nil)
	c.Flags().BoolVar(&activate, "activate", false, "Activate the target even if the source is inactive, or after a cutover with --no-activate.")
	c.Flags().BoolVar(&noActivate, "no-activate", false, "Leave the target inactive.")
	c.MarkFlagsMutuallyExclusive("activate", "no-activate")
	return c
}

func newRollback(a *cli.App) *cobra.Command {
	var deleteTarget, abandon bool
	s := &step{effect: "rollback", body: func(client.Migration) any {
		return map[string]any{"delete_target": deleteTarget, "abandon": abandon}
	}}
	c := newStep(a, "rollback", "Point the ids back to the source agent and deactivate the target.", s, func() error {
		if deleteTarget {
			s.effect = effectDelete
		}
		return nil
	})
	c.Long = c.Short + "\n\n--all and --batch select no migration that is rolled back already. To delete the targets that such a rollback left,\nname the migrations: agentgw migrate orphans lists them."
	c.Flags().BoolVar(&deleteTarget, "delete-target", false, "Delete the target, if it is unchanged.")
	c.Flags().BoolVar(&abandon, "abandon", false, "Give up a migration whose outcome can no longer be determined.")
	return c
}

// statesBefore are the states in which a scope selects a migration for a step.
var statesBefore = map[string][]string{
	"apply": {"ready", "failed", "outcome_unknown"}, "verify": {"applied", "drifted"}, "shadow": {"verified"},
	"cutover": {"verified", "shadowing"}, "rollback": {"outcome_unknown", "applied", "verified", "drifted", "shadowing", "cut_over"},
}

// run performs the step on the selected migrations. One that is named on the command line is
// shown in full; several are a batch.
func (s *step) run(a *cli.App) error {
	if err := s.check(); err != nil {
		return err
	}
	c, err := s.Connect(a)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	if !s.single() {
		waitWhenAsked(a, c)
	}
	selected, err := s.resolve(ctx, c, statesBefore[s.name])
	switch {
	case err != nil:
		return err
	case s.DryRun:
		return printMigrations(a, selected)
	case s.single():
		m := selected[0]
		return request{
			method: "POST", path: client.MigrationPath(m.ID) + "/" + s.name, body: s.body(m), json: s.JSON,
			print:  func(m client.Migration) { printStep(a, m, s.name) },
			result: func(m client.Migration) error { return stepError(m, s.name) },
		}.run(a, c)
	case len(selected) == 0:
		fmt.Fprintf(a.Stderr, "nothing to do: no migration in this scope is in a state for %s (%s); agentgw migrate status lists them\n", s.name, strings.Join(statesBefore[s.name], ", "))
	case s.effect != "" && !s.Yes:
		if err := a.Confirm(s.describe(selected), "--yes"); err != nil {
			return err
		}
	case s.effect != "":
		fmt.Fprintln(a.Stderr, s.describe(selected))
	}
	if s.name == "rollback" {
		slices.Reverse(selected) // newest first
	}
	return s.runBatch(ctx, a, c, selected)
}

// runBatch performs the step on migrations one after the other.
func (s *step) runBatch(ctx context.Context, a *cli.App, c *client.Client, selected []client.Migration) error {
	b := newBatch(a, c, s.name, len(selected), s.batchFlags)
	for _, m := range selected {
		if ctx.Err() != nil {
			break
		}
		o := outcome{Result: "done"}
		o.update(m)
		var after client.Migration
		if err := c.Call(context.WithoutCancel(ctx), "POST", client.MigrationPath(m.ID)+"/"+s.name, s.body(m), &after); err != nil {
			b.add(o.withError(err))
			continue
		}
		o.update(after)
		o.code = cli.ExitCode(stepError(after, s.name))
		if o.code == exitDrift {
			o.Result = "drift"
		}
		b.add(o)
	}
	return b.finish(ctx.Err() != nil)
}

// stepError returns an error if the step succeeded with a result that is not a success: a
// verification that found differences.
func stepError(m client.Migration, step string) error {
	if v := m.Verification; step == "verify" && v != nil && !v.OK {
		return exitErrorf(exitDrift, "the target differs from the plan, or the source has changed")
	}
	return nil
}

// readPlanFiles replaces the plan files among the arguments by the migrations in them, whose
// plan hashes it keeps.
func (s *step) readPlanFiles() error {
	s.planHashes = map[string]string{}
	var ids []string
	for _, arg := range s.IDs {
		if !strings.HasSuffix(arg, planFileExtension) {
			ids = append(ids, arg)
			continue
		}
		plans, err := readPlanFile(arg)
		if err != nil {
			return err
		}
		ids = append(ids, slices.Sorted(maps.Keys(plans))...) // ids sort by time
		maps.Copy(s.planHashes, plans)
	}
	s.IDs = ids
	return nil
}
