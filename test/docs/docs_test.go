// Package docs holds the documentation against the program: its tables, its
// commands, and the answers that it shows.
package docs

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/test/demo"
	"github.com/agentgw/agentgw/test/faults"
)

var update = flag.Bool("update", false, "write the generated parts anew")

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

// TestGenerated: the tables in the documentation are those of the capability
// tables in the code.
func TestGenerated(t *testing.T) {
	parts := map[string]string{"capabilities": capabilities(), "limits": limits(), "extensions": extensions(), "filters": filters(), "faults": faults.Markdown()}
	for _, path := range []string{"README.md", "docs/providers.md", "docs/lists.md", "docs/reliability.md"} {
		text := read(t, path)
		want := generated.ReplaceAllStringFunc(text, func(part string) string {
			m := generated.FindStringSubmatch(part)
			body, ok := parts[m[2]]
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
}

// vendorColumns begins a table that has a column for each vendor.
func vendorColumns(b *strings.Builder) {
	b.WriteString("|")
	for _, v := range all.Vendors() {
		fmt.Fprintf(b, " | %s", v.Info.Provider)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|---", len(all.Vendors())) + "|\n")
}

func capabilities() string {
	var b strings.Builder
	vendorColumns(&b)
	for _, op := range adapters.Operations() {
		fmt.Fprintf(&b, "| **%s**", op)
		for _, v := range all.Vendors() {
			fmt.Fprintf(&b, " | %s", v.Info.Operations[op])
		}
		b.WriteString(" |\n")
	}
	for _, f := range normalize.AllFields() {
		if !normalize.Optional.Has(f) {
			continue
		}
		fmt.Fprintf(&b, "| `%s`", f.Name())
		for _, v := range all.Vendors() {
			fmt.Fprintf(&b, " | %s", gateway.FieldCell(v.Info, f))
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// filters says in which view a list can be filtered or ordered by a field.
func filters() string {
	var b strings.Builder
	vendorColumns(&b)
	fields := catalog.FilterFields()
	for _, name := range catalog.OrderNames() {
		f, _ := normalize.FieldByName(name)
		fields = append(fields, f)
	}
	for _, f := range fields {
		fmt.Fprintf(&b, "| `%s`", f.Name())
		for _, v := range all.Vendors() {
			cell := "–"
			switch view := gateway.ViewOf(v.Info, f); {
			case view.List:
				cell = "yes"
			case view.Get:
				cell = "`view=full`"
			}
			b.WriteString(" | " + cell)
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

func limits() string {
	var b strings.Builder
	b.WriteString("| vendor | field | rule |\n|---|---|---|\n")
	for _, v := range all.Vendors() {
		for _, f := range normalize.AllFields() {
			if text := v.Info.Rule(f).Limit.String(); text != "" {
				fmt.Fprintf(&b, "| %s | `%s` | %s |\n", v.Info.Provider, f.Name(), text)
			}
		}
	}
	return b.String()
}

func extensions() string {
	var b strings.Builder
	b.WriteString("| vendor | name | type | create | update | rule |\n|---|---|---|---|---|---|\n")
	for _, v := range all.Vendors() {
		for _, e := range v.Info.Extensions {
			yes := map[bool]string{true: "yes", false: "–"}
			fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s |\n", v.Info.Provider, e.Name, e.Type,
				yes[e.In&adapters.InCreate != 0], yes[e.In&adapters.InUpdate != 0], e.Limit)
		}
	}
	return b.String()
}

// TestConfigFileExplainsEveryKey: the config.yaml that comes with the program is
// good as it is, and names every key there is.
func TestConfigFileExplainsEveryKey(t *testing.T) {
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

// keysOf are the names of every property in a schema.
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

// block is a fenced piece of the README.
type block struct{ language, text string }

var fence = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

func blocks(text string) []block {
	var found []block
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		found = append(found, block{m[1], m[2]})
	}
	return found
}

// TestReadme runs every command of the README, in its order. A command that
// nothing here can run fails the test.
func TestReadme(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil && os.Getenv("CI") == "" {
		t.Skip("there is no curl on this machine to paste the README's commands into")
	}
	running := demo.Start(t, root)
	all := blocks(read(t, "README.md"))
	ran := 0
	for i, b := range all {
		if b.language != "sh" {
			continue
		}
		for _, command := range commands(b.text) {
			ran++
			switch {
			case command == "go run ./cmd/agentgw demo": // it runs: demo.Start
			case command == "make test": // this is it
			case strings.HasPrefix(command, "curl "):
				if i+1 == len(all) || all[i+1].language != "json" {
					t.Errorf("no answer is shown for %s", command)
					continue
				}
				got := sh(t, 0, at(running, command))
				checkShown(t, command, got, all[i+1].text)
			case command == "make build":
				sh(t, 0, command)
			case strings.HasPrefix(command, "bin/agentgw serve"):
				serves(t, command)
			case strings.HasPrefix(command, "bin/agentgw "):
				sh(t, 0, command)
			default:
				t.Errorf("nothing here runs the README's command %q", command)
			}
		}
	}
	if ran < 10 {
		t.Errorf("only %d commands were found", ran)
	}
	for _, target := range regexp.MustCompile("`make ([a-z]+)`").FindAllStringSubmatch(read(t, "README.md"), -1) {
		if !strings.Contains(read(t, "Makefile"), "\n"+target[1]+":") {
			t.Errorf("the Makefile has no target %s", target[1])
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(read(t, "README.md"), -1) {
		if _, err := os.Stat(filepath.Join(root, link[1])); err != nil {
			t.Errorf("the README links to %s, which is not there", link[1])
		}
	}
}

// commands are the lines of a block, each with what it is continued on.
func commands(text string) []string {
	var found []string
	for _, line := range strings.Split(strings.TrimSpace(strings.ReplaceAll(text, "\\\n", "")), "\n") {
		found = append(found, strings.Join(strings.Fields(line), " "))
	}
	return found
}

// at points a command at the demo. The README shows the default port, which may be
// taken on the machine that tests.
func at(d demo.Demo, command string) string {
	return strings.Replace(strings.Replace(command, "http://127.0.0.1:8080", d.API, 1), "curl ", "curl -sS ", 1)
}

// sh runs a command in the project's root, as a reader would.
func sh(t *testing.T, wantCode int, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir = root
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != wantCode {
		t.Errorf("%s: exit %d, want %d: %s", command, got, wantCode, out)
	}
	return string(out)
}

// serves starts the gateway with the project's own config.yaml, on free ports,
// and ends it when it listens.
func serves(t *testing.T, command string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "exec "+command)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "AGENTGW_SERVER__LISTEN=127.0.0.1:0", "AGENTGW_ADMIN__LISTEN=127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := false
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if strings.Contains(lines.Text(), `"msg":"listening"`) {
			listening = true
			_ = cmd.Process.Signal(os.Interrupt)
		}
	}
	if err := cmd.Wait(); err != nil || !listening {
		t.Errorf("%s: %v, listening %v", command, err, listening)
	}
}

// checkShown holds an answer against what the README shows of it: all that is
// shown is there, just so.
func checkShown(t *testing.T, command, got, shown string) {
	t.Helper()
	var have, want any
	if err := json.Unmarshal([]byte(got), &have); err != nil {
		t.Errorf("%s answers no JSON: %s", command, got)
		return
	}
	if err := json.Unmarshal([]byte(shown), &want); err != nil {
		t.Errorf("what is shown for %s is no JSON: %v", command, err)
		return
	}
	for _, d := range missing("", have, want) {
		t.Errorf("%s: %s", command, d)
	}
}

func missing(at string, have, want any) []string {
	switch want := want.(type) {
	case map[string]any:
		have, ok := have.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %v", at, have)}
		}
		var found []string
		for name, v := range want {
			got, ok := have[name]
			if !ok {
				found = append(found, fmt.Sprintf("there is no %s/%s", at, name))
				continue
			}
			found = append(found, missing(at+"/"+name, got, v)...)
		}
		slices.Sort(found)
		return found
	case []any:
		have, ok := have.([]any)
		if !ok || len(have) != len(want) {
			return []string{fmt.Sprintf("%s is %v, shown %v", at, have, want)}
		}
		var found []string
		for i := range want {
			found = append(found, missing(fmt.Sprintf("%s/%d", at, i), have[i], want[i])...)
		}
		return found
	}
	// A text that ends in … is shown as far as it is always the same.
	if text, ok := want.(string); ok && strings.HasSuffix(text, "…") {
		if got, ok := have.(string); ok && strings.HasPrefix(got, strings.TrimSuffix(text, "…")) {
			return nil
		}
	}
	if !reflect.DeepEqual(have, want) {
		return []string{fmt.Sprintf("%s is %v, shown %v", at, have, want)}
	}
	return nil
}
