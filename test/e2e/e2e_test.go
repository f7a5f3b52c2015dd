package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agentgw/agentgw/gateway/apikey"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

// TestAPI uses every operation: the list, a get of each agent, each documented write, and each
// operation that a provider does not support.
func TestAPI(t *testing.T) {
	w := newWorld(t)
	p := serve(t, w.env, w.path)
	agents := p.api + "/v1/agents"

	list := ask(t, w.key, "GET", agents, "").wants(t, 200, "")
	if list.body["complete"] != true {
		t.Errorf("%s", list.text)
	}
	data := list.body["data"].([]any)
	if sources := list.body["sources"].([]any); len(sources) != len(w.vendors) || len(data) < 4*len(w.vendors) {
		t.Errorf("%d agents of %d sources", len(data), len(sources))
	}
	for _, a := range data {
		id := a.(map[string]any)["id"].(string)
		if got := ask(t, w.key, "GET", agents+"/"+id, "").wants(t, 200, ""); got.body["id"] != id || got.body["view"] != "full" {
			t.Errorf("%s: %s", id, got.text)
		}
	}
	ask(t, w.key, "GET", agents+"/klen:assistant_abc123", "").wants(t, 200, "")

	for _, create := range []string{
		`{"backend": "agenthuman", "name": "New", "avatar": {"id": "1"}, "greeting": "Hi"}`,
		`{"backend": "krosai", "name": "New", "description": "d"}`,
		`{"backend": "talkifai", "name": "New", "architecture": "pipeline", "model": {"id": "m"}, "stt": {"provider": "s"}, "tts": {"provider": "t"}, "system_prompt": "p", "status": "active"}`,
		`{"backend": "talkifai", "name": "New", "architecture": "realtime", "realtime": {"provider": "openai"}, "system_prompt": "p"}`,
		`{"backend": "talkifai", "name": "New", "architecture": "text", "model": {"id": "m"}, "system_prompt": "p"}`,
	} {
		created := ask(t, w.key, "POST", agents, create).wants(t, 201, "")
		at := p.api + created.header.Get("Location")
		if got := ask(t, w.key, "PATCH", at, `{"name": "Renamed"}`).wants(t, 200, ""); got.body["name"] != "Renamed" {
			t.Errorf("%s", got.text)
		}
		if got := ask(t, w.key, "GET", at, "").wants(t, 200, ""); got.body["name"] != "Renamed" {
			t.Errorf("%s", got.text)
		}
		ask(t, w.key, "DELETE", at, "").wants(t, 204, "")
		ask(t, w.key, "GET", at, "").wants(t, 404, "agent_not_found")
	}
	requests := len(w.vendors["klen"].Control().Requests())
	ask(t, w.key, "POST", agents, `{"backend": "klen", "name": "n"}`).wants(t, 501, "operation_unsupported")
	ask(t, w.key, "PATCH", agents+"/klen:123", `{"name": "n"}`).wants(t, 501, "operation_unsupported")
	ask(t, w.key, "DELETE", agents+"/klen:123", "").wants(t, 501, "operation_unsupported")
	if n := len(w.vendors["klen"].Control().Requests()); n != requests {
		t.Errorf("a 501 sent %d requests", n-requests)
	}

	ask(t, w.key, "POST", agents, `{"backend": "krosai"`).wants(t, 400, "invalid_body")
	ask(t, w.key, "POST", agents, `{"backend": "krosai", "name": 7, "x": 1}`).wants(t, 422, "validation_failed")
	ask(t, w.key, "PUT", agents, `{}`).wants(t, 405, "method_not_allowed")
	ask(t, w.key, "POST", agents, `"`+strings.Repeat("x", 9<<20)+`"`).wants(t, 413, "body_too_large")
	ask(t, "", "GET", agents, "").wants(t, 401, "unauthenticated")
	ask(t, w.second, "POST", agents, `{}`).wants(t, 403, "scope_missing")
	ask(t, w.second, "GET", agents+"/krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890", "").wants(t, 404, "agent_not_found")
	ask(t, w.key, "GET", p.api+"/v1/backends", "").wants(t, 200, "")

	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		if got := ask(t, "", "GET", p.admin+path, ""); got.status != 200 {
			t.Errorf("%s: %d", path, got.status)
		}
		want := 200
		if path == "/metrics" {
			want = 404
		}
		if got := ask(t, "", "GET", p.api+path, ""); got.status != want {
			t.Errorf("%s on the public listener: %d", path, got.status)
		}
	}
	if got := ask(t, "", "POST", p.admin+"/cache/purge", `{"backend": "klen"}`); got.status != 200 || got.body["purged"] == 0.0 {
		t.Errorf("%d %s", got.status, got.text)
	}
	if got := ask(t, "", "POST", p.admin+"/cache/purge", `{"backend": "klenn"}`); got.status != 404 || !strings.Contains(got.text, "did you mean klen?") {
		t.Errorf("%d %s", got.status, got.text)
	}
	if got := ask(t, "", "POST", p.admin+"/reload", ""); got.status != 200 || fmt.Sprint(got.body["need_restart"]) != "[]" {
		t.Errorf("%d %s", got.status, got.text)
	}
	if got := ask(t, "", "POST", p.admin+"/cache/purge", `{"nonsense": 1}`); got.status != 400 {
		t.Errorf("%d %s", got.status, got.text)
	}
	for _, secret := range []string{w.key, w.second, "credential-"} {
		if strings.Contains(p.stderr.String(), secret) {
			t.Errorf("the log shows %s", secret)
		}
	}
	access := map[string]any{}
	for _, line := range strings.Split(p.stderr.String(), "\n") {
		if strings.Contains(line, `"msg":"request"`) {
			if err := json.Unmarshal([]byte(line), &access); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	for _, name := range []string{"method", "route", "status", "duration_ms", "request_id", "trace_id", "key_id", "sources"} {
		if _, ok := access[name]; !ok {
			t.Errorf("the access line has no %s: %v", name, access)
		}
	}
}

// TestReload tests that a removed key stops working after a change of the file, SIGHUP or POST
// /reload, and that an invalid file changes nothing.
func TestReload(t *testing.T) {
	w := newWorld(t)
	p := serve(t, w.env, w.path)
	without := w.file[:strings.Index(w.file, "  - id: second")]
	works := func() bool { return ask(t, w.second, "GET", p.api+"/v1/backends", "").status == 200 }
	if !works() {
		t.Fatal("the second key does not work")
	}
	w.write(without)
	waittest.Until(t, "the removed key to stop", func() bool { return !works() })
	ask(t, w.key, "GET", p.api+"/v1/backends", "").wants(t, 200, "")

	w.write(strings.Replace(w.file, "provider: krosai", "provider: crosai", 1))
	waittest.Until(t, "the bad file to be refused", func() bool { return strings.Contains(p.stderr.String(), "keeping the current configuration") })
	if log := p.stderr.String(); !strings.Contains(log, `did you mean krosai?`) {
		t.Errorf("the log does not say why: %s", log)
	}
	if works() {
		t.Error("a refused file was taken")
	}
	if got := ask(t, "", "POST", p.admin+"/reload", ""); got.status != 422 || !strings.Contains(got.text, "crosai") {
		t.Errorf("%d %s", got.status, got.text)
	}
	if metrics := ask(t, "", "GET", p.admin+"/metrics", "").text; !strings.Contains(metrics, `agentgw_config_reloads_total{result="error"}`) {
		t.Error("the refused reload is not counted")
	}

	w.write(w.file)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, "the key to be back", works)
}

