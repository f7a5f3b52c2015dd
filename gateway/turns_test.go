package gateway

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

// slowWrites makes a provider take its time for each write, so that concurrent ones overlap.
func (b *bench) slowWrites(vendor string) {
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		b.vendors[vendor].Control().Fail(sandbox.Fault{Method: method, Delay: 20 * time.Millisecond})
	}
}

// TestTurns_EveryMergeStays: of concurrent merges into one object of an agent, each that
// succeeded is in it. Only AgentHuman has an object that is merged; at the others a patch changes
// the members that it names, and concurrent patches of different fields all stay.
func TestTurns_EveryMergeStays(t *testing.T) {
	t.Parallel()
	patches := map[string]func(i int) (patch, path string, want any){
		"agenthuman": func(i int) (string, string, any) {
			return fmt.Sprintf(`{"extensions": {"properties": {"m%d": %[1]d}}}`, i), fmt.Sprint("extensions.properties.m", i), float64(i)
		},
		"krosai":   fieldOf("name", "description", "language", "system_prompt"),
		"talkifai": fieldOf("name", "language", "system_prompt"),
	}
	for vendor, body := range newAgents {
		t.Run(vendor, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "")
			path := b.ask(keyAcme, "POST", "/v1/agents", fmt.Sprintf(body, "First")).wants(t, 201, "").Header.Get("Location")
			b.slowWrites(vendor)
			var wg sync.WaitGroup
			for i := range 16 {
				wg.Go(func() {
					patch, _, _ := patches[vendor](i)
					b.ask(keyAcme, "PATCH", path, patch).wants(t, 200, "")
				})
			}
			wg.Wait()
			agent := b.get(path, "Cache-Control: no-cache").wants(t, 200, "")
			for i := range 16 {
				if _, at, want := patches[vendor](i); agent.at(at) != want {
					t.Errorf("%s is %v, want %v", at, agent.at(at), want)
				}
			}
		})
	}
}

// fieldOf returns patches of one field each; those of the same field are equal.
func fieldOf(fields ...string) func(int) (string, string, any) {
	return func(i int) (string, string, any) {
		field := fields[i%len(fields)]
		return fmt.Sprintf(`{%q: "new %s"}`, field, field), field, "new " + field
	}
}

// TestTurns_OneIfMatchWins: of concurrent updates, or updates and deletes, with the same If-Match
// exactly one is done.
func TestTurns_OneIfMatchWins(t *testing.T) {
	t.Parallel()
	for vendor, body := range newAgents {
		for _, deletes := range []int{0, 8} {
			t.Run(fmt.Sprint(vendor, " with ", deletes, " deletes"), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, "")
				created := b.ask(keyAcme, "POST", "/v1/agents", fmt.Sprintf(body, "First")).wants(t, 201, "")
				path, tag := created.Header.Get("Location"), created.Header.Get("ETag")
				b.slowWrites(vendor)
				var wg sync.WaitGroup
				var won, lost atomic.Int32
				for i := range 16 {
					wg.Go(func() {
						method, patch := "PATCH", fmt.Sprintf(`{"name": "Number %d"}`, i)
						if i < deletes {
							method, patch = "DELETE", ""
						}
						switch got := b.ask(keyAcme, method, path, patch, "If-Match: "+tag); got.StatusCode {
						case 200, 204:
							won.Add(1)
						case 412, 404:
							lost.Add(1)
						default:
							t.Errorf("%d: %s", got.StatusCode, got.text)
						}
					})
				}
				wg.Wait()
				if won.Load() != 1 || lost.Load() != 15 {
					t.Errorf("%d won, %d lost", won.Load(), lost.Load())
				}
			})
		}
	}
}

// TestTurns_OtherAccountsDoNotWait: a write that hangs keeps only writes to the same agent of
// the same account waiting.
func TestTurns_OtherAccountsDoNotWait(t *testing.T) {
	t.Parallel()
	b := tenantsBench(t)
	const agent = "/v1/agents/krosai:11"
	arrived, release := make(chan struct{}), make(chan struct{})
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Method: "PUT", Times: 1, Change: func(body []byte) []byte {
		close(arrived)
		<-release
		return body
	}})
	var finished atomic.Int32 // writes of the account whose write hangs
	var wg sync.WaitGroup
	write := func(key, name string) {
		b.ask(key, "PATCH", agent, fmt.Sprintf(`{"name": "canary-one-%s"}`, name)).wants(t, 200, "")
		finished.Add(1)
	}
	wg.Go(func() { write("alpha", "x") })
	<-arrived
	wg.Go(func() { write("beta", "y") }) // another key of the same account
	waittest.Until(t, "the second write", func() bool { return b.inFlight() == 2 })
	b.ask("gamma", "PATCH", agent, `{"name": "canary-two-x"}`).wants(t, 200, "")
	if n := finished.Load(); n != 0 {
		t.Errorf("%d writes did not wait", n)
	}
	close(release)
	wg.Wait()
}

// TestReadBack_OldStateIsNotKept: a provider that shows the old agent for a while after a
// write does not make the gateway show it for as long as its cache lasts.
func TestReadBack_OldStateIsNotKept(t *testing.T) {
	t.Parallel()
	b := newBench(t, "cache: {ttl: 1h}")
	path := b.ask(keyAcme, "POST", "/v1/agents", `{"backend": "krosai", "name": "n", "language": "en"}`).wants(t, 201, "").Header.Get("Location")
	b.get(path)
	old := b.get(path + "?include=raw").at("raw.detail")
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Method: "GET", Times: 1, Status: 200, Body: string(agents.MustMarshal(old))})
	got := b.ask(keyAcme, "PATCH", path, `{"language": "fr"}`).wants(t, 200, "")
	if got.at("warnings.0.code") != "not_persisted" {
		t.Errorf("warnings %v", got.body["warnings"])
	}
	if language := b.get(path).body["language"]; language != "fr" {
		t.Errorf("the language is %v", language)
	}
}

// TestDelete_AnyAnswer: any 2xx to a delete is done, unless it says success:false.
func TestDelete_AnyAnswer(t *testing.T) {
	t.Parallel()
	for vendor, body := range newAgents {
		b := newBench(t, "")
		for _, text := range []string{"OK", "<p>deleted</p>", "true", "", `{"success":true}`} {
			path := b.ask(keyAcme, "POST", "/v1/agents", fmt.Sprintf(body, "First")).wants(t, 201, "").Header.Get("Location")
			b.vendors[vendor].Control().Fail(sandbox.Fault{Method: "DELETE", Times: 1, Status: 200, Body: text, Header: map[string]string{"Content-Type": "text/html"}})
			b.ask(keyAcme, "DELETE", path, "").wants(t, 204, "")
		}
		path := b.ask(keyAcme, "POST", "/v1/agents", fmt.Sprintf(body, "First")).wants(t, 201, "").Header.Get("Location")
		b.vendors[vendor].Control().Fail(sandbox.Fault{Method: "DELETE", Status: 200, Body: `{"success":false}`})
		if got := b.ask(keyAcme, "DELETE", path, ""); got.StatusCode < 500 {
			t.Errorf("%s: %d", vendor, got.StatusCode)
		}
	}
}
