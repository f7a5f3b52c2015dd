package docs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/config"
)

// allPages returns the text of each page of the documentation, by path.
func allPages(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "config.yaml"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, f := range files {
			page, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			if page != "CHANGELOG.md" { // which also names what is gone
				texts[page] = read(t, page)
			}
		}
	}
	return texts
}

// setting matches the path of a setting, with a name or * for the backend or the key.
var setting = regexp.MustCompile("`([a-z_]+(?:\\.(?:\\*|[a-z_]+))+)(?:: [^`]*)?`")

// TestReferences_Settings tests that the settings that a page names exist.
func TestReferences_Settings(t *testing.T) {
	schema, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(schema, &tree); err != nil {
		t.Fatal(err)
	}
	sections, _ := tree["properties"].(map[string]any)
	if len(sections) < 5 {
		t.Fatalf("the schema has %d sections", len(sections))
	}
	checked := 0
	for page, text := range allPages(t) {
		for _, m := range setting.FindAllStringSubmatch(text, -1) {
			parts := strings.Split(m[1], ".")
			if sections[parts[0]] == nil || slices.Contains([]string{"go", "md", "yaml", "json"}, parts[len(parts)-1]) {
				continue // a field of an agent, or a file
			}
			checked++
			if !hasSetting(tree, tree, parts) {
				t.Errorf("%s: there is no setting %s", page, m[1])
			}
		}
	}
	if checked < 40 {
		t.Errorf("%d settings were found", checked)
	}
}

// hasSetting reports whether a schema has a property of a path. Where it has any properties, *
// and every name is one.
func hasSetting(tree, schema map[string]any, path []string) bool {
	if ref, ok := schema["$ref"].(string); ok {
		definitions, _ := tree["$defs"].(map[string]any)
		schema, _ = definitions[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	if len(path) == 0 {
		return true
	}
	if items, ok := schema["items"].(map[string]any); ok {
		if path[0] == "*" {
			path = path[1:]
		}
		return hasSetting(tree, items, path)
	}
	properties, _ := schema["properties"].(map[string]any)
	next, ok := properties[path[0]].(map[string]any)
	if !ok {
		next, ok = schema["additionalProperties"].(map[string]any)
	}
	if !ok {
		patterns, _ := schema["patternProperties"].(map[string]any)
		for _, p := range patterns {
			next, ok = p.(map[string]any)
		}
	}
	return ok && hasSetting(tree, next, path[1:])
}

// agentgwCommand matches a command line of agentgw with its flags, in code.
var agentgwCommand = regexp.MustCompile(`(?m)(?:^|[\x60 /(])agentgw((?: [a-z]+)+)((?: [^\x60\n]*)?)`)

var flagName = regexp.MustCompile(`(?:^| )(--[a-z][a-z-]*)`)

// TestReferences_Commands tests that the commands and flags that code on a page shows exist.
func TestReferences_Commands(t *testing.T) {
	makeBuild(t)
	helps := map[string]string{}
	help := func(words []string) (string, bool) {
		command := strings.Join(words, " ")
		if _, ok := helps[command]; !ok {
			helps[command] = sh(t, 0, "bin/agentgw help "+command)
		}
		return helps[command], !strings.Contains(helps[command], "unknown command")
	}
	checked := 0
	for page, text := range allPages(t) {
		for _, code := range regexp.MustCompile("(?s)```(?:sh|text)\n(.*?)```|`(agentgw [^`]+)`").FindAllStringSubmatch(strings.ReplaceAll(text, "\\\n", ""), -1) {
			for _, m := range agentgwCommand.FindAllStringSubmatch(code[1]+code[2], -1) {
				words := strings.Fields(m[1])
				if len(words) > 2 {
					words = words[:2]
				}
				if !slices.Contains([]string{"migrate", "keys", "config", "completion"}, words[0]) {
					words = words[:1]
				}
				shown, known := help(words)
				if !known {
					t.Errorf("%s: there is no command agentgw %s", page, strings.Join(words, " "))
					continue
				}
				for _, flag := range flagName.FindAllStringSubmatch(m[2], -1) {
					checked++
					if !strings.Contains(shown, flag[1]+" ") {
						t.Errorf("%s: agentgw %s has no flag %s", page, strings.Join(words, " "), flag[1])
					}
				}
			}
		}
	}
	if checked < 30 {
		t.Errorf("%d flags were found", checked)
	}
}

// TestReferences_Files tests that the files and folders of the repository that a page names
// exist.
func TestReferences_Files(t *testing.T) {
	checked := 0
	for page, text := range allPages(t) {
		for _, m := range regexp.MustCompile("`((?:adapters|cmd|config|deploy|docs|gateway|normalize|sandbox|test|internal)/[a-zA-Z0-9_./-]+)`").FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "acmevoice") { // the provider of the example
				continue
			}
			checked++
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s: there is no %s", page, m[1])
			}
		}
	}
	if checked < 30 {
		t.Errorf("%d files were found", checked)
	}
}
