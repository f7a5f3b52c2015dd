package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// batchOf creates agents at KrosAI and plans to move them to TalkifAI, in one batch.
func (w *world) batchOf(p *process, batch string, names ...string) (sources []string) {
	w.t.Helper()
	for _, name := range names {
		sources = append(sources, w.plain(p, name))
	}
	args := append([]string{"plan"}, sources...)
	w.migrates(p, 3, append(args, "--to", "talkifai", "--architecture", "text", "--set", "model.id=gpt-4o", "--batch", batch)...)
	return sources
}

var acceptEngines = []string{"--accept", "data_loss:/stt/provider", "--accept", "data_loss:/tts/provider"}

// writeFile writes a file of a test and returns its path.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMigrate_RefusesWithoutScope tries each step over several agents with the wrong thing first: no
// scope, no terminal, unknown ids. Nothing may be written to a provider.
func TestMigrate_RefusesWithoutScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := serve(t, w.env, w.path)
	w.batchOf(p, "first", "One", "Two")
	var writes atomic.Int64
	on := func(_ string, r *http.Request, at stage) {
		if at == arrived && r.Method != http.MethodGet {
			writes.Add(1)
		}
	}
	w.on.Store(&on)
	known := migrationID.FindString(w.says(p, 0, "first", "status", "--batch", "first"))
	ids := writeFile(t, "ids.txt", known+"\nmig_00000000000000000000000000 # unknown\n")
	agents := writeFile(t, "agents.txt", "klen:123\nkrosai:no-such-agent\n")
	shared := writeFile(t, "inputs.yaml", "krosai:no-such-agent: {name: New name}\n")
	other := writeFile(t, "other.json", `{"object": "list"}`)
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{2, "--all needs a scope", []string{"apply", "--all", "--yes"}},
		{2, "--all needs a scope", []string{"verify", "--all"}},
		{2, "--all needs a scope", []string{"shadow", "--all", "--yes"}},
		{2, "--all needs a scope", []string{"cutover", "--all", "--yes"}},
		{2, "--all needs a scope", []string{"rollback", "--all", "--delete-target", "--yes"}},
		{2, "add --yes", []string{"apply", "--batch", "first"}},
		{2, "create 2 agents of krosai at talkifai", []string{"apply", "--all", "--from", "krosai"}},
		{2, "not both", []string{"apply", known, "--all", "--from", "krosai"}},
		{2, "--from and --to require", []string{"apply", known, "--from", "krosai"}},
		{2, "--limit", []string{"apply", known, "--limit", "1"}},
		{2, "--limit -1", []string{"apply", "--batch", "first", "--limit", "-1"}},
		{1, "there are no migrations in the batch frist", []string{"apply", "--batch", "frist", "--yes"}},
		{1, "--from: ", []string{"apply", "--all", "--from", "krosia", "--yes"}},
		{1, "there are no migrations from klen", []string{"rollback", "--all", "--from", "klen", "--yes"}},
		{1, "mig_00000000000000000000000000", []string{"apply", "--ids", ids, "--yes"}},
		{2, "not the id of a migration", []string{"apply", "klen:123"}},
		{2, "--ids", []string{"apply", "--ids", "/no/such/file"}},
		{2, "names nothing", []string{"apply", "--ids", writeFile(t, "empty", "# nothing\n")}},
		{2, "not a plan file", []string{"apply", other}},
		{2, "--percent 150", []string{"shadow", "--batch", "first", "--percent", "150", "--yes"}},
		{2, `--percent "10%"`, []string{"shadow", "--batch", "first", "--percent", "10%", "--yes"}},
		{2, `--for "3d"`, []string{"shadow", "--batch", "first", "--for", "3d", "--yes"}},
		{2, "--set name", []string{"plan", "--all", "--from", "krosai", "--to", "talkifai", "--set", "name=Same name"}},
		{2, "--set system_prompt", []string{"plan", "klen:123", "klen:124", "--to", "krosai", "--set", "system_prompt=Same"}},
		{1, "krosai:no-such-agent", []string{"plan", "--ids", agents, "--to", "krosai"}},
		{1, "no agents that match", []string{"plan", "--all", "--from", "krosai", "--to", "talkifai", "--q", "nobody has this name"}},
		{2, "krosai:no-such-agent is not among", []string{"plan", "klen:123", "--to", "krosai", "--inputs", shared}},
		{2, "require --all", []string{"plan", "klen:123", "--to", "krosai", "--q", "x"}},
		{2, "is no plan file, and is not replaced", []string{"plan", "klen:123", "--to", "krosai", "--out", other}},
		{2, ".json", []string{"plan", "klen:123", "--to", "krosai", "--out", "plan.txt"}},
		{2, "missing --to", []string{"plan", "klen:123"}},
		{1, "--to: ", []string{"plan", "klen:123", "--to", "krosia"}},
		{1, "--set nmae: unknown field; did you mean name?", []string{"plan", "klen:123", "--to", "krosai", "--set", "nmae=x"}},
		{1, "--architecture: ", []string{"plan", "klen:123", "--to", "talkifai", "--architecture", "Text"}},
	} {
		out := w.says(p, c.code, c.want, c.args...)
		if strings.Count(out, c.want) != 1 || strings.Contains(out, "strconv") {
			t.Errorf("agentgw migrate %s: says it twice, or in the words of a library: %s", strings.Join(c.args, " "), out)
		}
	}
	if n := writes.Load(); n != 0 {
		t.Errorf("%d requests wrote to a provider", n)
	}
}

