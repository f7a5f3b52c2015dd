// Package docs tests the documentation: its generated tables, its commands, and the responses
// that it shows.
package docs

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/test/faults"
)

var update = flag.Bool("update", false, "write the generated parts")

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var generated = regexp.MustCompile(`(?s)(<!-- generated: ([a-z]+) -->\n).*?(<!-- /generated -->)`)

// TestGenerated tests that generated tables are up to date. With -update it writes them.
func TestGenerated(t *testing.T) {
	parts := map[string]string{"capabilities": capabilities(), "limits": limits(), "extensions": extensions(), "filters": filters(), "faults": faults.Markdown(), "errors": errorCodes(t), "required": required(), "metrics": metrics(t)}
	used := map[string]bool{}
	for _, path := range []string{"docs/providers.md", "docs/lists.md", "docs/reliability.md", "docs/errors.md", "docs/writing.md", "docs/observability.md"} {
		text := read(t, path)
		want := generated.ReplaceAllStringFunc(text, func(part string) string {
			m := generated.FindStringSubmatch(part)
			body, ok := parts[m[2]]
			used[m[2]] = true
			if !ok {
				t.Errorf("%s: nothing generates %q", path, m[2])
			}
			return m[1] + body + m[3]
		})
		if want == text {
			continue
		}
		if !*update {
			t.Errorf("%s is out of date; run make docs", path)
			continue
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name := range parts {
		if !used[name] {
			t.Errorf("no page shows the generated part %q", name)
		}
	}
}

// TestConfigFile tests that config.yaml is valid and names every setting.
func TestConfigFile(t *testing.T) {
	text := read(t, "config.yaml")
	if _, err := config.Load(config.Source{Path: filepath.Join(root, "config.yaml"), Providers: all.Names()}); err != nil {
		t.Errorf("%v", err)
	}
	schema, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(schema, &tree); err != nil {
		t.Fatal(err)
	}
	for _, key := range keysOf(tree) {
		if !regexp.MustCompile(`(?m)(^|[\s{#,-])` + key + `:`).MatchString(text) {
			t.Errorf("config.yaml does not show %s", key)
		}
	}
	for _, name := range all.Names() {
		if !strings.Contains(text, "provider: "+name) {
			t.Errorf("config.yaml has no backend of %s", name)
		}
	}
}

// keysOf returns the names of all properties in a schema.
func keysOf(schema map[string]any) []string {
	var keys []string
	if properties, ok := schema["properties"].(map[string]any); ok {
		for name, property := range properties {
			keys = append(keys, name)
			keys = append(keys, keysOf(property.(map[string]any))...)
		}
	}
	for _, below := range []string{"items", "additionalProperties"} {
		if inner, ok := schema[below].(map[string]any); ok {
			keys = append(keys, keysOf(inner)...)
		}
	}
	return keys
}
