package migratecli

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/normalize"
)

// optionFlags are the options of a plan.
type optionFlags struct {
	To, Architecture    string
	Inputs              string
	Set, Map, Transform []string
}

func (o *optionFlags) define(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&o.To, "to", "", "The target `BACKEND`. Required.")
	flags.StringVar(&o.Architecture, "architecture", "", "Architecture `NAME` of the new agent, where the provider has several.")
	flags.StringArrayVar(&o.Set, "set", nil, "Set a field of the new agent: `FIELD=VALUE`, such as model.id=gpt-4o, or FIELD=@FILE to read the value from a file. Can be repeated.")
	flags.StringVar(&o.Inputs, "inputs", "", "A `FILE` with fields by agent. YAML: agent id, then field: value. CSV: a column \"agent\" and one for each field. Overrides --set.")
	flags.StringArrayVar(&o.Map, "map", nil, "A maps `FILE`; agentgw migrate maps creates one. Can be repeated.")
	flags.StringSliceVar(&o.Transform, "transform", nil, "Apply a transform by `NAME`: greeting_to_prompt appends a greeting that the target does not support to the system prompt.")
	cli.RequireFlags(c, "to")
}

// body returns the body of the plan request, without the source.
func (o optionFlags) body() (map[string]any, error) {
	body := map[string]any{"target_backend": o.To}
	if o.Architecture != "" {
		body["architecture"] = o.Architecture
	}
	inputs, err := o.inputs()
	if err != nil {
		return nil, err
	}
	if len(inputs) > 0 {
		body["inputs"] = inputs
	}
	maps := map[string]map[string]any{}
	for _, file := range o.Map {
		if err := readMaps(cli.AbsolutePath(file), maps); err != nil {
			return nil, err
		}
	}
	if len(maps) > 0 {
		body["maps"] = maps
	}
	if transforms := cli.NonEmpty(o.Transform); len(transforms) > 0 {
		body["transforms"] = transforms
	}
	return body, nil
}

// perAgent are the fields that no two agents share.
var perAgent = []string{"name", "system_prompt", "phone.number"}

// checkSeveral returns an error if --set gives several agents a value that no two share.
func (o optionFlags) checkSeveral() error {
	for _, set := range o.Set {
		if name, _, _ := strings.Cut(set, "="); slices.Contains(perAgent, name) {
			return cli.UsageErrorf("--set %s: several agents would get the same %s; use --inputs FILE, which has values by agent", name, name)
		}
	}
	return nil
}

// inputs returns the values of the --set flags.
func (o optionFlags) inputs() (map[string]any, error) {
	inputs := map[string]any{}
	for _, set := range o.Set {
		name, text, ok := strings.Cut(set, "=")
		if !ok {
			return nil, cli.UsageErrorf("--set %q: want FIELD=VALUE, such as model.id=gpt-4o", set)
		}
		if file, ok := strings.CutPrefix(text, "@"); ok {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, cli.UsageErrorf("--set %s: %w", name, err)
			}
			text = strings.TrimSuffix(string(data), "\n")
		}
		inputs[name] = inputValue(name, text)
	}
	return inputs, nil
}

// inputValue returns the text as a string if the field is a string or the text is not JSON,
// and as JSON otherwise.
func inputValue(name, text string) any {
	f, ok := normalize.FieldByName(name)
	if ok && f.Type() == normalize.TypeString || !json.Valid([]byte(text)) {
		return text
	}
	return json.RawMessage(text)
}

// readMaps adds the maps of a file. An empty target value is an error: it was not filled in.
func readMaps(file string, into map[string]map[string]any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return cli.UsageErrorf("--map: %w", err)
	}
	var maps map[string]map[string]any
	if err := yaml.Unmarshal(data, &maps); err != nil {
		const want = "want fields, and for each a mapping of source values to target values"
		if _, ok := errors.AsType[*yaml.TypeError](err); ok {
			return cli.UsageErrorf("--map %s: %s", file, want)
		}
		return cli.UsageErrorf("--map %s: %s: %s", file, want, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	for field, values := range maps {
		if into[field] == nil {
			into[field] = map[string]any{}
		}
		for from, to := range values {
			if to == "" {
				return exitErrorf(exitMissing, "%s: %s: the target value of %q is empty; set it, or set it to null if the target has none", file, field, from)
			}
			into[field][from] = to
		}
	}
	return nil
}
