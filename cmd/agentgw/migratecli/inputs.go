package migratecli

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
	"github.com/agentgw/agentgw/cmd/agentgw/migratecli/client"
)

// agentInputs are the fields that --inputs sets, by agent and field.
type agentInputs map[string]map[string]any

// readInputs reads the file of --inputs, which may be "".
func readInputs(file string) (agentInputs, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(cli.AbsolutePath(file))
	if err != nil {
		return nil, cli.UsageErrorf("--inputs: %w", err)
	}
	inputs := agentInputs{}
	if filepath.Ext(file) == ".csv" {
		err = inputs.readCSV(data)
	} else if err = yaml.Unmarshal(data, &inputs); err != nil {
		if _, ok := errors.AsType[*yaml.TypeError](err); ok {
			err = errors.New("want agent ids, and for each a mapping of fields to values")
		}
	}
	if err != nil {
		return nil, cli.UsageErrorf("--inputs %s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return inputs, nil
}

// readCSV adds the rows of a table. Its first row names the fields; the column "agent" has the
// agents. An empty cell sets nothing.
func (in agentInputs) readCSV(data []byte) error {
	r := csv.NewReader(bytes.NewReader(data))
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("no header row: %w", err)
	}
	agent := slices.Index(header, "agent")
	if agent < 0 {
		return fmt.Errorf("the first row needs a column \"agent\", got %s", strings.Join(header, ", "))
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		fields := map[string]any{}
		for i, cell := range row {
			if i != agent && cell != "" {
				fields[header[i]] = inputValue(header[i], cell)
			}
		}
		in[row[agent]] = fields
	}
}

// check returns an error if a file has an agent that is not selected: it may be misspelled.
func (in agentInputs) check(file string, agents []selectedAgent) error {
	for _, id := range slices.Sorted(maps.Keys(in)) {
		if !slices.ContainsFunc(agents, func(a selectedAgent) bool { return a.ID == id || a.asked == id }) {
			return cli.UsageErrorf("--inputs %s: %s is not among the selected agents", file, id)
		}
	}
	return nil
}

// with returns the body of a plan request with the inputs of an agent.
func (in agentInputs) with(body map[string]any, a selectedAgent) map[string]any {
	body = maps.Clone(body)
	body["source"] = a.ID
	own := maps.Clone(in[a.ID])
	if own == nil {
		own = maps.Clone(in[a.asked])
	}
	if len(own) == 0 {
		return body
	}
	inputs, _ := body["inputs"].(map[string]any)
	merged := maps.Clone(inputs)
	if merged == nil {
		merged = map[string]any{}
	}
	maps.Copy(merged, own)
	body["inputs"] = merged
	return body
}

// unusedMapEntries returns the entries of the maps that no planned agent has, which may be
// misspelled: `model.id: "gpt-3"`.
func unusedMapEntries(body map[string]any, planned []client.Migration) (unused []string) {
	entries, _ := body["maps"].(map[string]map[string]any)
	used := map[string]map[string]bool{}
	for _, m := range planned {
		for _, f := range m.Plan.Findings {
			field := strings.ReplaceAll(strings.TrimPrefix(f.Path, "/"), "/", ".")
			if used[field] == nil {
				used[field] = map[string]bool{}
			}
			for _, key := range mapKeys(f.From) {
				used[field][key] = true
			}
		}
	}
	for _, field := range slices.Sorted(maps.Keys(entries)) {
		for _, from := range slices.Sorted(maps.Keys(entries[field])) {
			if !used[field][from] {
				unused = append(unused, fmt.Sprintf("%s: %q", field, from))
			}
		}
	}
	return unused
}
