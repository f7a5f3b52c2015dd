package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// chosenFlags say which migrations a step is done with.
type chosenFlags struct {
	serverFlags
	ID       string
	All      bool
	From, To string
	batchFlags
}

// newStep is a command that takes a step of the migrations that f says.
func newStep(name, short string, f *chosenFlags, run func() error) *cobra.Command {
	c := newCommand(name+" [MIGRATION]", short, cobra.MaximumNArgs(1), func(args []string) error {
		f.ID = first(args)
		return run()
	})
	f.serverFlags.define(c)
	flags := c.Flags()
	flags.BoolVar(&f.All, "all", false, "All for which the step is the next, instead of one.")
	flags.StringVar(&f.From, "from", "", "With --all: only of agents of this `BACKEND`.")
	flags.StringVar(&f.To, "to", "", "With --all: only to this `BACKEND`.")
	f.batchFlags.define(c)
	return c
}

func (c chosenFlags) check() error {
	if (c.ID == "") == !c.All {
		return usageError{errors.New("name a migration (agentgw migrate status lists them), or --all")}
	}
	if !c.All && (c.From != "" || c.To != "") {
		return usageError{errors.New("--from and --to go with --all")}
	}
	return c.batchFlags.check(c.All)
}

type applyCommand struct {
	chosenFlags
	Accept []string
}

func newMigrateApply(a *app) *cobra.Command {
	var s applyCommand
	c := newStep("apply", "Make the target, inactive where the vendor can; exactly one, however often this is run.", &s.chosenFlags, func() error { return s.run(a) })
	c.Flags().StringArrayVar(&s.Accept, "accept", nil, "A loss that is accepted, by its name, such as `data_loss:/PATH`. May be given again.")
	return c
}

func (s *applyCommand) run(a *app) error {
	for _, name := range s.Accept {
		if !strings.HasPrefix(name, "data_loss:/") {
			return usageError{fmt.Errorf("--accept %q: want the name of a loss, such as data_loss:/avatar; plan lists them", name)}
		}
	}
	return s.step(a, "apply", func(m migration) any {
		for _, name := range s.Accept {
			if !s.All && !slices.Contains(m.Losses, name) {
				fmt.Fprintf(a.stderr, "%s is no loss of this plan\n", name)
			}
		}
		return map[string]any{"plan_hash": m.PlanHash, "accept": s.Accept}
	})
}

func newMigrateVerify(a *app) *cobra.Command {
	var chosen chosenFlags
	var accept []string
	c := newStep("verify", "Compare the target with the plan, field by field.", &chosen, func() error {
		return chosen.step(a, "verify", func(migration) any { return map[string]any{"accept": append([]string{}, accept...)} })
	})
	c.Flags().StringArrayVar(&accept, "accept", nil, "A difference that is none, as `VERDICT:/PATH`, such as mismatch:/voice/id where the vendor writes it its own way. May be given again.")
	return c
}

func newMigrateShadow(a *app) *cobra.Command {
	var chosen chosenFlags
	var percent int
	var howLong string
	c := newStep("shadow", "Have a share of the reads of the source read the target too, and count what differs.", &chosen, func() error {
		return chosen.step(a, "shadow", func(migration) any { return map[string]any{"percent": percent, "for": howLong} })
	})
	c.Flags().IntVar(&percent, "percent", 10, "The share of reads, `N` of a hundred; 0 ends it.")
	c.Flags().StringVar(&howLong, "for", "1h", "`HOW` long, such as 90m or 24h.")
	return c
}

func newMigrateCutover(a *app) *cobra.Command {
	var chosen chosenFlags
	var activate, noActivate bool
	c := newStep("cutover", "Activate the target, and lead the source's ids to it.", &chosen, func() error {
		return chosen.step(a, "cutover", func(migration) any {
			if activate || noActivate {
				return map[string]any{"activate": activate}
			}
			return map[string]any{} // as the source is
		})
	})
	c.Flags().BoolVar(&activate, "activate", false, "Activate the target, whatever the source is; also after a cutover that did not.")
	c.Flags().BoolVar(&noActivate, "no-activate", false, "Leave the target inactive.")
	c.MarkFlagsMutuallyExclusive("activate", "no-activate")
	return c
}

func newMigrateRollback(a *app) *cobra.Command {
	var chosen chosenFlags
	var deleteTarget, abandon bool
	c := newStep("rollback", "Lead the source's ids back to it, and let the target rest.", &chosen, func() error {
		var resting []string
		if deleteTarget {
			resting = append(resting, "rolled_back")
		}
		return chosen.step(a, "rollback", func(migration) any {
			return map[string]any{"delete_target": deleteTarget, "abandon": abandon}
		}, resting...)
	})
	c.Flags().BoolVar(&deleteTarget, "delete-target", false, "Delete the target, if nobody changed it.")
	c.Flags().BoolVar(&abandon, "abandon", false, "Give up a migration of which nobody can find out any more whether it made a target.")
	return c
}

// step does a step, of one migration or of all for which it is the next.
// More are states in which it can be done with all, beside those.
func (c chosenFlags) step(a *app, step string, body func(migration) any, more ...string) error {
	if err := c.check(); err != nil {
		return err
	}
	gateway, err := c.connect(a)
	if err != nil {
		return err
	}
	if c.All {
		return stepAll(a, gateway, c, step, body, append(more, nextStates[step]...))
	}
	path := "/v1/migrations/" + url.PathEscape(c.ID)
	var before migration
	if step == "apply" { // it names the plan
		if err := gateway.call(context.Background(), "GET", path, nil, &before); err != nil {
			return coded(err)
		}
	}
	var content any
	if body != nil {
		content = body(before)
	}
	return single(a, gateway, "POST", path+"/"+step, content, c.JSON, func(m migration) { printStep(a, m, step) }, func(m migration) error { return stepCode(m, step) })
}

// stepCode is what a step ends with that was done: a verification may say that it is not
// as it should be.
func stepCode(m migration, step string) error {
	if v := m.Verification; step == "verify" && v != nil && !v.OK {
		return exitError{errors.New("the target is not as planned, or the source was changed"), exitDrift}
	}
	return nil
}
