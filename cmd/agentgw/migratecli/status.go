package migratecli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
)

// statusCommand is `agentgw migrate status`.
type statusCommand struct {
	serverFlags
	ID       string
	States   []string
	From, To string
	JSON     bool
}

func newStatus(a *cli.App) *cobra.Command {
	var s statusCommand
	c := cli.NewCommand("status [MIGRATION]", "List migrations, or show one with its plan and audit log.", cobra.MaximumNArgs(1), func(args []string) error {
		s.ID = cli.First(args)
		return s.run(a)
	})
	s.define(c)
	flags := c.Flags()
	flags.StringSliceVar(&s.States, "state", nil, "Only migrations in one of these `STATES`.")
	flags.StringVar(&s.From, "from", "", "Only migrations from this `BACKEND`.")
	flags.StringVar(&s.To, "to", "", "Only migrations to this `BACKEND`.")
	cli.JSONFlag(c, &s.JSON)
	return c
}

func (s *statusCommand) run(a *cli.App) error {
	c, err := s.connect(a)
	if err != nil {
		return err
	}
	if s.ID != "" {
		return request{
			method: "GET", path: migrationPath(s.ID), json: s.JSON,
			print: func(m migration) {
				printPlan(a, m)
				printStep(a, m, "status")
			},
			result: func(migration) error { return nil },
		}.run(a, c)
	}
	all, err := listMigrations(context.Background(), c, s.From, s.To, cli.NonEmpty(s.States))
	if err != nil {
		return withExitCode(err)
	}
	if s.JSON {
		return a.PrintJSON(map[string]any{"object": "list", "data": all})
	}
	return printMigrations(a, all)
}
