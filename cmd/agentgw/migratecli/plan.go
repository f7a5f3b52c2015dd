package migratecli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/cmd/agentgw/migratecli/client"
)

// planCommand is `agentgw migrate plan`.
type planCommand struct {
	client.Flags
	optionFlags
	Agents             []string
	File               string
	All                bool
	From, Status, Text string
	Limit              int
	Batch, Out         string
	Diff               bool
	batchFlags
}

func newPlan(a *cli.App) *cobra.Command {
	var p planCommand
	c := cli.NewCommand("plan [AGENT...] --to BACKEND", "Show what a migration does to every field of an agent, such as klen:123 or an alias. Writes to no backend.", cobra.ArbitraryArgs, func(args []string) error {
		p.Agents = args
		return p.run(a)
	})
	p.Flags.Define(c)
	p.optionFlags.define(c)
	f := c.Flags()
	f.StringVar(&p.File, "ids", "", "Agents from a `FILE` with one id or alias per line; text after a # is a comment.")
	f.BoolVar(&p.All, "all", false, "Plan all agents of a backend (--from).")
	f.StringVar(&p.From, "from", "", "With --all: the `BACKEND` to migrate from.")
	f.StringVar(&p.Status, "status", "", "With --all: only agents with this `STATUS`.")
	f.StringVar(&p.Text, "q", "", "With --all: only agents whose name or description contains `TEXT`.")
	f.IntVar(&p.Limit, "limit", 0, "With --all or --ids: at most `N` agents, for a trial with a few.")
	f.StringVar(&p.Batch, "batch", "", "A `NAME` for the plans, by which later steps select them. Several agents get one by default.")
	f.StringVar(&p.Out, "out", "", "Write the plans to `FILE`.json, for review and for agentgw migrate apply FILE.json. It contains prompts.")
	f.BoolVar(&p.Diff, "diff", false, "Show the values at the source (-) and at the target (+).")
	p.batchFlags.define(c)
	return c
}

// single reports whether one agent is planned, named on the command line.
func (p *planCommand) single() bool { return len(p.Agents) == 1 && p.File == "" }

func (p *planCommand) check() error {
	named := len(p.Agents) > 0 || p.File != ""
	switch {
	case named == p.All || p.All && p.From == "":
		return cli.UsageErrorf("name agents, such as klen:123, or use --ids FILE, or --all with --from BACKEND")
	case !p.All && (p.From != "" || p.Status != "" || p.Text != ""):
		return cli.UsageErrorf("--from, --status and --q require --all; the id of an agent names its backend")
	case p.Limit < 0:
		return cli.UsageErrorf("--limit %d: want a positive number", p.Limit)
	case p.Limit > 0 && p.single():
		return cli.UsageErrorf("--limit requires --all or --ids")
	}
	if !p.single() {
		if err := p.checkSeveral(); err != nil {
			return err
		}
	}
	if err := checkPlanFile(p.Out); err != nil {
		return err
	}
	return p.batchFlags.check(!p.single())
}

func (p *planCommand) run(a *cli.App) error {
	if err := p.check(); err != nil {
		return err
	}
	body, err := p.body()
	if err != nil {
		return err
	}
	inputs, err := readInputs(p.Inputs)
	if err != nil {
		return err
	}
	c, err := p.Connect(a)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	if !p.single() {
		waitWhenAsked(a, c)
	}
	agents, err := p.selectAgents(ctx, c)
	if err != nil {
		return err
	}
	if err := inputs.check(p.Inputs, agents); err != nil {
		return err
	}
	if p.Batch != "" {
		body["batch"] = p.Batch
	}
	if p.single() {
		return p.planOne(a, c, inputs.with(body, agents[0]))
	}
	if p.Batch == "" {
		body["batch"] = strings.ToLower(fmt.Sprintf("%s-%s", p.To, time.Now().UTC().Format("20060102-150405")))
	}
	return p.planAll(ctx, a, c, agents, inputs, body)
}

// selectedAgent is an agent to plan.
type selectedAgent struct {
	ID, Name string
	asked    string // the id or alias on the command line or in the file
}

