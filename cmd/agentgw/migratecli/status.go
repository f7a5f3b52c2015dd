package migratecli

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/cmd/agentgw/migratecli/client"
)

// statusCommand is `agentgw migrate status`.
type statusCommand struct {
	client.Flags
	ID       string
	States   []string
	From, To string
	Batch    string
	Quiet    bool
	Diff     bool
	JSON     bool
}

func newStatus(a *cli.App) *cobra.Command {
	var s statusCommand
	c := cli.NewCommand("status [MIGRATION]", "List migrations, or show one with its plan and audit log.", cobra.MaximumNArgs(1), func(args []string) error {
		s.ID = cli.First(args)
		return s.run(a)
	})
	s.Define(c)
	flags := c.Flags()
	flags.StringSliceVar(&s.States, "state", nil, "Only migrations in one of these `STATES`.")
	flags.StringVar(&s.From, "from", "", "Only migrations from this `BACKEND`.")
	flags.StringVar(&s.To, "to", "", "Only migrations to this `BACKEND`.")
	flags.StringVar(&s.Batch, "batch", "", "Only migrations of the batch `NAME`.")
	flags.BoolVarP(&s.Quiet, "quiet", "q", false, "Print ids only, one per line.")
	flags.BoolVar(&s.Diff, "diff", false, "With a migration: show the values at the source (-) and at the target (+).")
	cli.JSONFlag(c, &s.JSON)
	return c
}

func (s *statusCommand) run(a *cli.App) error {
	c, err := s.Connect(a)
	if err != nil {
		return err
	}
	if s.ID != "" {
		return request{
			method: "GET", path: client.MigrationPath(s.ID), json: s.JSON,
			print: func(m client.Migration) {
				printPlan(a, m, s.Diff)
				printStep(a, m, "status")
			},
			result: func(client.Migration) error { return nil },
		}.run(a, c)
	}
	all, err := c.Migrations(context.Background(), client.MigrationQuery{From: s.From, To: s.To, Batch: s.Batch, States: cli.NonEmpty(s.States)})
	if err != nil {
		return withExitCode(err)
	}
	return printList(a, all, s.JSON, s.Quiet)
}

// newOrphans returns `agentgw migrate orphans`.
func newOrphans(a *cli.App) *cobra.Command {
	var s statusCommand
	c := cli.NewCommand("orphans", "List the target agents that a rollback left at a provider.", cli.NoArgs, func([]string) error { return s.orphans(a) })
	c.Long = c.Short + `

To delete them:
  agentgw migrate orphans --quiet > orphans.txt
  agentgw migrate rollback --ids orphans.txt --delete-target`
	s.Define(c)
	c.Flags().StringVar(&s.To, "to", "", "Only at this `BACKEND`.")
	c.Flags().BoolVarP(&s.Quiet, "quiet", "q", false, "Print the ids of the migrations only, one per line.")
	cli.JSONFlag(c, &s.JSON)
	return c
}

// orphans lists the rolled back migrations whose target still exists.
func (s *statusCommand) orphans(a *cli.App) error {
	c, err := s.Connect(a)
	if err != nil {
		return err
	}
	waitWhenAsked(a, c)
	ctx := context.Background()
	rolledBack, err := c.Migrations(ctx, client.MigrationQuery{To: s.To, States: []string{"rolled_back"}})
	if err != nil {
		return withExitCode(err)
	}
	var left []client.Migration
	for _, m := range rolledBack {
		if m.Target == nil {
			continue
		}
		err := c.Call(ctx, "GET", "/v1/agents/"+url.PathEscape(*m.Target)+"?resolve=none", nil, nil)
		if e, ok := errors.AsType[*client.Error](err); ok && e.Code == "agent_not_found" {
			continue // somebody else has deleted it
		}
		if err != nil {
			return withExitCode(err)
		}
		left = append(left, m)
	}
	return printList(a, left, s.JSON, s.Quiet)
}

// printList prints migrations as a table, as JSON, or as ids only.
func printList(a *cli.App, all []client.Migration, asJSON, idsOnly bool) error {
	switch {
	case asJSON:
		return a.PrintJSON(map[string]any{"object": "list", "data": append([]client.Migration{}, all...)})
	case idsOnly:
		for _, m := range all {
			fmt.Fprintln(a.Stdout, m.ID)
		}
		return nil
	}
	return printMigrations(a, all)
}
