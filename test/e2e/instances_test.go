package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agentgw/agentgw/internal/pgtest"
	"github.com/agentgw/agentgw/internal/waittest"
)

// TestInstances_ShareAStore tests that idempotency keys, aliases and migrations hold at every
// instance, and that a client that writes at one and reads at another during a cutover reads
// what it wrote.
func TestInstances_ShareAStore(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	w := newWorld(t)
	file := strings.Split(w.file, "\n")
	for i, line := range file {
		if strings.HasPrefix(line, "store:") {
			file[i] = "store: {url: env:STORE_URL}"
		}
	}
	w.write(strings.Join(file, "\n"))
	w.env = append(w.env, "STORE_URL="+server.Database(t))
	one, two := serve(t, w.env, w.path), serve(t, w.env, w.path)

	// Idempotency keys are shared.
	once := func(p *process) reply {
		return ask(t, w.key, "POST", p.api+"/v1/agents", `{"backend": "krosai", "name": "Once"}`, "Idempotency-Key: shared").wants(t, 201, "")
	}
	if first, again := once(one), once(two); again.body["id"] != first.body["id"] || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%v at one, %v at the other", first.body["id"], again.body["id"])
	}
	// Aliases are shared.
	ask(t, w.key, "PUT", one.api+"/v1/aliases/support-bot", `{"target": "`+movedSource+`"}`).wants(t, 201, "")
	waittest.Until(t, "the alias at the other instance", func() bool {
		return ask(t, w.key, "GET", two.api+"/v1/agents/support-bot", "").status == 200
	})
	ask(t, w.key, "PUT", two.api+"/v1/aliases/support-bot", `{"target": "`+movedSource+`"}`).wants(t, 200, "")
	ask(t, w.key, "PUT", two.api+"/v1/aliases/support-bot", `{"target": "krosai:b2c3d4e5-f6a7-8901-bcde-fa2345678901"}`).wants(t, 409, "alias_conflict")

	m := &mover{t: t, w: w, p: one, name: "Moved"}
	m.id = ask(t, w.key, "POST", one.api+"/v1/migrations", `{"source": "`+movedSource+`", "target_backend": "talkifai", "architecture": "text", "inputs": {"model.id": "gpt-4o"}}`).wants(t, 201, "").body["id"].(string)
	m.until("apply")
	m.p = two
	m.until("verify")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var moved, wrong atomic.Int64
	for i, at := range [][2]string{{one.api, two.api}, {two.api, one.api}, {two.api, two.api}} {
		field := []string{"name", "system_prompt", "language"}[i]
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				value := fmt.Sprintf("%s %d", field, n)
				patched := ask(t, w.key, "PATCH", at[0]+"/v1/agents/support-bot", fmt.Sprintf(`{%q: %q}`, field, value))
				// Another instance may serve a cached agent; with no-cache it must not.
				read := ask(t, w.key, "GET", at[1]+"/v1/agents/"+movedSource, "", "Cache-Control: no-cache")
				if patched.status != 200 || read.status != 200 || read.body[field] != value {
					if wrong.Add(1) == 1 {
						t.Errorf("%d, %d: wrote %q, reads %v of %v", patched.status, read.status, value, read.body[field], read.body["id"])
					}
				}
				if read.body["id"] != movedSource {
					moved.Add(1)
				}
			}
		})
	}
	m.p = one
	m.until("cutover")
	waittest.Until(t, "clients to be at the target", func() bool { return moved.Load() > 10 })
	close(stop)
	wg.Wait()
	if wrong.Load() > 0 {
		t.Errorf("%d were wrong", wrong.Load())
	}

	// While the database is down, reads work.
	server.Stop(t)
	for _, p := range []*process{one, two} {
		if r := ask(t, w.key, "GET", p.api+"/v1/agents/support-bot", "").wants(t, 200, ""); r.body["id"] == movedSource {
			t.Errorf("it leads to %v again", r.body["id"])
		}
		ask(t, w.key, "PUT", p.api+"/v1/aliases/other", `{"target": "klen:123"}`).wants(t, 503, "store_unavailable")
		ask(t, w.key, "POST", p.api+"/v1/migrations/"+m.id+"/rollback", `{}`).wants(t, 503, "store_unavailable")
	}
	server.Run(t)
	m.until("rollback")
	for _, p := range []*process{one, two} {
		if r := ask(t, w.key, "GET", p.api+"/v1/agents/support-bot", "").wants(t, 200, ""); r.body["id"] != movedSource {
			t.Errorf("it leads to %v still", r.body["id"])
		}
	}
}
