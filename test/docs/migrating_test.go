package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentgw/agentgw/test/internal/demotest"
)

// guide is the page that TestMigrating runs.
const guide = "docs/migrating.md"

// part matches the comments and code blocks of the guide that the test reads.
var part = regexp.MustCompile("(?ms)^<!-- (exit [0-9]|clients [a-z: ]+) -->$|^```([a-z]+)\n(.*?)^```$")

var migrationID = regexp.MustCompile(`mig_[0-9a-z]{26}`)

// TestMigrating runs the guide block by block in one folder, with clients where a comment says
// so. Every line that the guide shows must be in the output.
func TestMigrating(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("there is no bash on this machine to paste the guide's commands into")
	}
	makeBuild(t)
	running := demotest.Start(t)
	bin, err := filepath.Abs(filepath.Join(root, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	env := append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "AGENTGW_URL="+running.API, "AGENTGW_KEY="+running.Key)
	wantCode, output, ran := 0, "", 0
	var clients *clients
	for _, m := range part.FindAllStringSubmatch(read(t, guide), -1) {
		comment, language, text := m[1], m[2], m[3]
		switch {
		case strings.HasPrefix(comment, "exit "):
			wantCode, _ = strconv.Atoi(strings.TrimPrefix(comment, "exit "))
		case strings.HasPrefix(comment, "clients begin"):
			clients = beginClients(t, running, strings.HasSuffix(comment, "errors only"))
		case comment == "clients end":
			clients.end()
		case language == "sh" && (strings.HasPrefix(text, theDemo) || strings.HasPrefix(text, "export ")): // the demo runs, and env has the variables
		case language == "sh":
			ran++
			cmd := exec.Command("bash", "-c", text)
			cmd.Dir, cmd.Env = folder, env
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != wantCode {
				t.Fatalf("%s\nexit %d, want %d (%v): %s", text, code, wantCode, err, out)
			}
			output, wantCode = string(out), 0
		case language == "text":
			shows(t, output, text)
		case language == "json":
			checkShown(t, guide, output, block{language, text})
		}
	}
	if ran < 9 || clients == nil {
		t.Errorf("%d commands were run, clients: %v", ran, clients != nil)
	}
	for _, file := range []string{"plan.csv", "plan.html", "cutover.json"} {
		data, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil || strings.Count(string(data), "krosai:") < 40 {
			t.Errorf("the report %s has %d agents: %v", file, strings.Count(string(data), "krosai:"), err)
		}
	}
}

// shows checks that every line is in the output, in this order. … matches anything.
func shows(t *testing.T, output, shown string) {
	t.Helper()
	rest := migrationID.ReplaceAllString(output, "mig_…")
	squeeze := func(line string) string { return strings.Join(strings.Fields(line), " ") }
	lines := strings.Split(rest, "\n")
	at := 0
	for _, want := range strings.Split(strings.TrimSpace(shown), "\n") {
		if want = squeeze(want); want == "…" || want == "" {
			continue
		}
		for at < len(lines) && squeeze(lines[at]) != want {
			at++
		}
		if at == len(lines) {
			t.Fatalf("%q is not in the output: %s", want, output)
		}
	}
}

// clients read and update agents by their old ids until they are stopped.
type clients struct {
	t     *testing.T
	stop  chan struct{}
	group sync.WaitGroup
	asked atomic.Int64
}

func beginClients(t *testing.T, d demotest.Demo, errorsOnly bool) *clients {
	t.Helper()
	c := &clients{t: t, stop: make(chan struct{})}
	ask := func(method, path, body string) (int, map[string]any, string) {
		req, err := http.NewRequest(method, d.API+path, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Error(err)
			return 0, nil, ""
		}
		req.Header.Set("Authorization", "Bearer "+d.Key)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, nil, err.Error()
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		var answer map[string]any
		_ = json.Unmarshal(text, &answer)
		c.asked.Add(1)
		return resp.StatusCode, answer, string(text)
	}
	_, list, _ := ask("GET", "/v1/agents?backend=krosai&limit=1000", "")
	agents, _ := list["data"].([]any)
	if len(agents) != 40 {
		t.Fatalf("%d agents", len(agents))
	}
	for i := range 4 {
		id := agents[10*i].(map[string]any)["id"].(string)
		c.group.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-c.stop:
					return
				case <-time.After(2 * time.Millisecond): // a client's own pace
				}
				name := fmt.Sprintf("Client %d, %d", i, n)
				patched, _, answer := ask("PATCH", "/v1/agents/"+id, fmt.Sprintf(`{"name": %q}`, name))
				code, agent, text := ask("GET", "/v1/agents/"+id, "")
				if patched != 200 || code != 200 {
					t.Errorf("a client's patch is answered %d, its read %d: %s %s", patched, code, answer, text)
					return
				}
				if !errorsOnly && agent["name"] != name {
					t.Errorf("a client wrote %q, and reads %v of %v", name, agent["name"], agent["id"])
					return
				}
			}
		})
	}
	return c
}

func (c *clients) end() {
	close(c.stop)
	c.group.Wait()
	if c.asked.Load() < 100 {
		c.t.Errorf("clients asked only %d times", c.asked.Load())
	}
	c.t.Logf("clients asked %d times", c.asked.Load())
}
