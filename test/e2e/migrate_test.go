package e2e

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/agentgw/agentgw/internal/waittest"
)

// migrates runs agentgw migrate against a process and checks the exit code.
func (w *world) migrates(p *process, wantCode int, args ...string) (stdout, stderr string) {
	w.t.Helper()
	env := []string{"AGENTGW_URL=" + p.api, "AGENTGW_KEY=" + w.key}
	stdout, stderr, code := run(w.t, env, append([]string{"migrate"}, args...)...)
	if code != wantCode {
		w.t.Errorf("agentgw migrate %s: exit %d, want %d\n%s%s", strings.Join(args, " "), code, wantCode, stdout, stderr)
	}
	return stdout, stderr
}

var migrationID = regexp.MustCompile(`mig_[0-9a-z]{26}`)

// plain creates an agent that every provider can hold without loss.
func (w *world) plain(p *process, name string) string {
	w.t.Helper()
	id, _ := ask(w.t, w.key, "POST", p.api+"/v1/agents", fmt.Sprintf(`{"backend": "krosai", "name": %q, "system_prompt": "Help.", "language": "en"}`, name)).wants(w.t, 201, "").body["id"].(string)
	return id
}

// TestMigrate_Commands tests the output and the exit code of each command.
func TestMigrate_Commands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := serve(t, w.env, w.path)
	says := func(wantCode int, want string, args ...string) string {
		t.Helper()
		out, errs := w.migrates(p, wantCode, args...)
		if !strings.Contains(out+errs, want) {
			t.Errorf("agentgw migrate %s does not say %q: %s%s", strings.Join(args, " "), want, out, errs)
		}
		return out
	}
	for _, usage := range [][]string{
		{"plan"}, {"plan", "klen:123"}, {"plan", "--all", "--to", "krosai"}, {"plan", "klen:123", "--to", "krosai", "--set", "name"},
		{"plan", "klen:123", "--to", "krosai", "--map", "/no/such/file"}, {"apply"}, {"apply", "mig_x", "--all"}, {"status", "--nonsense"},
		{"plan", "klen:123", "--to", "krosai", "--server", "nonsense"}, {"maps", "--from", "klen"},
	} {
		w.migrates(p, 2, usage...)
	}
	if _, errs, code := run(t, nil, "migrate", "status"); code != 2 || !strings.Contains(errs, "AGENTGW_KEY") {
		t.Errorf("without a key: %d %s", code, errs)
	}
	if _, errs, code := run(t, []string{"AGENTGW_KEY=x", "AGENTGW_URL=http://127.0.0.1:1"}, "migrate", "status"); code != 1 || !strings.Contains(errs, "no response from the gateway") {
		t.Errorf("without a gateway: %d %s", code, errs)
	}
	// Engines are each provider's own: this maps file has a counterpart for those of KrosAI.
	engines := filepath.Join(t.TempDir(), "engines.yaml")
	if err := os.WriteFile(engines, []byte("stt.provider: {krosaimlingual: deepgram}\ntts.provider: {krosaimlingual: elevenlabs}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	says(1, "agent_not_found", "plan", "klen:999", "--to", "krosai")
	says(1, "migration_not_found", "verify", "mig_none")
	says(4, "/system_prompt", "plan", "klen:123", "--to", "talkifai", "--architecture", "text")
	says(3, "--accept data_loss:/direction", "plan", "klen:123", "--to", "krosai")

	source := w.plain(p, "Plain")
	prompt := filepath.Join(t.TempDir(), "prompt.txt")
	if err := os.WriteFile(prompt, []byte("From a file.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := says(0, "ready", "plan", source, "--to", "talkifai", "--architecture", "text", "--map", engines, "--set", "model.id=gpt-4o", "--set", "model.temperature=0.5", "--set", "system_prompt=@"+prompt)
	id := migrationID.FindString(out)
	says(1, "migration_state", "cutover", id)
	says(0, "applied", "apply", id)
	target := ask(t, w.key, "GET", p.api+"/v1/migrations/"+id, "").body["target"].(string)
	if r := ask(t, w.key, "GET", p.api+"/v1/agents/"+target, ""); r.body["system_prompt"] != "From a file." || fmt.Sprint(r.body["model"]) != "map[id:gpt-4o temperature:0.5]" {
		t.Errorf("%s", r.text)
	}
	ask(t, w.key, "PATCH", p.api+"/v1/agents/"+target, `{"language": "de"}`).wants(t, 200, "")
	says(5, "/language: mismatch", "verify", id)
	ask(t, w.key, "PATCH", p.api+"/v1/agents/"+target, `{"language": "en"}`).wants(t, 200, "")
	says(0, "fields match", "verify", id)
	says(0, "shadowing", "shadow", id, "--percent", "50", "--for", "10m")
	ask(t, w.key, "PATCH", p.api+"/v1/agents/"+target, `{"language": "de"}`).wants(t, 200, "")
	says(5, "target_diverged", "cutover", id)
	ask(t, w.key, "PATCH", p.api+"/v1/agents/"+target, `{"language": "en"}`).wants(t, 200, "")
	says(0, "cut_over", "cutover", id)
	says(0, "shadow reads", "status", id)
	says(0, target, "status")
	var printed map[string]any
	if err := json.Unmarshal([]byte(says(0, "", "status", id, "--json")), &printed); err != nil || printed["id"] != id {
		t.Errorf("%v, %v", printed["id"], err)
	}
	says(5, "target_diverged", "rollback", w.diverged(p, id, target), "--delete-target")
	says(0, "the target is inactive", "rollback", id)

	stale := migrationID.FindString(says(0, "ready", "plan", source, "--to", "talkifai", "--architecture", "text", "--map", engines, "--set", "model.id=gpt-4o"))
	ask(t, w.key, "PATCH", p.api+"/v1/agents/"+source, `{"name": "Changed"}`).wants(t, 200, "")
	says(5, "plan_stale", "apply", stale)
	lossy := migrationID.FindString(says(3, "ready", "plan", "klen:123", "--to", "krosai"))
	says(3, "data_loss:/direction", "apply", lossy)
	says(0, "applied", "apply", lossy, "--accept", "data_loss:/direction", "--accept", "data_loss:/model/id", "--accept", "data_loss:/voice/id")
	says(0, "manual step: /phone/number", "cutover", migrationIn(t, w, p, lossy, "verify"))
}

// diverged changes the target of a migration.
func (w *world) diverged(p *process, id, target string) string {
	w.t.Helper()
	ask(w.t, w.key, "PATCH", p.api+"/v1/agents/"+target, `{"name": "Somebody else's"}`).wants(w.t, 200, "")
	return id
}

func migrationIn(t *testing.T, w *world, p *process, id, step string) string {
	t.Helper()
	w.migrates(p, 0, step, id)
	return id
}

// TestMigrate_BatchWaitsForQuota tests that a batch waits for Retry-After when the quota of a
// backend is used up.
func TestMigrate_BatchWaitsForQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "quota: {requests: 8, per: 1s}")
	p := serve(t, w.env, w.path)
	var first string
	for i := range 6 {
		waittest.Until(t, "room for another agent", func() bool {
			r := ask(t, w.key, "POST", p.api+"/v1/agents", fmt.Sprintf(`{"backend": "talkifai", "name": "Agent %d", "architecture": "text", "system_prompt": "p", "model": {"id": "m"}}`, i))
			first, _ = r.body["id"].(string)
			return r.status == 201
		})
	}
	if first == "" {
		t.Fatal("no agent")
	}
	report := filepath.Join(t.TempDir(), "report")
	_, errs := w.migrates(p, 3, "plan", "--all", "--from", "talkifai", "--to", "krosai", "--report", report+".csv", "--report", report+".json", "--report", report+".html")
	if !strings.Contains(errs, "waiting") {
		t.Errorf("it never waited: %s", errs)
	}
	data, err := os.ReadFile(report + ".csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil || len(rows) < 7 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows[1:] {
		if row[0] == "" || row[4] != "ready" || row[6] != "done" || !migrationID.MatchString(row[3]) {
			t.Errorf("%v", row)
		}
	}
	var parsed struct{ Outcomes []map[string]any }
	if data, err := os.ReadFile(report + ".json"); err != nil || json.Unmarshal(data, &parsed) != nil || len(parsed.Outcomes) != len(rows)-1 {
		t.Errorf("%d outcomes in JSON, %v", len(parsed.Outcomes), err)
	}
	if data, err := os.ReadFile(report + ".html"); err != nil || strings.Count(string(data), "<tr>") < len(rows) {
		t.Errorf("%v: %s", err, data)
	}
	w.migrates(p, 2, "plan", "--all", "--from", "talkifai", "--to", "krosai", "--report", report+".pdf")
}

// TestMigrate_BatchCanBeInterrupted tests that Ctrl-C ends a batch after the current agent, and that the same
// command does the rest, each of them once.
func TestMigrate_BatchCanBeInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := serve(t, w.env, w.path)
	const agents = 8
	for i := range agents {
		w.plain(p, fmt.Sprintf("Batch %d", i))
	}
	w.migrates(p, 3, "plan", "--all", "--from", "krosai", "--to", "talkifai", "--architecture", "text", "--set", "model.id=gpt-4o")
	var creates atomic.Int64
	third := make(chan struct{})
	on := func(vendor string, r *http.Request, at stage) {
		if vendor == "talkifai" && r.Method == "POST" && at == arrived {
			if creates.Add(1) == 3 {
				close(third)
			}
			time.Sleep(20 * time.Millisecond) // so that the signal comes before the last agent
		}
	}
	w.on.Store(&on)
	args := []string{"migrate", "apply", "--all", "--from", "krosai", "--to", "talkifai", "--yes", "--accept", "data_loss:/stt/provider", "--accept", "data_loss:/tts/provider", "--accept", "data_loss:/description", "--accept", "data_loss:/knowledge_base_ids", "--accept", "data_loss:/voice/id"}
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "AGENTGW_URL="+p.api, "AGENTGW_KEY="+w.key)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-third
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(errs.String(), "run the same command again") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	before := creates.Load()
	if before >= agents {
		t.Errorf("it went on: %d creates", before)
	}
	w.on.Store(nil)
	out, _ := w.migrates(p, 0, args[1:]...)
	if !strings.Contains(out, "applied") {
		t.Errorf("%s", out)
	}
	list := ask(t, w.key, "GET", p.api+"/v1/agents?backend=talkifai&q=batch&limit=1000&require=all", "", "Cache-Control: no-cache").wants(t, 200, "")
	if n := len(list.body["data"].([]any)); n != agents {
		t.Errorf("%d agents, want %d", n, agents)
	}
}
