package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/agentgw/agentgw/gateway/apikey"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

// logged returns the lines of the log that have this message, with these values.
func (p *process) logged(message string, values ...string) []map[string]any {
	var found []map[string]any
	for _, line := range strings.Split(p.stderr.String(), "\n") {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) != nil || entry["msg"] != message {
			continue
		}
		matches := true
		for _, v := range values {
			matches = matches && strings.Contains(line, v)
		}
		if matches {
			found = append(found, entry)
		}
	}
	return found
}

// fetch requests a page as a browser does, with a key as the password unless it is empty.
func fetch(t *testing.T, url, key string) *http.Response {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.SetBasicAuth("anyone", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // an event stream would not end
	return resp
}

// TestAdminKeys tests that a listener with keys refuses everything without one but the health
// checks and, if they are open, the metrics; and that it does not start beyond loopback without.
func TestAdminKeys(t *testing.T) {
	w := newWorld(t)
	everywhere := strings.Replace(w.file, `admin: {listen: "127.0.0.1:0"}`, `admin: {listen: "0.0.0.0:0"}`, 1)
	w.write(everywhere)
	for _, command := range []string{"serve", "config"} {
		args := []string{command, "--config", w.path}
		if command == "config" {
			args = []string{command, "check", "--config", w.path}
		}
		if _, errs, code := run(t, w.env, args...); code != 1 || !strings.Contains(errs, `admin.listen: "0.0.0.0:0" is not on loopback, so it needs admin.keys; create one with agentgw keys new --admin --id NAME`) {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
	out, _, _ := run(t, nil, "keys", "new", "--admin", "--id", "ops", "--json")
	var key struct{ Key, SHA256 string }
	if err := json.Unmarshal([]byte(out), &key); err != nil || !strings.HasPrefix(key.Key, "agw_admin_") {
		t.Fatalf("%s: %v", out, err)
	}
	withKey := func(open bool) {
		w.write(strings.Replace(everywhere, `"0.0.0.0:0"}`, fmt.Sprintf(`"0.0.0.0:0", metrics_open: %t, keys: [{id: ops, sha256: %q}, {id: old, sha256: "%x", expires_at: 2020-01-01T00:00:00Z}]}`, open, key.SHA256, apikey.Hash("old")), 1))
	}
	withKey(false)
	p := serve(t, w.env, w.path)
	if p.admin = strings.Replace(p.admin, "[::]", "127.0.0.1", 1); len(p.logged("configuration: is in the past (2020-01-01T00:00:00Z): the key is refused")) != 1 {
		t.Errorf("no warning of the expired key: %s", p.stderr)
	}
	for path, open := range map[string]bool{"/livez": true, "/readyz": true, "/metrics": false, "/console": false, "/": false, "/debug/pprof/": false} {
		want := map[bool]int{true: 200, false: 401}[open]
		if got := fetch(t, p.admin+path, ""); got.StatusCode != want {
			t.Errorf("%s without a key: %d", path, got.StatusCode)
		}
	}
	for _, path := range []string{"/reload", "/cache/purge"} {
		for _, wrong := range []string{"", "old", w.key, key.Key + "x"} {
			if got := ask(t, wrong, "POST", p.admin+path, ""); got.status != 401 || got.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %q: %d", path, wrong, got.status)
			}
		}
		if got := ask(t, key.Key, "POST", p.admin+path, ""); got.status != 200 {
			t.Errorf("%s with the key: %d %s", path, got.status, got.text)
		}
	}
	if got := fetch(t, p.admin+"/console", key.Key); got.StatusCode != 200 {
		t.Errorf("the console with the key as a password: %d", got.StatusCode)
	}
	ask(t, key.Key, "GET", p.api+"/v1/agents", "").wants(t, 401, "unauthenticated")
	for _, operation := range []string{"reload", "cache.purge"} {
		waittest.Until(t, "the audit line of "+operation, func() bool {
			return len(p.logged("audit", `"admin_key_id":"ops"`, `"operation":"`+operation+`"`, `"client":"127.0.0.1"`)) == 1
		})
	}
	withKey(true)
	waittest.Until(t, "open metrics", func() bool { return ask(t, "", "GET", p.admin+"/metrics", "").status == 200 })
	if got := ask(t, "", "POST", p.admin+"/reload", ""); got.status != 401 {
		t.Errorf("open metrics open more: %d", got.status)
	}
}

// TestAudit tests that each write is one line, with who did what to which agent, and no value.
func TestAudit(t *testing.T) {
	w := newWorld(t)
	p := serve(t, w.env, w.path)
	agents := p.api + "/v1/agents"
	created := ask(t, w.key, "POST", agents, `{"backend": "krosai", "name": "Desk", "system_prompt": "TheSecretPrompt", "extensions": {}}`).wants(t, 201, "")
	id := created.body["id"].(string)
	ask(t, w.key, "PATCH", agents+"/"+id, `{"name": "Renamed", "system_prompt": "TheSecretPrompt"}`).wants(t, 200, "")
	ask(t, w.key, "PATCH", agents+"/"+id+"?dry_run=true", `{"name": "Never"}`).wants(t, 200, "")
	ask(t, w.key, "PATCH", agents+"/klen:123", `{"name": "Refused"}`).wants(t, 501, "operation_unsupported")
	ask(t, w.second, "DELETE", agents+"/"+id, "").wants(t, 403, "scope_missing")
	ask(t, w.key, "PUT", p.api+"/v1/aliases/night-desk", `{"target": "`+id+`"}`).wants(t, 201, "")
	ask(t, w.key, "DELETE", p.api+"/v1/aliases/night-desk", "").wants(t, 204, "")
	plan := ask(t, w.key, "POST", p.api+"/v1/migrations", `{"source": "`+id+`", "target_backend": "talkifai", "architecture": "text", "inputs": {"model.id": "gpt-4o"}}`).wants(t, 201, "")
	ask(t, w.key, "DELETE", agents+"/"+id, "").wants(t, 204, "")
	ask(t, w.key, "GET", agents+"/"+id, "").wants(t, 404, "agent_not_found")
	ask(t, "nonsense", "DELETE", agents+"/"+id, "").wants(t, 401, "unauthenticated")

	quoted := `"agent_id":"` + id + `"`
	for _, want := range [][]string{
		{`"operation":"agents.create"`, `"key_id":"first"`, `"backend":"krosai"`, quoted, `"fields":"/name /system_prompt"`, `"result":"ok"`, `"status":201`, `"client":"127.0.0.1"`, `"request_id":"` + created.header.Get("X-Request-Id") + `"`},
		{`"operation":"agents.update"`, quoted, `"fields":"/name /system_prompt"`, `"result":"ok"`},
		{`"operation":"agents.update"`, `"backend":"klen"`, `"subject":"klen:123"`, `"fields":"/name"`, `"result":"operation_unsupported"`},
		{`"operation":"agents.delete"`, `"key_id":"second"`, `"result":"scope_missing"`},
		{`"operation":"agents.delete"`, `"key_id":"first"`, quoted, `"backend":"krosai"`, `"result":"ok"`},
		{`"operation":"aliases.put"`, `"subject":"night-desk"`, quoted, `"result":"ok"`},
		{`"operation":"aliases.delete"`, `"subject":"night-desk"`, `"result":"ok"`},
		{`"operation":"migrations.plan"`, `"subject":"` + plan.body["id"].(string) + `"`, quoted, `"result":"ok"`},
	} {
		waittest.Until(t, strings.Join(want, " "), func() bool { return len(p.logged("audit", want...)) == 1 })
	}
	if n := len(p.logged("audit")); n != 8 {
		t.Errorf("%d audit lines, want 8: a dry run and a request without a valid key change nothing", n)
	}
	if strings.Contains(p.stderr.String(), "TheSecretPrompt") || strings.Contains(p.stderr.String(), "Renamed") {
		t.Error("the log has values")
	}
	waittest.Until(t, "the agent, the backend and the client in the access line of the delete", func() bool {
		return len(p.logged("request", `"method":"DELETE"`, `"status":204`, quoted, `"backend":"krosai"`, `"client":"127.0.0.1"`)) == 1
	})
	waittest.Until(t, "the reason in the access line of a refused key", func() bool {
		return len(p.logged("request", `"status":401`, `"auth_failure":"malformed"`)) == 1
	})
}

// TestStart_SaysWhatIsServed tests the line at the start, the index pages, and that a second signal ends the
// process at once.
func TestStart_SaysWhatIsServed(t *testing.T) {
	w := newWorld(t)
	p := serve(t, w.env, w.path)
	if got := p.logged("listening", `"config":"`+w.path+`"`, `"backends":"`, "krosai", `"keys":2`, `"admin_keys":0`, "store.db"); len(got) != 1 {
		t.Errorf("%s", p.stderr)
	}
	if got := p.logged("a new, empty store was created; if there was one before, check store.url, and that its volume is mounted", "store.db"); len(got) != 1 {
		t.Errorf("no warning of the new store: %s", p.stderr)
	}
	if got := ask(t, "", "GET", p.api+"/", ""); got.status != 200 || got.body["docs"] != "docs" {
		t.Errorf("%d %s", got.status, got.text)
	}
	if got := fetch(t, p.admin+"/", ""); got.StatusCode != 200 || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}

	klen := w.vendors["klen"].Control()
	hang := make(chan struct{})
	defer close(hang)
	klen.Fail(sandbox.Fault{Change: func(body []byte) []byte { <-hang; return body }})
	go func() { _, _ = http.Get(p.api + "/v1/agents?backend=klen") }()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, "the drain to begin", func() bool {
		return len(p.logged("draining; a second signal ends the process at once")) == 1
	})
	if got := ask(t, "", "GET", p.api+"/readyz", ""); got.status != 503 && got.status != 0 {
		t.Errorf("/readyz while draining: %d", got.status)
	}
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := waittest.Receive(t, "the process to end", p.exited)
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); err == nil || !ok || status.Signal() != syscall.SIGINT {
		t.Errorf("ended with %v", err)
	}
}