// TestShutdown_FinishesRequests tests that SIGTERM lets a running request finish, and that the
// process exits with 0.
func TestShutdown_FinishesRequests(t *testing.T) {
	w := newWorld(t)
	p := serve(t, w.env, w.path)
	klen := w.vendors["klen"].Control()
	klen.Fail(sandbox.Fault{Delay: time.Second})
	answered := make(chan reply, 1)
	go func() { answered <- ask(t, w.key, "GET", p.api+"/v1/agents?backend=klen", "") }()
	waittest.Until(t, "the request to be at klen", func() bool { return len(klen.Requests()) > 0 })
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := <-answered; got.status != 200 {
		t.Errorf("the running request got %d %s", got.status, got.text)
	}
	if err := waittest.Receive(t, "the process to end", p.exited); err != nil {
		t.Errorf("exit: %v\n%s", err, p.stderr)
	}
}

// run runs a command that ends by itself.
func run(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waittest.HangGuard)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestCommands(t *testing.T) {
	w := newWorld(t)
	f := func(wantCode int, wantOut, wantErr string, args ...string) (string, string) {
		t.Helper()
		out, errs, code := run(t, w.env, args...)
		if code != wantCode || !strings.Contains(out, wantOut) || !strings.Contains(errs, wantErr) {
			t.Errorf("%v: exit %d, want %d\nstdout: %s\nstderr: %s", args, code, wantCode, out, errs)
		}
		return out, errs
	}
	f(0, "agentgw dev", "", "version")
	f(0, `"go":"go`, "", "version", "--json")
	f(0, "Commands:", "", "--help")
	f(0, "--config", "", "serve", "--help")
	f(0, "agentgw dev", "", "--version")
	f(0, "Commands:", "")
	f(2, "", "missing command; want one of new\nsee: agentgw keys --help", "keys")
	f(2, "", `unknown command "migrat" for agentgw; did you mean migrate?`, "migrat")
	f(2, "", `unknown command "old" for agentgw keys`, "keys", "old")
	f(2, "", "see: agentgw serve --help", "serve", "now")
	f(2, "", "unknown flag: --cnfig\nsee: agentgw serve --help", "serve", "--cnfig", "x")
	f(2, "", `missing --id`, "keys", "new")
	f(2, "", `--scope "agents:all": want one of agents:read, `, "keys", "new", "--id", "a", "--scope", "agents:read,agents:all")
	f(0, `["agents:read","migrations:write"]`, "", "keys", "new", "--id", "a", "--json", "--scope", "agents:read", "--scope", "migrations:write")
	f(2, "", `--log "loud": want one of debug, info, warn, error`, "demo", "--log", "loud")
	f(0, "migrations:write", "", "__complete", "keys", "new", "--scope", "")
	for shell, only := range map[string]string{"bash": "__start_agentgw()", "zsh": "#compdef agentgw", "fish": "complete -c agentgw", "powershell": "Register-ArgumentCompleter"} {
		f(0, only, "", "completion", shell)
	}
	f(2, "", `unknown command "bsah" for agentgw completion; did you mean bash`, "completion", "bsah")
	f(2, "", "missing command; want one of bash, ", "completion")
	f(2, "", `unknown command "migrat" for agentgw; did you mean migrate?`, "migrat", "plan", "--to", "x")
	f(2, "", `unknown command "pln" for agentgw migrate; did you mean plan?`, "migrate", "pln", "klen:1", "--to", "x")
	f(0, "--to BACKEND", "", "help", "migrate", "plan")
	f(2, "", `unknown command "nope" for agentgw keys`, "help", "keys", "nope")
	f(2, "", "--id needs a value, but is followed by --test", "keys", "new", "--id", "--test")
	f(2, "", "--scope is empty", "keys", "new", "--id", "a", "--scope", "")
	f(0, `["agents:read"]`, "", "keys", "new", "--id", "a", "--json", "--scope", "agents:read,")
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	f(1, "", home+"/nowhere.yaml: no such file", "config", "check", "--config=~/nowhere.yaml")
	f(2, "", "is not 1 to 64", "keys", "new", "--id", "a b")
	f(0, fmt.Sprintf("is valid: %d backends, 2 keys", len(w.vendors)), "", "config", "check", "--config", w.path)
	f(1, "", "/nowhere.yaml: no such file", "config", "check", "--config", "/nowhere.yaml")
	f(1, "", "/nowhere.yaml: no such file", "serve", "--config", "/nowhere.yaml")
	f(0, "system_prompt", "", "backends", "--config", w.path)
	f(0, `"support": "emulated"`, "", "backends", "--config", w.path, "--json")
	f(0, "ok, 5 agents", "", "backends", "--config", w.path, "--probe")
	w.vendors["krosai"].Control().Fail(sandbox.Fault{Status: 401})
	f(1, "krosai", fmt.Sprintf("1 of %d probes failed", len(w.vendors)), "backends", "--config", w.path, "--probe")

	out, _ := f(0, `"$schema"`, "", "config", "schema")
	if !json.Valid([]byte(out)) {
		t.Error("the schema is not JSON")
	}

	out, _ = f(0, `"agw_live_`, "", "keys", "new", "--id", "acme", "--json")
	var key struct{ Key, SHA256 string }
	if err := json.Unmarshal([]byte(out), &key); err != nil || !apikey.Valid(key.Key) || key.SHA256 != fmt.Sprintf("%x", apikey.Hash(key.Key)) {
		t.Errorf("%s: %v", out, err)
	}
	// The YAML that keys new prints works when pasted.
	out, _ = f(0, "", "", "keys", "new", "--id", "pasted")
	made := strings.SplitN(out, "\n", 2)[0]
	pasted := out[strings.Index(out, "  - id: \"pasted\""):]
	w.write(w.file + strings.Replace(pasted, "PASTED_KLEN_KEY", "E2E_KLEN", 1))
	f(0, "3 keys", "", "config", "check", "--config", w.path)
	p := serve(t, w.env, w.path)
	ask(t, made, "GET", p.api+"/v1/agents", "").wants(t, 200, "")

	w.write(strings.NewReplacer("listen:", "lisen:", "provider: klen", "provider: klein").Replace(w.file))
	_, errs := f(1, "", "the configuration has 3 problems", "config", "check", "--config", w.path)
	for _, want := range []string{"did you mean listen?", "config.yaml:1: ", "config.yaml:2: "} {
		if !strings.Contains(errs, want) {
			t.Errorf("no %q in %s", want, errs)
		}
	}
	f(1, `"ok":false`, "", "config", "check", "--json", "--config", w.path)
}

