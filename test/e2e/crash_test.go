package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// killer ends the process with SIGKILL when the vendors get so many requests.
type killer struct {
	process atomic.Pointer[process]
	left    atomic.Int64 // requests until then
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
	p.exited <- <-p.exited // it is gone before the vendor goes on
}

// mover goes through a migration, with a process that may end at any time.
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
	w := newWorld(t, "timeout: 400ms", "breaker: {consecutive: 1000, min_requests: 1000}")
	m := &mover{t: t, w: w, p: serve(t, w.env, w.path), name: "Moved"}
	r := ask(t, w.key, "POST", m.p.api+"/v1/migrations", `{"source": "`+movedSource+`", "target_backend": "talkifai", "architecture": "text", "inputs": {"name": "Moved", "model.id": "gpt-4o"}}`).wants(t, 201, "")
	m.id = r.body["id"].(string)
	return m
}

// once does a step, whatever comes of it; status 0: the process is gone.
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

// until does a step again until it is done.
func (m *mover) until(step string) map[string]any {
	m.t.Helper()
	var body map[string]any
	var status int
	waitFor(m.t, step, func() bool { status, body = m.once(step); return status == 200 })
	m.target, _ = body["target"].(string)
	return body
}

// targets counts the agents that were made, as the vendor has them.
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

// TestKilledAtEveryStep kills the process at each request that a step sends, before the
// vendor does it, after it did, and after it answered. Another process, with the same
// store, does the step again and ends where one that was not killed would.
func TestKilledAtEveryStep(t *testing.T) {
	points := atomic.Int64{}
	for _, c := range []struct {
		step   string
		before []string
		state  string
		// change is what is done to the source before the step.
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
			// It is known for ours still, whenever the process ended.
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
					if !k.killed.Load() { // there is no such request any more
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

// TestAKeySurvivesTheProcess: a create that was done, or may have been, is not done again
// by the next process.
func TestAKeySurvivesTheProcess(t *testing.T) {
	for _, at := range []stage{arrived, done, answered} {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "timeout: 400ms")
			w.write(strings.Replace(w.file, "shutdown_grace: 10s", "request_timeout: 1s, shutdown_grace: 10s", 1))
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
			p = serve(t, w.env, w.path)
			var id any
			waitFor(t, "the create", func() bool {
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
