package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agentgw/agentgw/internal/waittest"
)

// killer kills the process at a stage of a request to a provider.
type killer struct {
	process atomic.Pointer[process]
	left    atomic.Int64 // requests until that one
	at      stage
	killed  atomic.Bool
}

func (k *killer) on(_ string, _ *http.Request, at stage) {
	if at == arrived {
		k.left.Add(-1)
	}
	if k.left.Load() != 0 || at != k.at || !k.killed.CompareAndSwap(false, true) {
		return
	}
	p := k.process.Load()
	_ = p.cmd.Process.Kill()
	p.exited <- <-p.exited // the process is gone before the provider continues
}

// mover does a migration with a process that may end at any time.
type mover struct {
	t      *testing.T
	w      *world
	p      *process
	id     string
	name   string
	target string
}

const movedSource = "krosai:a1b2c3d4-e5f6-7890-abcd-ef1234567890"

func newMover(t *testing.T) *mover {
	t.Helper()
	w := newWorld(t, "timeout: 1h", "breaker: {consecutive: 1000, min_requests: 1000}")
	m := &mover{t: t, w: w, p: serve(t, w.env, w.path), name: "Moved"}
	r := ask(t, w.key, "POST", m.p.api+"/v1/migrations", `{"source": "`+movedSource+`", "target_backend": "talkifai", "architecture": "text", "inputs": {"name": "Moved", "model.id": "gpt-4o"}}`).wants(t, 201, "")
	m.id = r.body["id"].(string)
	return m
}

// once does a step once. The status is 0 if the process is gone.
func (m *mover) once(step string) (status int, body map[string]any) {
	content := "{}"
	if step == "apply" {
		now := m.get()
		accept, _ := json.Marshal(now["losses"])
		content = fmt.Sprintf(`{"plan_hash": %q, "accept": %s}`, now["plan_hash"], accept)
	}
	if step == "rollback and delete" {
		step, content = "rollback", `{"delete_target": true}`
	}
	req, err := http.NewRequest("POST", m.p.api+"/v1/migrations/"+m.id+"/"+step, strings.NewReader(content))
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+m.w.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	if json.NewDecoder(resp.Body).Decode(&body) != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}

func (m *mover) get() map[string]any {
	m.t.Helper()
	return ask(m.t, m.w.key, "GET", m.p.api+"/v1/migrations/"+m.id, "").wants(m.t, 200, "").body
}

// until repeats a step until it succeeds.
func (m *mover) until(step string) map[string]any {
	m.t.Helper()
	var body map[string]any
	var status int
	waittest.Until(m.t, step, func() bool { status, body = m.once(step); return status == 200 })
	if target, ok := body["target"].(string); ok { // null after it was deleted
		m.target = target
	}
	return body
}

// targets counts the agents that the migration created.
func (m *mover) targets() (n int) {
	m.t.Helper()
	r := ask(m.t, m.w.key, "GET", m.p.api+"/v1/agents?backend=talkifai&require=all&limit=1000&q="+m.name, "").wants(m.t, 200, "")
	for _, a := range r.body["data"].([]any) {
		if a.(map[string]any)["name"] == m.name {
			n++
		}
	}
	return n
}

