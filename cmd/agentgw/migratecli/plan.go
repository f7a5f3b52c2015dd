package migratecli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
)

// planCommand is `agentgw migrate plan`.
type planCommand struct {
	serverFlags
	optionFlags
	Source string
	All    bool
	From   string
	batchFlags
}

func newPlan(a *cli.App) *cobra.Command {
	var p planCommand
	c := cli.NewCommand("plan [AGENT] --to BACKEND", "Show what a migration does to every field of an agent, such as klen:123. Writes to no backend.", cobra.MaximumNArgs(1), func(args []string) error {
		p.Source = cli.First(args)
		return p.run(a)
	})
	p.serverFlags.define(c)
	p.optionFlags.define(c)
	c.Flags().BoolVar(&p.All, "all", false, "Plan all agents of a backend (--from).")
	c.Flags().StringVar(&p.From, "from", "", "With --all: the `BACKEND` to migrate from.")
	p.batchFlags.define(c)
	return c
}

func (p *planCommand) run(a *cli.App) error {
	if (p.Source == "") == !p.All || p.All && p.From == "" {
		return cli.UsageErrorf("name an agent, such as klen:123, or use --all with --from BACKEND")
	}
	if p.From != "" && !p.All {
		return cli.UsageErrorf("--from requires --all; the id of an agent names its backend")
	}
	if err := p.batchFlags.check(p.All); err != nil {
		return err
	}
	body, err := p.body()
	if err != nil {
		return err
	}
	c, err := p.connect(a)
	if err != nil {
		return err
	}
	if p.All {
		return planAll(a, c, p.From, p.To, body, p.batchFlags)
	}
	body["source"] = p.Source
	return request{
		method: "POST", path: "/v1/migrations", body: body, json: p.JSON,
		print:  func(m migration) { printPlan(a, m) },
		result: planError,
	}.run(a, c)
}

// planError returns an error unless the plan can be applied as it is.
func planError(m migration) error {
	switch {
	case m.State != "ready":
		return exitErrorf(exitMissing, "the plan is %s: resolve the blocking findings (see --set, --map and --architecture), then plan again", m.State)
	case len(m.Losses) > 0:
		return exitErrorf(exitLoss, "the plan loses data; to accept that, run:\n  agentgw migrate apply %s %s", m.ID, acceptFlags(m.Losses))
	}
	return nil
}

func acceptFlags(losses []string) string {
	var flags []string
	for _, l := range losses {
		flags = append(flags, "--accept "+l)
	}
	return strings.Join(flags, " ")
}