// TestStore_CannotBeOpened tests that a store whose path is wrong stops the start, and does not
// count as an empty one.
func TestStore_CannotBeOpened(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(folder, "none", "x.db"), filepath.Join(folder, "file", "x.db"), folder} {
		w.write(strings.Replace(w.file, w.file[strings.Index(w.file, "sqlite:"):strings.Index(w.file, `"}`+"\nbackends")], "sqlite:"+path, 1))
		if _, errs, code := run(t, w.env, "serve", "--config", w.path); code != 1 || !strings.Contains(errs, "store.url: ") || !strings.Contains(errs, path) {
			t.Errorf("%s: exit %d: %s", path, code, errs)
		}
	}
}

// TestStore_SecondProcess tests that a second process on one SQLite file says so at its start.
func TestStore_SecondProcess(t *testing.T) {
	w := newWorld(t)
	first := serve(t, w.env, w.path)
	second := serve(t, w.env, w.path)
	if got := second.logged("another process writes the store's file; until it ends, this instance only reads it, and refuses what needs a write. Several instances need PostgreSQL", fmt.Sprintf(`"process":"%d"`, first.cmd.Process.Pid)); len(got) != 1 {
		t.Errorf("%s", second.stderr)
	}
	if got := first.logged("another process writes"); len(got) != 0 {
		t.Error("the first process says so, too")
	}
}

