// Package docs holds the documentation against the program: its tables, its
// commands, and the answers that it shows.
package docs

import (
	"bufio"
	"bytes"
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
	parts := map[string]string{"capabilities": capabilities(), "limits": limits(), "extensions": extensions(), "filters": filters(), "faults": faults.Markdown(), "errors": errorCodes(t), "required": required()}
	for _, path := range []string{"README.md", "docs/providers.md", "docs/lists.md", "docs/reliability.md", "docs/errors.md", "docs/writing.md"} {
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

// required says what each vendor needs and takes in a create, by architecture.
func required() string {
	var b strings.Builder
	b.WriteString("| vendor | agent | needs | takes too |\n|---|---|---|---|\n")
	for _, v := range all.Vendors() {
		if !v.Info.Supports(adapters.OpCreate) {
			fmt.Fprintf(&b, "| %s | | cannot create | |\n", v.Info.Provider)
			continue
		}
		architectures := v.Info.Rule(normalize.FieldArchitecture).Limit.OneOf
		if len(architectures) == 0 {
			architectures = []string{"any"}
		}
		for _, a := range architectures {
			var needs, takes []string
			for _, f := range normalize.AllFields() {
				name := "`" + f.Name() + "`"
				switch rule := v.Info.Rule(f); {
				case slices.Contains(rule.RequiredFor, adapters.Always) || slices.Contains(rule.RequiredFor, a):
					needs = append(needs, name)
				case v.Info.Creates(f):
					takes = append(takes, name)
				}
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", v.Info.Provider, a, strings.Join(needs, ", "), strings.Join(takes, ", "))
		}
	}
	return b.String()
}

// errorCodes is cause and cure of each code, with an answer that has it.
func errorCodes(t *testing.T) string {
	var examples map[string]json.RawMessage
	if err := json.Unmarshal([]byte(read(t, "gateway/openapi/examples.json")), &examples); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, c := range gateway.Codes() {
		again := ""
		if c.Retryable {
			again = " The same request may succeed later."
		}
		fmt.Fprintf(&b, "\n### `%s`\n\n%d. %s.\n\n**Cause.** %s\n\n**Cure.** %s%s\n", c.Code, c.Status, c.Title, c.Cause, c.Cure, again)
		if example, ok := examples["problem "+string(c.Code)]; ok {
			var text bytes.Buffer
			if err := json.Indent(&text, example, "", "  "); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "\n```json\n%s\n```\n", &text)
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

// pages are those whose commands are run. Their demo is fresh.
var pages = []string{"README.md", "docs/quick-start.md", "docs/keys.md", "docs/writing.md", "docs/lists.md"}

// TestPages runs every command of the documentation, page by page in its order, and
// holds what it answers against what is shown. A command that nothing here can run
// fails the test, and so does JSON that no command shows.
func TestPages(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil && os.Getenv("CI") == "" {
		t.Skip("there is no curl on this machine to paste the documentation's commands into")
	}
	sh(t, 0, "make build")
	for _, page := range pages {
		t.Run(page, func(t *testing.T) { runPage(t, page) })
	}
}

func runPage(t *testing.T, page string) {
	running := demo.Start(t, root)
	all := blocks(read(t, page))
	var exports []string
	ran := 0
	for i, b := range all {
		if b.language == "json" && (i == 0 || all[i-1].language != "sh") {
			t.Errorf("no command shows %.60s", b.text)
		}
		if b.language != "sh" {
			continue
		}
		for _, command := range commands(b.text) {
			ran++
			switch {
			case command == "go run ./cmd/agentgw demo": // it runs: demo.Start
			case command == "make test": // this is it
			case command == "make build":
				sh(t, 0, command)
			case strings.HasPrefix(command, "export "):
				exports = append(exports, command)
			case strings.HasPrefix(command, "curl "):
				if i+1 == len(all) {
					t.Errorf("no answer is shown for %s", command)
					continue
				}
				got := sh(t, 0, strings.Join(append(exports, at(running, command)), "; "))
				checkShown(t, command, got, all[i+1])
			case strings.HasPrefix(command, "bin/agentgw serve"):
				serves(t, command)
			case strings.HasPrefix(command, "bin/agentgw "):
				sh(t, 0, strings.Join(append(exports, command), "; "))
			default:
				t.Errorf("nothing here runs the command %q", command)
			}
		}
	}
	if ran == 0 {
		t.Error("no command was found")
	}
}

// TestNoJSONIsUnshown: a page whose commands are not run shows no answer.
func TestNoJSONIsUnshown(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		page, err := filepath.Rel(root, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks(generated.ReplaceAllString(read(t, page), "")) {
			if (b.language == "sh" || b.language == "json") && !slices.Contains(pages, page) {
				t.Errorf("%s shows what nothing runs: %.60s", page, b.text)
			}
		}
	}
}

// TestReferences: targets of the Makefile and pages that are named are there.
func TestReferences(t *testing.T) {
	for _, target := range regexp.MustCompile("`make ([a-z]+)`").FindAllStringSubmatch(read(t, "README.md"), -1) {
		if !strings.Contains(read(t, "Makefile"), "\n"+target[1]+":") {
			t.Errorf("the Makefile has no target %s", target[1])
		}
	}
	files, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, filepath.Join(root, "README.md")) {
		page, err := filepath.Rel(root, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(read(t, page), -1) {
			if strings.HasPrefix(link[1], "/") { // of a running gateway
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(f), link[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, link[1])
			}
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
func checkShown(t *testing.T, command, got string, shown block) {
	t.Helper()
	switch shown.language {
	case "text":
		if strings.TrimSpace(got) != strings.TrimSpace(shown.text) {
			t.Errorf("%s answers %s", command, got)
		}
		return
	case "json":
	default:
		t.Errorf("no answer is shown for %s", command)
		return
	}
	var have, want any
	if err := json.Unmarshal([]byte(got), &have); err != nil {
		t.Errorf("%s answers no JSON: %s", command, got)
		return
	}
	if err := json.Unmarshal([]byte(shown.text), &want); err != nil {
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
