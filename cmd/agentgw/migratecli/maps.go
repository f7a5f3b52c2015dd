package migratecli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/cmd/agentgw/migratecli/client"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/normalize"
)

// mapsCommand is `agentgw migrate maps`.
type mapsCommand struct {
	client.Flags
	From, To, Architecture, Out string
}

func newMaps(a *cli.App) *cobra.Command {
	var m mapsCommand
	c := cli.NewCommand("maps --from BACKEND --to BACKEND", "Create a maps file: the values (models, voices, engines, …) that need a counterpart at the target.", cli.NoArgs, func([]string) error { return m.run(a) })
	m.Define(c)
	flags := c.Flags()
	flags.StringVar(&m.From, "from", "", "The `BACKEND` to migrate from. Required.")
	flags.StringVar(&m.To, "to", "", "The `BACKEND` to migrate to. Required.")
	flags.StringVar(&m.Architecture, "architecture", "", "Architecture `NAME` of the new agents, where the provider has several.")
	flags.StringVar(&m.Out, "out", "", "Write to a new `FILE` instead of standard output. An existing file is not overwritten.")
	cli.RequireFlags(c, "from", "to")
	return c
}

func (m *mapsCommand) run(a *cli.App) error {
	c, err := m.Connect(a)
	if err != nil {
		return err
	}
	ctx := context.Background()
	from, err := providerOf(ctx, c, m.From)
	if err != nil {
		return withExitCode(err)
	}
	to, err := providerOf(ctx, c, m.To)
	if err != nil {
		return withExitCode(err)
	}
	agents, err := c.Agents(ctx, client.AgentQuery{Backend: m.From, View: "full"})
	if err != nil {
		return withExitCode(err)
	}
	values, err := unmappedValues(agents, from, to, migrate.Options{Architecture: m.Architecture})
	if err != nil {
		return err
	}
	text := m.fileContent(values, to)
	if m.Out == "" {
		_, err = fmt.Fprint(a.Stdout, text)
		return err
	}
	f, err := os.OpenFile(m.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return cli.UsageErrorf("--out %s: the file exists and is not overwritten; name a new file", m.Out)
	}
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if _, err := f.WriteString(text); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// providerOf returns the capability table of the provider of a backend.
func providerOf(ctx context.Context, c *client.Client, backend string) (*adapters.Info, error) {
	var b struct {
		Provider string `json:"provider"`
	}
	if err := c.Call(ctx, "GET", "/v1/backends/"+backend, nil, &b); err != nil {
		return nil, err
	}
	for _, p := range all.Providers() {
		if p.Info.Provider == b.Provider {
			return p.Info, nil
		}
	}
	return nil, fmt.Errorf("the backend %s has the provider %s, which this version of agentgw does not know; use the version of the gateway", backend, b.Provider)
}

// unmappedValues returns, by field, the values that need a map, with the number of agents
// that have each.
func unmappedValues(agents []client.Agent, from, to *adapters.Info, options migrate.Options) (map[string]map[string]int, error) {
	values := map[string]map[string]int{}
	for _, listed := range agents {
		agent, err := normalize.Row(listed.Raw).Agent()
		if err != nil {
			return nil, fmt.Errorf("cannot decode the agent %s: %w", listed.ID, err)
		}
		agent.Unavailable = from.Unavailable()
		plan, violations := migrate.Make(agent, from, to, options)
		if len(violations) > 0 {
			return nil, cli.UsageErrorf("%s: %s", client.Violation{Pointer: violations[0].Pointer}.Flag(), violations[0].Message)
		}
		for _, f := range plan.Findings {
			field, needsMap := strings.CutPrefix(f.Fix, "maps.")
			if !needsMap {
				continue
			}
			if values[field] == nil {
				values[field] = map[string]int{}
			}
			for _, key := range mapKeys(f.From) {
				values[field][key]++
			}
		}
	}
	return values, nil
}

// mapKeys returns the keys that a map needs for a value: the elements of a list, or the value
// itself.
func mapKeys(v jsontext.Value) []string {
	var list []string
	if json.Unmarshal(v, &list) == nil {
		return list
	}
	var text string
	if json.Unmarshal(v, &text) == nil {
		return []string{text}
	}
	return []string{string(v)}
}

// fileContent returns a maps file with empty target values, the most frequent source values
// first.
func (m *mapsCommand) fileContent(values map[string]map[string]int, to *adapters.Info) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Values of %s agents and their counterparts at %s. Fill in the right side.\n# null: the target has no counterpart, and the value is lost.\n", m.From, m.To)
	if len(values) == 0 {
		b.WriteString("#\n# No value needs a map.\n")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		f, _ := normalize.FieldByName(name)
		fmt.Fprintf(&b, "\n%s:", name)
		if limit := to.Rule(f).Limit.String(); limit != "" {
			fmt.Fprintf(&b, " # %s", strings.ReplaceAll(limit, "`", ""))
		}
		b.WriteString("\n")
		agents := values[name]
		byFrequency := slices.SortedFunc(maps.Keys(agents), func(x, y string) int {
			return cmp.Or(cmp.Compare(agents[y], agents[x]), cmp.Compare(x, y))
		})
		for _, v := range byFrequency {
			quoted, err := json.Marshal(v)
			if err != nil {
				continue
			}
			fmt.Fprintf(&b, "  %s: \"\" # %s\n", quoted, cli.Count(agents[v], "agent"))
		}
	}
	return b.String()
}
