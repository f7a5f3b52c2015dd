package main

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
	"github.com/agentgw/agentgw/gateway/migrate"
	"github.com/agentgw/agentgw/normalize"
)

type mapsCommand struct {
	serverFlags
	From, To, Architecture, Out string
}

func newMigrateMaps(a *app) *cobra.Command {
	var m mapsCommand
	c := newCommand("maps --from BACKEND --to BACKEND", "Start a file of maps: what voices, models and the like are at the target.", cobra.NoArgs, func([]string) error { return m.run(a) })
	m.define(c)
	flags := c.Flags()
	flags.StringVar(&m.From, "from", "", "The `BACKEND` to move from. Required.")
	flags.StringVar(&m.To, "to", "", "The `BACKEND` to move to. Required.")
	flags.StringVar(&m.Architecture, "architecture", "", "`NAME` of the new agents' architecture, where the vendor has several.")
	flags.StringVar(&m.Out, "out", "", "Write it into `FILE`, if there is no such file yet; else it is printed.")
	required(c, "from", "to")
	return c
}

func (m *mapsCommand) run(a *app) error {
	c, err := m.connect(a)
	if err != nil {
		return err
	}
	ctx := context.Background()
	from, err := infoOf(ctx, c, m.From)
	if err != nil {
		return coded(err)
	}
	to, err := infoOf(ctx, c, m.To)
	if err != nil {
		return coded(err)
	}
	agents, err := agentsOf(ctx, c, m.From, "full")
	if err != nil {
		return coded(err)
	}
	needed, err := neededMaps(agents, from, to, migrate.Options{Architecture: m.Architecture})
	if err != nil {
		return err
	}
	text := m.file(needed, to)
	if m.Out == "" {
		_, err = fmt.Fprint(a.stdout, text)
		return err
	}
	f, err := os.OpenFile(m.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return usageError{fmt.Errorf("--out %s: there is such a file; it is not overwritten", m.Out)}
	}
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if _, err := f.WriteString(text); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// infoOf is what a backend's vendor can do.
func infoOf(ctx context.Context, c *api, backend string) (*adapters.Info, error) {
	var b struct {
		Provider string `json:"provider"`
	}
	if err := c.call(ctx, "GET", "/v1/backends/"+backend, nil, &b); err != nil {
		return nil, err
	}
	for _, p := range all.Providers() {
		if p.Info.Provider == b.Provider {
			return p.Info, nil
		}
	}
	return nil, fmt.Errorf("this program does not know the provider %s of %s; run the gateway's own version", b.Provider, backend)
}

// neededMaps counts, by field, the values that a plan could not take over by itself.
func neededMaps(agents []listed, from, to *adapters.Info, w migrate.Options) (map[string]map[string]int, error) {
	needed := map[string]map[string]int{}
	for _, listed := range agents {
		agent, err := normalize.Row(listed.raw).Agent()
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read: %w", listed.ID, err)
		}
		agent.Unavailable = from.Unavailable()
		plan, wrong := migrate.Make(agent, from, to, w)
		if len(wrong) > 0 {
			return nil, usageError{fmt.Errorf("%s: %s", wrong[0].Pointer, wrong[0].Message)}
		}
		for _, f := range plan.Findings {
			if f.Kind != migrate.Manual || f.Severity == migrate.Warn {
				continue
			}
			field := strings.ReplaceAll(strings.TrimPrefix(f.Path, "/"), "/", ".")
			if needed[field] == nil {
				needed[field] = map[string]int{}
			}
			for _, value := range valuesOf(f.From) {
				needed[field][value]++
			}
		}
	}
	return needed, nil
}

// valuesOf are the values that a map of the field would have: its elements, or itself.
func valuesOf(v jsontext.Value) []string {
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

// file is the file to fill in. A value that the target has by the same name is filled in.
func (m *mapsCommand) file(needed map[string]map[string]int, to *adapters.Info) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What agents of %s have, and what that is at %s. Fill in what stands on the right;\n# null says that there is none, and what the agent has is lost.\n", m.From, m.To)
	if len(needed) == 0 {
		b.WriteString("#\n# Nothing needs a map.\n")
	}
	for _, name := range slices.Sorted(maps.Keys(needed)) {
		f, _ := normalize.FieldByName(name)
		fmt.Fprintf(&b, "\n%s:", name)
		if limit := to.Rule(f).Limit.String(); limit != "" {
			fmt.Fprintf(&b, " # %s", strings.ReplaceAll(limit, "`", ""))
		}
		b.WriteString("\n")
		values := slices.SortedFunc(maps.Keys(needed[name]), func(x, y string) int {
			return cmp.Or(cmp.Compare(needed[name][y], needed[name][x]), cmp.Compare(x, y))
		})
		for _, v := range values {
			agents := "agent"
			if needed[name][v] > 1 {
				agents = "agents"
			}
			quoted, err := json.Marshal(v)
			if err != nil {
				continue
			}
			fmt.Fprintf(&b, "  %s: \"\" # %d %s\n", quoted, needed[name][v], agents)
		}
	}
	return b.String()
}
