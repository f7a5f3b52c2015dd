package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agentgw/agentgw/sandbox"
)

// TestThousandMissesMakeOneCall: of a list and of a get; while the first caller
// leaves, and another tenant asks at the same time.
func TestThousandMissesMakeOneCall(t *testing.T) {
	b := newBench(t, "max_concurrent: 4")
	krosai := b.vendors["krosai"].Control()
	for path, want := range map[string]int{"/v1/agents?backend=krosai": 1, krosaiAgent: 1} {
		b.gateway.Purge("", "")
		krosai.Forget()
		release := make(chan struct{})
		krosai.Fail(sandbox.Fault{Change: func(body []byte) []byte { <-release; return body }})
		ctx, leave := context.WithCancel(context.Background())
		first := make(chan error, 1)
		go func() {
			req, _ := http.NewRequestWithContext(ctx, "GET", b.url+path, nil)
			req.Header.Set("Authorization", "Bearer "+b.keys[keyAcme])
			_, err := client.Do(req)
			first <- err
		}()
		waitFor(t, "the first to ask", func() bool { return len(krosai.Requests()) == 1 })
		var wg sync.WaitGroup
		var right atomic.Int32
		for i := range 1000 {
			key := []string{keyAcme, keyRead}[i%2] // two keys of one credential
			wg.Go(func() {
				if r := b.ask(key, "GET", path, ""); r.StatusCode == 200 && strings.Contains(r.text, "Product Expert") {
					right.Add(1)
				}
			})
		}
		waitFor(t, "all to wait, the first among them", func() bool { return b.inFlight() == 1001 })
		leave()
		if err := <-first; err == nil {
			t.Error("the first did not leave")
		}
		close(release)
		wg.Wait()
		if n := len(krosai.Requests()); n != want || right.Load() != 1000 {
			t.Errorf("%s: %d calls, %d right answers of 1000", path, n, right.Load())
		}
		krosai.Heal()
		waitFor(t, "the first one's request to end, too", func() bool { return b.inFlight() == 0 })
	}
	// Who was let in, but had not asked yet when the answer came, finds it kept.
	page := b.metrics()
	var shared, found int
	for _, m := range []struct {
		name string
		n    *int
	}{{`agentgw_coalesced_requests_total{backend="krosai"} `, &shared}, {`agentgw_cache_requests_total{backend="krosai",result="hit"} `, &found}} {
		if _, after, ok := strings.Cut(page, m.name); ok {
			if _, err := fmt.Sscan(after, m.n); err != nil {
				t.Error(err)
			}
		}
	}
	if shared == 0 || shared+found != 2000 {
		t.Errorf("%d shared and %d found kept, of 2000", shared, found)
	}
}