// says runs agentgw migrate, checks the exit code and that the output has a text, and returns
// all output.
func (w *world) says(p *process, wantCode int, want string, args ...string) string {
	w.t.Helper()
	out, errs := w.migrates(p, wantCode, args...)
	if !strings.Contains(out+errs, want) {
		w.t.Errorf("agentgw migrate %s does not say %q: %s%s", strings.Join(args, " "), want, out, errs)
	}
	return out + errs
}

// TestMigrate_StaysWithinItsBatch tests that a rollback that deletes ends with its batch, that what an
// earlier rollback left is listed, and that it is deleted by name only.
func TestMigrate_StaysWithinItsBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := serve(t, w.env, w.path)
	yes := append([]string{"--yes"}, acceptEngines...)
	w.batchOf(p, "old", "Old 1", "Old 2")
	w.says(p, 0, "applied", append([]string{"apply", "--batch", "old"}, yes...)...)
	w.says(p, 0, "rolled_back", "rollback", "--batch", "old", "--yes")
	w.batchOf(p, "new", "New 1", "New 2", "New 3")
	w.says(p, 0, "applied  1", append([]string{"apply", "--batch", "new", "--limit", "1"}, yes...)...)
	w.says(p, 0, "applied  2", append([]string{"apply", "--batch", "new"}, yes...)...)
	w.says(p, 0, "nothing to do", append([]string{"apply", "--batch", "new"}, yes...)...)
	w.says(p, 0, "New 1", "verify", "--batch", "new")

	before := w.agentsAt(p, "talkifai")
	out := w.says(p, 0, "DELETE 3 agents at talkifai", "rollback", "--all", "--to", "talkifai", "--delete-target", "--yes")
	if strings.Contains(out, "Old") || w.agentsAt(p, "talkifai") != before-3 {
		t.Errorf("%d agents, want %d: %s", w.agentsAt(p, "talkifai"), before-3, out)
	}
	orphans := w.says(p, 0, "Old 1", "orphans")
	if strings.Contains(orphans, "New") || !strings.Contains(orphans, "talkifai:") {
		t.Errorf("the orphans are %s", orphans)
	}
	ids := writeFile(t, "orphans.txt", w.says(p, 0, "mig_", "orphans", "--quiet"))
	w.says(p, 2, "DELETE 2 agents at talkifai", "rollback", "--ids", ids, "--delete-target")
	w.says(p, 0, "rolled_back", "rollback", "--ids", ids, "--delete-target", "--yes")
	if left := w.says(p, 0, "", "orphans", "--quiet"); left != "" || w.agentsAt(p, "talkifai") != before-5 {
		t.Errorf("left: %q, %d agents", left, w.agentsAt(p, "talkifai"))
	}
}

// agentsAt returns the number of agents at a backend.
func (w *world) agentsAt(p *process, backend string) int {
	w.t.Helper()
	r := ask(w.t, w.key, "GET", p.api+"/v1/agents?limit=1000&require=all&backend="+backend, "", "Cache-Control: no-cache").wants(w.t, 200, "")
	return len(r.body["data"].([]any))
}

