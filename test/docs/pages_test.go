package docs

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/test/internal/demotest"
	"github.com/agentgw/agentgw/test/internal/prebuilt"
)

// block is a fenced code block.
type block struct{ language, text string }

var fence = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

func blocks(text string) []block {
	var found []block
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		found = append(found, block{m[1], m[2]})
	}
	return found
}

// pages are the pages whose commands are run, each with its own demo.
var pages = []string{"README.md", "docs/quick-start.md", "docs/keys.md", "docs/writing.md", "docs/lists.md", "docs/aliases.md", "docs/observability.md"}

// TestPages runs every command of the pages in order and checks that its output is what the
// page shows. A command that the test cannot run fails it, as does JSON without a command.
func TestPages(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil && os.Getenv("CI") == "" {
		t.Skip("there is no curl on this machine to paste the documentation's commands into")
	}
	makeBuild(t)
	for _, page := range pages {
		t.Run(page, func(t *testing.T) { runPage(t, page) })
	}
}

// makeBuild runs `make build`, unless `make test` has run it before the tests.
func makeBuild(t *testing.T) {
	t.Helper()
	if os.Getenv(prebuilt.Variable) == "" {
		sh(t, 0, "make build")
	}
}

func runPage(t *testing.T, page string) {
	all := blocks(read(t, page))
	running := demotest.Start(t, flags(all)...)
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
			case strings.HasPrefix(command, theDemo): // runPage has started it
			case command == "make test": // it runs this test
			case command == "make build":
				makeBuild(t)
			case strings.HasPrefix(command, "export "):
				exports = append(exports, command)
			case strings.HasPrefix(command, "curl "):
				if i+1 == len(all) {
					t.Errorf("no answer is shown for %s", command)
					continue
				}
				got := sh(t, 0, strings.Join(append(exports, at(running, command)), "; "))
				checkShown(t, command, got, all[i+1])
			case strings.HasPrefix(command, "bin/agentgw config init --config "):
				created := filepath.Join(root, strings.TrimPrefix(command, "bin/agentgw config init --config "))
				_ = os.Remove(created) // of a test that was killed
				t.Cleanup(func() { _ = os.Remove(created) })
				sh(t, 0, command)
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

const theDemo = "go run ./cmd/agentgw demo"

// flags returns the flags of a page's demo.
func flags(blocks []block) []string {
	for _, b := range blocks {
		for _, command := range commands(b.text) {
			if rest, ok := strings.CutPrefix(command, theDemo); ok && b.language == "sh" {
				return strings.Fields(rest)
			}
		}
	}
	return nil
}

// TestPages_AreComplete tests that no other page has commands or responses.
func TestPages_AreComplete(t *testing.T) {
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
			if (b.language == "sh" || b.language == "json") && !slices.Contains(pages, page) && page != guide {
				t.Errorf("%s has a block that no test runs: %.60s", page, b.text)
			}
		}
	}
}

// TestReferences tests that the make targets and pages that are named exist.
func TestReferences(t *testing.T) {
	for _, target := range regexp.MustCompile("`make ([a-z]+)").FindAllStringSubmatch(read(t, "README.md")+read(t, "CONTRIBUTING.md")+read(t, "SECURITY.md")+read(t, "docs/operations.md"), -1) {
		if !strings.Contains(read(t, "Makefile"), "\n"+target[1]+":") {
			t.Errorf("the Makefile has no target %s", target[1])
		}
	}
	files, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	roots, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil || len(roots) < 4 {
		t.Fatal(roots, err)
	}
	for _, f := range append(files, roots...) {
		page, err := filepath.Rel(root, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(read(t, page), -1) {
			if strings.HasPrefix(link[1], "/") { // a path of the gateway
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(f), link[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, link[1])
			}
		}
	}
}

// commands returns the lines of a block, joined with their continuations.
func commands(text string) []string {
	var found []string
	for _, line := range strings.Split(strings.TrimSpace(strings.ReplaceAll(text, "\\\n", "")), "\n") {
		found = append(found, strings.Join(strings.Fields(line), " "))
	}
	return found
}

// at replaces the default addresses in a command by those of the demo.
func at(d demotest.Demo, command string) string {
	return strings.NewReplacer("http://127.0.0.1:8080", d.API, "http://127.0.0.1:9090", d.Admin, "curl ", "curl -sS ").Replace(command)
}

// sh runs a command in the root of the project and returns its output.
func sh(t *testing.T, wantCode int, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*waittest.HangGuard) // it may build
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir = root
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != wantCode {
		t.Errorf("%s: exit %d, want %d: %s", command, got, wantCode, out)
	}
	return string(out)
}

// serves runs a serve command on free ports until it listens.
func serves(t *testing.T, command string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "exec "+command)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "AGENTGW_SERVER__LISTEN=127.0.0.1:0", "AGENTGW_ADMIN__LISTEN=127.0.0.1:0", "AGENTGW_STORE__URL=sqlite::memory:")
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

// checkShown checks that a response contains everything that the page shows of it.
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

// missing returns what is shown and is not in a response.
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
	// A text that ends in … is a prefix.
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