// selectAgents returns the agents to plan. It is an error if one of the names is unknown, or a
// backend has none.
func (p *planCommand) selectAgents(ctx context.Context, c *client.Client) (agents []selectedAgent, err error) {
	defer func() {
		if p.Limit > 0 && len(agents) > p.Limit {
			agents = agents[:p.Limit]
		}
	}()
	if p.All {
		listed, err := c.Agents(ctx, client.AgentQuery{Backend: p.From, View: "basic", Status: p.Status, Text: p.Text})
		if err != nil {
			return nil, withExitCode(err)
		}
		if len(listed) == 0 {
			return nil, fmt.Errorf("nothing was planned: %s has no agents that match", p.From)
		}
		for _, l := range listed {
			agents = append(agents, selectedAgent{ID: l.ID, Name: l.Name})
		}
		return agents, nil
	}
	names, err := namesIn(p.Agents, p.File)
	if err != nil {
		return nil, err
	}
	if p.single() { // the plan request reports what is wrong with the name
		return []selectedAgent{{ID: names[0]}}, nil
	}
	var unknown []string
	for _, name := range names {
		var found client.Agent
		err := c.Call(ctx, "GET", "/v1/agents/"+url.PathEscape(name)+resolution(name), nil, &found)
		if e, ok := errors.AsType[*client.Error](err); ok && e.Status == 404 {
			unknown = append(unknown, name)
			continue
		}
		if err != nil {
			return nil, withExitCode(err)
		}
		agents = append(agents, selectedAgent{ID: found.ID, Name: found.Name, asked: name})
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("agent_not_found: nothing was planned, because there is no agent %s", strings.Join(unknown, ", "))
	}
	return agents, nil
}

// planOne plans one agent and prints the plan.
func (p *planCommand) planOne(a *cli.App, c *client.Client, body map[string]any) error {
	return request{
		method: "POST", path: "/v1/migrations", body: body, json: p.JSON,
		print: func(m client.Migration) { printPlan(a, m, p.Diff) },
		result: func(m client.Migration) error {
			warnUnused(a, body, []client.Migration{m})
			return planError(m)
		},
		keep: func(raw json.RawMessage) error {
			if p.Out == "" {
				return nil
			}
			return writePlanFile(p.Out, []json.RawMessage{raw})
		},
	}.run(a, c)
}

// planAll plans agents one after the other. Those with a migration in progress are skipped.
func (p *planCommand) planAll(ctx context.Context, a *cli.App, c *client.Client, agents []selectedAgent, inputs agentInputs, body map[string]any) error {
	migrations, err := c.Migrations(ctx, client.MigrationQuery{From: p.From, To: p.To, States: []string{"outcome_unknown", "applied", "verified", "drifted", "shadowing", "cut_over"}})
	if err != nil {
		return withExitCode(err)
	}
	inProgress := map[string]client.Migration{}
	for _, m := range migrations {
		inProgress[m.Source] = m
	}
	b := newBatch(a, c, "plan", len(agents), p.batchFlags)
	var plans []json.RawMessage
	var planned []client.Migration
	for _, agent := range agents {
		if ctx.Err() != nil {
			break
		}
		o := outcome{Name: agent.Name, Source: agent.ID, TargetBackend: p.To, Result: "done"}
		if m, ok := inProgress[agent.ID]; ok {
			o.update(m)
			o.Result = "skipped"
			b.add(o)
			continue
		}
		var raw json.RawMessage
		var m client.Migration
		err := c.Call(context.WithoutCancel(ctx), "POST", "/v1/migrations", inputs.with(body, agent), &raw)
		if err == nil {
			err = json.Unmarshal(raw, &m)
		}
		if err != nil {
			b.add(o.withError(err))
			continue
		}
		plans, planned = append(plans, raw), append(planned, m)
		o.update(m)
		o.addFindings(m, p.Diff)
		o.code = cli.ExitCode(planError(m))
		if paths := m.BlockingPaths(); len(paths) > 0 {
			o.Detail = "blocked by " + strings.Join(paths, ", ")
		}
		b.add(o)
		if p.Diff && !p.JSON {
			printPlan(a, m, true)
		}
	}
	if p.Out != "" && len(plans) > 0 {
		if err := writePlanFile(p.Out, plans); err != nil {
			return err
		}
	}
	if ctx.Err() == nil {
		warnUnused(a, body, planned)
	}
	if len(planned) > 0 {
		fmt.Fprintf(a.Stderr, "batch: %s (later steps select it with --batch)\n", body["batch"])
	}
	return b.finish(ctx.Err() != nil)
}

// resolution is the query of a read: a slug stands for the agent that it points to,
// an id for itself, even if the agent was moved.
func resolution(name string) string {
	if strings.Contains(name, ":") {
		return "?resolve=none"
	}
	return ""
}

// warnUnused names the entries of the maps that no planned agent has.
func warnUnused(a *cli.App, body map[string]any, planned []client.Migration) {
	for _, entry := range unusedMapEntries(body, planned) {
		fmt.Fprintf(a.Stderr, "warning: --map: no planned agent has %s; is it misspelled?\n", entry)
	}
}

// planError returns an error unless the plan can be applied as it is.
func planError(m client.Migration) error {
	switch {
	case m.State != "ready":
		return exitErrorf(exitMissing, "the plan is %s: resolve the blocking findings, then plan again", m.State)
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
