package migratecli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
)

// selection says which migrations a step applies to: one by id, or all that match.
type selection struct {
	serverFlags
	ID       string
	All      bool
	From, To string
	batchFlags
}

// newStep returns the command of a step.
func newStep(name, short string, s *selection, run func() error) *cobra.Command {
	c := cli.NewCommand(name+" [MIGRATION]", short, cobra.MaximumNArgs(1), func(args []string) error {
		s.ID = cli.First(args)
		return run()
	})
	s.serverFlags.define(c)
	flags := c.Flags()
	flags.BoolVar(&s.All, "all", false, "All migrations for which this is the next step, instead of one.")
	flags.StringVar(&s.From, "from", "", "With --all: only migrations from this `BACKEND`.")
	flags.StringVar(&s.To, "to", "", "With --all: only migrations to this `BACKEND`.")
	s.batchFlags.define(c)
	return c
}

func (s selection) check() error {
	if (s.ID == "") == !s.All {
		return cli.UsageErrorf("name a migration (agentgw migrate status lists them), or use --all")
	}
	if !s.All && (s.From != "" || s.To != "") {
		return cli.UsageErrorf("--from and --to require --all")
	}
	return s.batchFlags.check(s.All)
}

// applyCommand is `agentgw migrate apply`.
type applyCommand struct {
	selection
	Accept []string
}

func newApply(a *cli.App) *cobra.Command {
	var s applyCommand
	c := newStep("apply", "Create the target agent, inactive where the provider supports it. Can be repeated: there is never a second target.", &s.selection, func() error { return s.run(a) })
	c.Flags().StringArrayVar(&s.Accept, "accept", nil, "Accept a loss by name, such as `data_loss:/PATH`. Can be repeated.")
	return c
}

func (s *applyCommand) run(a *cli.App) error {
	for _, name := range s.Accept {
		if !strings.HasPrefix(name, "data_loss:/") {
			return cli.UsageErrorf("--accept %q: want the name of a loss, such as data_loss:/avatar; agentgw migrate plan lists them", name)
		}
	}
	return s.step(a, "apply", func(m migration) any {
		for _, name := range s.Accept {
			if !s.All && !slices.Contains(m.Losses, name) {
				fmt.Fprintf(a.Stderr, "warning: the plan has no loss %s\n", name)
			}
		}
		return map[string]any{"plan_hash": m.PlanHash, "accept": s.Accept}
	})
}

func newVerify(a *cli.App) *cobra.Command {
	var s selection
	var accept []string
	c := newStep("verify", "Compare the target with the plan, field by field.", &s, func() error {
		return s.step(a, "verify", func(migration) any { return map[string]any{"accept": append([]string{}, accept...)} })
	})
	c.Flags().StringArrayVar(&accept, "accept", nil, "Accept a difference, as `VERDICT:/PATH`, such as mismatch:/voice/id if the provider stores the value in its own notation. Can be repeated.")
	return c
}

func newShadow(a *cli.App) *cobra.Command {
	var s selection
	var percent int
	var duration string
	c := newStep("shadow", "Shadow a share of the source's reads with reads of the target, and count differences.", &s, func() error {
		return s.step(a, "shadow", func(migration) any { return map[string]any{"percent": percent, "for": duration} })
	})
	c.Flags().IntVar(&percent, "percent", 10, "Shadow `N` percent of the reads; 0 stops the shadow reads.")
	c.Flags().StringVar(&duration, "for", "1h", "Shadow for this `DURATION`, such as 90m or 24h.")
	return c
}

func newCutover(a *cli.App) *cobra.Command {
	var s selection
	var activate, noActivate bool
	c := newStep("cutover", "Activate the target and point the source's ids to it.", &s, func() error {
		return s.step(a, "cutover", func(migration) any {
			if activate || noActivate {
				return map[string]any{"activate": activate}
			}
			return map[string]any{} // like the source
		})
	})
	c.Flags().BoolVar(&activate, "activate", false, "Activate the target even if the source is inactive, or after a cutover with --no-activate.")
	c.Flags().BoolVar(&noActivate, "no-activate", false, "Leave the target inactive.")
	c.MarkFlagsMutuallyExclusive("activate", "no-activate")
	return c
}

func newRollback(a *cli.App) *cobra.Command {
	var s selection
	var deleteTarget, abandon bool
	c := newStep("rollback", "Point the ids back to the source agent and deactivate the target.", &s, func() error {
		var moreStates []string
		if deleteTarget {
			moreStates = append(moreStates, "rolled_back")
		}
		return s.step(a, "rollback", func(migration) any {
			return map[string]any{"delete_target": deleteTarget, "abandon": abandon}
		}, moreStates...)
	})
	c.Flags().BoolVar(&deleteTarget, "delete-target", false, "Delete the target, if it is unchanged.")
	c.Flags().BoolVar(&abandon, "abandon", false, "Give up a migration whose outcome can no longer be determined.")
	return c
}

// statesBefore are the states in which --all selects a migration for a step.
var statesBefore = map[string][]string{
	"apply": {"ready", "failed", "outcome_unknown"}, "verify": {"applied"}, "shadow": {"verified"},
	"cutover": {"verified", "shadowing"}, "rollback": {"outcome_unknown", "applied", "verified", "shadowing", "cut_over"},
}

// step performs a step on the selected migrations. body returns the request body for a
// migration, which is zero except for apply and --all. With --all, moreStates are selected in
// addition to statesBefore.
func (s selection) step(a *cli.App, step string, body func(migration) any, moreStates ...string) error {
	if err := s.check(); err != nil {
		return err
	}
	c, err := s.connect(a)
	if err != nil {
		return err
	}
	if s.All {
		return stepAll(a, c, s, step, body, append(moreStates, statesBefore[step]...))
	}
	path := migrationPath(s.ID)
	var before migration
	if step == "apply" { // its body contains the plan hash
		if err := c.call(context.Background(), "GET", path, nil, &before); err != nil {
			return withExitCode(err)
		}
	}
	return request{
		method: "POST", path: path + "/" + step, body: body(before), json: s.JSON,
		print:  func(m migration) { printStep(a, m, step) },
		result: func(m migration) error { return stepError(m, step) },
	}.run(a, c)
}

// stepError returns an error if the step succeeded with a result that is not a success: a
// verification that found differences.
func stepError(m migration, step string) error {
	if v := m.Verification; step == "verify" && v != nil && !v.OK {
		return exitErrorf(exitDrift, "the target differs from the plan, or the source has changed")
	}
	return nil
}