// TestCrash_MigrationStep kills the process at each request that a step sends: before the
// provider handles it, after that, and after the response. Another process with the same store
// then does the step again, and must reach the state that an undisturbed one reaches.
func TestCrash_MigrationStep(t *testing.T) {
	points := atomic.Int64{}
	for _, c := range []struct {
		step   string
		before []string
		state  string
		// change is a new system prompt of the source before the step.
		change string
		check  func(t *testing.T, m *mover, source reply)
	}{
		{"apply", nil, "applied", "", func(t *testing.T, m *mover, source reply) {
			if source.body["id"] != movedSource {
				t.Errorf("the source leads to %v already", source.body["id"])
			}
		}},
		{"cutover", []string{"apply", "verify"}, "cut_over", "Changed meanwhile.", func(t *testing.T, m *mover, source reply) {
			if source.body["status"] != "active" || source.body["system_prompt"] != "Changed meanwhile." {
				t.Errorf("the target is %v, %v", source.body["status"], source.body["system_prompt"])
			}
			// The gateway still knows that it created the target.
			m.until("rollback and delete")
			ask(t, m.w.key, "GET", m.p.api+"/v1/agents/"+m.target, "").wants(t, 404, "agent_not_found")
			if source.body["id"] != m.target || source.body["resolved_from"] != movedSource {
				t.Errorf("the source leads to %v, want %s", source.body["id"], m.target)
			}
		}},
		{"rollback", []string{"apply", "verify", "cutover"}, "rolled_back", "", func(t *testing.T, m *mover, source reply) {
			target := ask(t, m.w.key, "GET", m.p.api+"/v1/agents/"+m.target, "").wants(t, 200, "")
			if source.body["id"] != movedSource || target.body["status"] != "inactive" {
				t.Errorf("the source leads to %v, the target is %v", source.body["id"], target.body["status"])
			}
		}},
		{"rollback and delete", []string{"apply", "verify", "cutover"}, "rolled_back", "", func(t *testing.T, m *mover, source reply) {
			ask(t, m.w.key, "GET", m.p.api+"/v1/agents/"+m.target, "").wants(t, 404, "agent_not_found")
			if source.body["id"] != movedSource {
				t.Errorf("the source leads to %v", source.body["id"])
			}
		}},
	} {
		for _, at := range []stage{arrived, done, answered} {
			t.Run(fmt.Sprintf("%s/%s", c.step, at), func(t *testing.T) {
				t.Parallel()
				for request := int64(1); ; request++ {
					m := newMover(t)
					for _, step := range c.before {
						m.until(step)
					}
					if c.change != "" {
						ask(t, m.w.key, "PATCH", m.p.api+"/v1/agents/"+movedSource, fmt.Sprintf(`{"system_prompt": %q}`, c.change)).wants(t, 200, "")
					}
					k := &killer{at: at}
					k.left.Store(request)
					k.process.Store(m.p)
					on := k.on
					m.w.on.Store(&on)
					m.once(c.step)
					m.w.on.Store(nil)
					if !k.killed.Load() { // the step sends fewer requests
						_ = m.p.cmd.Process.Kill()
						if request == 1 {
							t.Error("it was never killed")
						}
						return
					}
					points.Add(1)
					m.p = serve(t, m.w.env, m.w.path)
					now := m.until(c.step)
					if now["state"] != c.state {
						t.Errorf("request %d: it is %v, want %s", request, now["state"], c.state)
					}
					want := 1
					if c.step == "rollback and delete" {
						want = 0
					}
					if n := m.targets(); n != want {
						t.Errorf("request %d: %d targets, want %d", request, n, want)
					}
					c.check(t, m, ask(t, m.w.key, "GET", m.p.api+"/v1/agents/"+movedSource, "").wants(t, 200, ""))
					if trail := now["trail"].([]any); len(trail) < 3 {
						t.Errorf("request %d: the trail is %v", request, trail)
					}
					_ = m.p.cmd.Process.Kill()
				}
			})
		}
	}
	t.Cleanup(func() { t.Logf("killed at %d points", points.Load()) })
}

// TestCrash_IdempotencyKey tests that another process does not repeat a create that was done,
// or may have been done, by one that was killed.
func TestCrash_IdempotencyKey(t *testing.T) {
	for _, at := range []stage{arrived, done, answered} {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			// The next process may create again when the killed request must be over.
			w.write(strings.Replace(w.file, "shutdown_grace: 10s", "request_timeout: 5s, shutdown_grace: 10s", 1))
			p := serve(t, w.env, w.path)
			k := &killer{at: at}
			k.left.Store(1)
			k.process.Store(p)
			on := k.on
			w.on.Store(&on)
			create := func() (status int, id any, replayed string) {
				req, err := http.NewRequest("POST", p.api+"/v1/agents", strings.NewReader(`{"backend": "krosai", "name": "Once", "system_prompt": "p"}`))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+w.key)
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Idempotency-Key", "once")
				resp, err := client.Do(req)
				if err != nil {
					return 0, nil, ""
				}
				defer resp.Body.Close()
				var body map[string]any
				_ = json.NewDecoder(resp.Body).Decode(&body)
				return resp.StatusCode, body["id"], resp.Header.Get("Idempotency-Replayed")
			}
			if status, _, _ := create(); status != 0 || !k.killed.Load() {
				t.Fatalf("it was not killed: %d", status)
			}
			w.on.Store(nil)
			w.write(w.file)
			p = serve(t, w.env, w.path)
			var id any
			waittest.Until(t, "the create", func() bool {
				status, made, _ := create()
				id = made
				return status == 201
			})
			p.cmd.Process.Kill()
			<-p.exited
			p = serve(t, w.env, w.path) // a third process replays it
			status, again, replayed := create()
			if status != 201 || again != id || replayed != "true" {
				t.Errorf("%d %v %q, want %v", status, again, replayed, id)
			}
			list := ask(t, w.key, "GET", p.api+"/v1/agents?backend=krosai&q=once&require=all", "").wants(t, 200, "")
			if n := len(list.body["data"].([]any)); n != 1 {
				t.Errorf("%d agents", n)
			}
		})
	}
}
