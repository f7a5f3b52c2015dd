package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/agentgw/agentgw/normalize"
)

// wishFlags are what a plan heeds.
type wishFlags struct {
	To, Architecture    string
	Set, Map, Transform []string
}

func (w *wishFlags) define(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&w.To, "to", "", "The `BACKEND` to move to. Required.")
	flags.StringVar(&w.Architecture, "architecture", "", "`NAME` of the new agent's architecture, where the vendor has several.")
	flags.StringArrayVar(&w.Set, "set", nil, "A value of the new agent, as `FIELD=VALUE`, such as model.id=gpt-4o; FIELD=@FILE reads it from a file. May be given again.")
	flags.StringArrayVar(&w.Map, "map", nil, "A `FILE` of maps; see: agentgw migrate maps. May be given again.")
	flags.StringSliceVar(&w.Transform, "transform", nil, "A change by `NAME`: with greeting_to_prompt, a greeting without a place becomes a part of the system prompt.")
	required(c, "to")
}

// body is the plan's request, without its source.
func (w wishFlags) body() (map[string]any, error) {
	body := map[string]any{"target_backend": w.To}
	if w.Architecture != "" {
		body["architecture"] = w.Architecture
	}
	inputs := map[string]any{}
	for _, set := range w.Set {
		name, text, ok := strings.Cut(set, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--set %q: want FIELD=VALUE, such as model.id=gpt-4o", set)}
		}
		if file, ok := strings.CutPrefix(text, "@"); ok {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, usageError{fmt.Errorf("--set %s: %w", name, err)}
			}
			text = strings.TrimSuffix(string(data), "\n")
		}
		inputs[name] = inputValue(name, text)
	}
	if len(inputs) > 0 {
		body["inputs"] = inputs
	}
	maps := map[string]map[string]any{}
	for _, file := range w.Map {
		if err := readMaps(fullPath(file), maps); err != nil {
			return nil, err
		}
	}
	if len(maps) > 0 {
		body["maps"] = maps
	}
	if named := given(w.Transform); len(named) > 0 {
		body["transforms"] = named
	}
	return body, nil
}

// inputValue is text as the field's type has it: a string, unless the field is none.
func inputValue(name, text string) any {
	f, ok := normalize.FieldByName(name)
	if ok && f.Type() == normalize.TypeString || !json.Valid([]byte(text)) {
		return text
	}
	return json.RawMessage(text)
}

// readMaps adds a file's maps. A value that was not filled in is an error; null says that
// there is none.
func readMaps(file string, into map[string]map[string]any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return usageError{fmt.Errorf("--map: %w", err)}
	}
	var maps map[string]map[string]any
	if err := yaml.Unmarshal(data, &maps); err != nil {
		return usageError{fmt.Errorf("--map %s: want fields, each with values and what they are at the target: %w", file, err)}
	}
	for field, names := range maps {
		if into[field] == nil {
			into[field] = map[string]any{}
		}
		for from, to := range names {
			if to == "" {
				return exitError{fmt.Errorf("%s: %s: %q is not filled in; null says that the target has none", file, field, from), exitMissing}
			}
			into[field][from] = to
		}
	}
	return nil
}

type planCommand struct {
	serverFlags
	wishFlags
	Source string
	All    bool
	From   string
	batchFlags
}

func newMigratePlan(a *app) *cobra.Command {
	var p planCommand
	c := newCommand("plan [AGENT] --to BACKEND", "Say what becomes of every field of an agent, such as klen:123, at another backend. Writes to no backend.", cobra.MaximumNArgs(1), func(args []string) error {
		p.Source = first(args)
		return p.run(a)
	})
	p.serverFlags.define(c)
	p.wishFlags.define(c)
	c.Flags().BoolVar(&p.All, "all", false, "All agents of a backend (--from).")
	c.Flags().StringVar(&p.From, "from", "", "With --all: the `BACKEND` whose agents are planned.")
	p.batchFlags.define(c)
	return c
}

func (p *planCommand) run(a *app) error {
	if (p.Source == "") == !p.All || p.All && p.From == "" {
		return usageError{errors.New("name an agent, such as klen:123, or --all and --from BACKEND")}
	}
	if p.From != "" && !p.All {
		return usageError{errors.New("--from goes with --all; an agent's id says where it is")}
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
	return single(a, c, "POST", "/v1/migrations", body, p.JSON, func(m migration) { printPlan(a, m) }, planCode)
}

// planCode is what a plan ends with: nothing, if it can be applied as it is.
func planCode(m migration) error {
	switch {
	case m.State != "ready":
		return exitError{fmt.Errorf("the plan is %s: give what is blocking, and plan again", m.State), exitMissing}
	case len(m.Losses) > 0:
		return exitError{fmt.Errorf("to apply it, accept what is lost:\n  agentgw migrate apply %s %s", m.ID, acceptFlags(m.Losses)), exitLoss}
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