func TestDemo(t *testing.T) {
	cmd := exec.Command(binary, "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	out := &lines{}
	read := make(chan struct{})
	go func() { out.read(stdout); close(read) }()
	waittest.Until(t, "the demo to explain itself", func() bool { return strings.Contains(out.String(), "Ctrl-C") })

	// Every line that it prints to be pasted works.
	commands := curls(out.String())
	if len(commands) < 4 {
		t.Fatalf("only %d curl lines in\n%s", len(commands), out)
	}
	for _, command := range commands {
		if got := paste(t, command); !strings.Contains(got, `"object":"`) {
			t.Errorf("%s\nanswers %s", command, got)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-read
	if err := cmd.Wait(); err != nil || errs.Len() > 0 {
		t.Errorf("Ctrl-C: %v, %s", err, errs.String())
	}

	// A default port that is taken is replaced, and the demo prints that.
	if busy, err := net.Listen("tcp", "127.0.0.1:8080"); err == nil { // else somebody else keeps it busy
		defer busy.Close()
	}
	second := exec.Command(binary, "demo")
	if stdout, err = second.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Process.Kill() }()
	output := &lines{}
	ended := make(chan struct{})
	go func() { output.read(stdout); close(ended) }()
	waittest.Until(t, "the second demo to explain itself", func() bool { return strings.Contains(output.String(), "Ctrl-C") })
	if !strings.Contains(output.String(), "127.0.0.1:8080 is in use; using a free port instead") {
		t.Errorf("%s", output)
	}
	if got := paste(t, curls(output.String())[0]); !strings.Contains(got, `"object":"list"`) {
		t.Errorf("%s", got)
	}
	_ = second.Process.Signal(os.Interrupt)
	<-ended
	if err := second.Wait(); err != nil {
		t.Errorf("%v", err)
	}
}

// curls returns the curl commands in a text, each with its continuation lines.
func curls(text string) []string {
	var commands []string
	rows := strings.Split(text, "\n")
	for i := 0; i < len(rows); i++ {
		row := strings.TrimSpace(rows[i])
		if !strings.HasPrefix(row, "curl ") {
			continue
		}
		for strings.HasSuffix(row, `\`) && i+1 < len(rows) {
			i++
			row = strings.TrimSuffix(row, `\`) + " " + strings.TrimSpace(rows[i])
		}
		commands = append(commands, row)
	}
	return commands
}

// paste runs a command in a shell.
func paste(t *testing.T, command string) string {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("there is no curl, which CI must have")
		}
		t.Skip("there is no curl on this machine to paste into")
	}
	ctx, cancel := context.WithTimeout(context.Background(), waittest.HangGuard)
	defer cancel()
	out, err := exec.CommandContext(ctx, "sh", "-c", strings.Replace(command, "curl ", "curl -sS ", 1)).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v: %s", command, err, out)
	}
	return string(out)
}