// TestConfigInit tests that the program brings its own beginning, and never overwrites a file.
func TestConfigInit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new.yaml")
	out, errs, code := run(t, nil, "config", "init", "--config", path)
	if code != 0 || !strings.Contains(out, "agentgw keys new --id NAME") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if out, errs, code = run(t, nil, "config", "check", "--config", path); code != 0 || !strings.Contains(out, "no key is configured") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code = run(t, nil, "config", "init", "--config", path); code != 1 || !strings.Contains(errs, "exists already; nothing was changed") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "mine" {
		t.Errorf("the file was changed: %s, %v", data, err)
	}
	if _, errs, code = run(t, nil, "serve", "--config", path+"x"); code != 1 || !strings.Contains(errs, "agentgw config init") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// TestHealthcheck tests the command for containers against a running gateway.
func TestHealthcheck(t *testing.T) {
	w := newWorld(t)
	p := serve(t, w.env, w.path)
	if out, errs, code := run(t, nil, "healthcheck", "--url", p.api+"/readyz"); code != 0 || out != "ready\n" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	for _, probes := range []bool{true, false} {
		address, file := strings.TrimPrefix(p.api, "http://"), "server: {listen: %q}"
		if !probes {
			address, file = strings.TrimPrefix(p.admin, "http://"), "server: {probes: false}\nadmin: {listen: %q}"
		}
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, fmt.Appendf(nil, file+"\nbackends: {klen: {provider: klen, base_url: \"https://api.klen.ai/api/v1\"}}\n", address), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, errs, code := run(t, nil, "healthcheck", "--config", path); code != 0 || out != "ready\n" {
			t.Errorf("probes %t: exit %d: %s%s", probes, code, out, errs)
		}
	}
	if _, errs, code := run(t, nil, "healthcheck", "--url", p.api+"/none"); code != 1 || !strings.Contains(errs, "answers 404") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if _, errs, code := run(t, nil, "healthcheck", "--url", "http://127.0.0.1:1/readyz"); code != 1 || !strings.Contains(errs, "not ready") {
		t.Errorf("exit %d: %s", code, errs)
	}
	off := newWorld(t)
	off.write(strings.Replace(off.file, "shutdown_grace: 10s", "shutdown_grace: 10s, probes: false", 1))
	q := serve(t, off.env, off.path)
	if got := ask(t, "", "GET", q.api+"/readyz", ""); got.status != 404 {
		t.Errorf("probes: false: %d", got.status)
	}
}

// TestDemo_Everywhere tests that the demo can listen for a container's port, and warns of it; its
// console, which needs no key, cannot.
func TestDemo_Everywhere(t *testing.T) {
	cmd := exec.Command(binary, "demo", "--listen", "0.0.0.0:0", "--admin", "127.0.0.1:0")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	out := &lines{}
	go out.read(stdout)
	waittest.Until(t, "the demo to explain itself", func() bool { return strings.Contains(out.String(), "Ctrl-C") })
	if !strings.Contains(out.String(), "WARNING: 0.0.0.0:0 is not on loopback") {
		t.Errorf("%s", out)
	}
	if _, errs, code := run(t, nil, "demo", "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0"); code != 2 || !strings.Contains(errs, "on loopback only") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
