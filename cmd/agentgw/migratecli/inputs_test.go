package migratecli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/cmd/agentgw/cli"
)

// TestReadInputs: both formats of the file have fields by agent, and mistakes name the file.
func TestReadInputs(t *testing.T) {
	read := func(name, content string) (agentInputs, error) {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return readInputs(file)
	}
	for name, content := range map[string]string{
		"inputs.yaml": "krosai:1:\n  name: One\n  model.temperature: 0.5\nnight-desk: {name: Two}\n",
		"inputs.csv":  "name,agent,model.temperature\nOne,krosai:1,0.5\nTwo,night-desk,\n",
	} {
		in, err := read(name, content)
		if err != nil {
			t.Fatal(err)
		}
		agents := []selectedAgent{{ID: "krosai:1"}, {ID: "krosai:2", asked: "night-desk"}}
		if err := in.check(name, agents); err != nil {
			t.Error(err)
		}
		if err := in.check(name, agents[:1]); err == nil || cli.ExitCode(err) != cli.ExitUsage || !strings.Contains(err.Error(), "night-desk") {
			t.Errorf("%s: %v", name, err)
		}
		body := map[string]any{"inputs": map[string]any{"name": "For all", "language": "en"}}
		text := func(a selectedAgent) string {
			encoded, err := cli.MarshalIndent(in.with(body, a))
			if err != nil {
				t.Fatal(err)
			}
			return strings.Join(strings.Fields(string(encoded)), "")
		}
		if got := text(agents[0]); got != `{"inputs":{"language":"en","model.temperature":0.5,"name":"One"},"source":"krosai:1"}` {
			t.Errorf("%s: %s", name, got)
		}
		if got := text(agents[1]); got != `{"inputs":{"language":"en","name":"Two"},"source":"krosai:2"}` {
			t.Errorf("%s: %s", name, got)
		}
	}
	for content, want := range map[string]string{"[1, 2]": "want agent ids", "a: b: c": "mapping values"} {
		if _, err := read("inputs.yaml", content); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "inputs.yaml") || strings.Contains(err.Error(), ": yaml:") {
			t.Errorf("%s: %v", content, err)
		}
	}
	for content, want := range map[string]string{"": "no header row", "id,name\n1,x\n": `column "agent"`, "agent,name\n1\n": "wrong number of fields"} {
		if _, err := read("inputs.csv", content); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
	if in, err := readInputs(""); in != nil || err != nil {
		t.Errorf("%v, %v", in, err)
	}
}
