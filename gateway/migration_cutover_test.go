package gateway

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agentgw/agentgw/internal/waittest"
)

func TestCutover_TransfersSourceChanges(t *testing.T) {
	b := newBench(t, "")
	b.put("support-bot", krosAgent, 0).wants(t, 201, "")
	m := b.inState(toTalkifai, "verified")
	b.ask(keyAcme, "PATCH", "/v1/agents/"+krosAgent, `{"system_prompt": "As of today."}`).wants(t, 200, "")
	if m.step("verify", "").wants(t, 200, ""); m.body["verification"].(map[string]any)["source_changed"] != true {
		t.Errorf("%s", m.text)
	}
	m.step("cutover", "{}").wants(t, 200, "")
	for _, name := range []string{krosAgent, "support-bot"} {
		if r := b.get("/v1/agents/" + name); r.body["id"] != m.target() || r.body["system_prompt"] != "As of today." {
			t.Errorf("%s", r.text)
		}
	}
	b.ask(keyAcme, "PATCH", "/v1/agents/support-bot", `{"name": "At its new home"}`).wants(t, 200, "")
	m.step("rollback", `{"delete_target": true}`).wants(t, 409, "target_diverged")
	m.step("rollback", `{}`).wants(t, 200, "")
	if !strings.Contains(m.text, `"not_carried_back"`) {
		t.Errorf("no warning about the changes that are lost: %s", m.text)
	}
	for _, name := range []string{krosAgent, "support-bot"} {
		if r := b.get("/v1/agents/" + name); r.body["id"] != krosAgent {
			t.Errorf("%s", r.text)
		}
	}
}

func TestCutover_RefusesDivergedTarget(t *testing.T) {
	b := newBench(t, "")
	m := b.inState(toTalkifai, "verified")
	b.ask(keyAcme, "PATCH", "/v1/agents/"+m.target(), `{"language": "de"}`).wants(t, 200, "")
	target := m.target()
	m.step("cutover", "{}").wants(t, 409, "target_diverged")
	b.ask(keyAcme, "PATCH", "/v1/agents/"+krosAgent, `{"system_prompt": "Newer."}`).wants(t, 200, "")
	m.step("cutover", "{}").wants(t, 409, "target_diverged")
	m.step("rollback", `{"delete_target": true}`).wants(t, 409, "target_diverged")
	if r := b.get("/v1/agents/"+target).wants(t, 200, ""); r.body["language"] != "de" {
		t.Errorf("%s", r.text)
	}
	if r := b.get("/v1/agents/" + krosAgent); r.body["id"] != krosAgent {
		t.Errorf("%s", r.text)
	}
}

// TestCutover_ConcurrentWrites: a client that reads and patches by the old id during cutover
// and rollback gets no error, and reads nothing older than what it wrote.
func TestCutover_ConcurrentWrites(t *testing.T) {
	b := newBench(t, "")
	m := b.inState(toTalkifai, "verified")
	const clients = 4
	var rollingBack atomic.Bool
	fields := []string{"name", "system_prompt", "language", "voice.id"}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failures []string
	count := map[string]int{}
	fail := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		failures = append(failures, fmt.Sprintf(format, args...))
	}
	for i := range clients {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				value := fmt.Sprintf("%s of %d", fields[i], n)
				body := fmt.Sprintf(`{%q: %q}`, fields[i], value)
				of := func(r reply) any { return r.body[fields[i]] }
				if group, leaf, nested := strings.Cut(fields[i], "."); nested {
					value = "voice_123"
					if n%2 == 1 {
						value = "voice_xyz"
					}
					body = fmt.Sprintf(`{%q: {%q: %q}}`, group, leaf, value)
					of = func(r reply) any { return r.body[group].(map[string]any)[leaf] }
				}
				if nested := strings.Contains(fields[i], "."); nested {
					// The values of this field are mapped, so only the status is checked.
					if r := b.get("/v1/agents/" + krosAgent); r.StatusCode != 200 {
						fail("read: %d %s", r.StatusCode, r.text)
					}
					continue
				}
				patched := b.ask(keyAcme, "PATCH", "/v1/agents/"+krosAgent, body)
				read := b.get("/v1/agents/" + krosAgent)
				if patched.StatusCode != 200 || read.StatusCode != 200 {
					fail("%d, then %d: %s %s", patched.StatusCode, read.StatusCode, patched.text, read.text)
					continue
				}
				// A write just before the rollback is at the target only, which the rollback warns of.
				if (of(patched) != value || of(read) != value) && !rollingBack.Load() {
					fail("%s: wrote %q, the response has %q, and a read %q from %v", fields[i], value, of(patched), of(read), read.body["id"])
				}
				mu.Lock()
				count[read.body["id"].(string)]++
				mu.Unlock()
			}
		})
	}
	seen := func(id string, n int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return count[id] >= n }
	}
	waittest.Until(t, "writes to the source", seen(krosAgent, 20))
	m.step("cutover", "{}").wants(t, 200, "")
	target := m.target()
	waittest.Until(t, "writes to the target", seen(target, 20))
	mu.Lock()
	if len(failures) > 0 {
		t.Errorf("%d failures: %v", len(failures), failures[0])
	}
	failures = nil
	before := count[krosAgent]
	mu.Unlock()
	rollingBack.Store(true)
	m.step("rollback", "{}").wants(t, 200, "")
	waittest.Until(t, "writes to the source again", func() bool { return seen(krosAgent, before+20)() })
	close(stop)
	wg.Wait()
	if len(failures) > 0 {
		t.Errorf("rolled back: %d failures: %v", len(failures), failures[0])
	}
}