// TestMigrate_PlanFile tests that exactly the reviewed plans are applied.
func TestMigrate_PlanFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := serve(t, w.env, w.path)
	one, two := w.plain(p, "One"), w.plain(p, "Two")
	file := filepath.Join(t.TempDir(), "plan.json")
	inputs := writeFile(t, "inputs.csv", "agent,name\n"+one+",First\n"+two+",Second\n")
	plan := []string{"plan", one, two, "--to", "talkifai", "--architecture", "text", "--set", "model.id=gpt-4o", "--inputs", inputs, "--out", file}
	w.says(p, 3, "batch: talkifai-", plan...)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	w.says(p, 2, "create 2 agents of krosai at talkifai", append([]string{"apply", file}, acceptEngines...)...)
	if out := w.says(p, 2, "apply: 2 agents", append([]string{"apply", file}, acceptEngines...)...); strings.Contains(out, "nothing for") {
		t.Errorf("%s", out)
	}
	// Another plan of one agent replaces the reviewed one.
	w.migrates(p, 3, "plan", two, "--to", "talkifai", "--architecture", "text", "--set", "model.id=gpt-4o", "--set", "name=Another")
	out := w.says(p, 5, "plan_stale", append([]string{"apply", file, "--yes"}, acceptEngines...)...)
	if !strings.Contains(out, "One "+one+" done applied") {
		t.Errorf("%s", out)
	}
	w.migrates(p, 3, plan...)
	w.says(p, 0, "applied", append([]string{"apply", file, "--yes"}, acceptEngines...)...)
	list := ask(t, w.key, "GET", p.api+"/v1/agents?backend=talkifai&limit=1000&require=all", "", "Cache-Control: no-cache").text
	ids := writeFile(t, "ids.txt", w.says(p, 0, "mig_", "status", "--to", "talkifai", "--quiet"))
	w.says(p, 2, "nothing for 2 agents in another state", append([]string{"apply", "--ids", ids}, acceptEngines...)...)
	for _, name := range []string{"First", "Second"} {
		if strings.Count(list, fmt.Sprintf("%q", name)) == 0 {
			t.Errorf("no agent is called %s", name)
		}
	}
	if strings.Contains(list, "Another") {
		t.Error("the plan that was not reviewed was applied")
	}
}

// TestMigrate_ShowsValues tests --diff, and that unused entries of a map are named.
func TestMigrate_ShowsValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := serve(t, w.env, w.path)
	source := w.plain(p, "Night Desk")
	maps := writeFile(t, "maps.yaml", "model.id: {krosaimlingua: gpt-4o}\nvoice.id: {nobody: nova}\n")
	args := []string{"plan", source, "--to", "talkifai", "--architecture", "text", "--map", maps}
	out := w.says(p, 4, `no planned agent has model.id: "krosaimlingua"`, args...)
	for _, want := range []string{"Night Desk  mig_", "did you mean krosaimlingua?", "(--map, section model.id)", `no planned agent has voice.id: "nobody"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if strings.Contains(out, "= Help.") {
		t.Errorf("values are shown without --diff: %s", out)
	}
	w.says(p, 4, "    = Help.", append(args, "--diff")...)
}

// TestMigrate_AsksOnATerminal tests the question before a step over several agents.
func TestMigrate_AsksOnATerminal(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("script"); err != nil {
		t.Skip("there is no script(1) on this machine, which opens a terminal")
	}
	w := newWorld(t)
	p := serve(t, w.env, w.path)
	w.batchOf(p, "asked", "One", "Two")
	answer := func(text string, wantCode int) string {
		t.Helper()
		command := strings.Join(append([]string{binary, "migrate", "apply", "--batch", "asked"}, acceptEngines...), " ")
		cmd := exec.Command("script", "--quiet", "--return", "--command", command, "/dev/null")
		cmd.Env = append(os.Environ(), "AGENTGW_URL="+p.api, "AGENTGW_KEY="+w.key)
		cmd.Stdin = strings.NewReader(text)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != wantCode || !strings.Contains(string(out), "create 2 agents of krosai at talkifai") {
			t.Errorf("%q: exit %d, want %d: %s", text, code, wantCode, out)
		}
		return string(out)
	}
	if out := answer("n\n", 1); !strings.Contains(out, "nothing was changed") {
		t.Errorf("%s", out)
	}
	answer("\n", 1)
	if out := answer("yes\n", 0); !strings.Contains(out, "applied") {
		t.Errorf("%s", out)
	}
}
