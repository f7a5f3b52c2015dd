package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

// A thousand concurrent misses of two keys of one credential send one request, also if the
// caller that started it leaves.
func TestCoalesce_ConcurrentMissesSendOneRequest(t *testing.T) {
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
		waittest.Until(t, "the first request to arrive", func() bool { return len(krosai.Requests()) == 1 })
		var wg sync.WaitGroup
		var correct atomic.Int32
		for i := range 1000 {
			key := []string{keyAcme, keyRead}[i%2] // two keys of one credential
			wg.Go(func() {
				if r := b.ask(key, "GET", path, ""); r.StatusCode == 200 && strings.Contains(r.text, "Product Expert") {
					correct.Add(1)
				}
			})
		}
		waittest.Until(t, "all requests to wait, including the first", func() bool { return b.inFlight() == 1001 })
		leave()
		if err := <-first; err == nil {
			t.Error("the first request did not end")
		}
		close(release)
		wg.Wait()
		if n := len(krosai.Requests()); n != want || correct.Load() != 1000 {
			t.Errorf("%s: %d calls, %d correct responses of 1000", path, n, correct.Load())
		}
		krosai.Heal()
		waittest.Until(t, "the first request to end in the gateway, too", func() bool { return b.inFlight() == 0 })
	}
	// A request that reached the cache after the result was stored is a hit.
	page := b.metrics()
	var shared, hits int
	for _, m := range []struct {
		name string
		n    *int
	}{{`agentgw_coalesced_requests_total{backend="krosai"} `, &shared}, {`agentgw_cache_requests_total{backend="krosai",result="hit"} `, &hits}} {
		if _, after, ok := strings.Cut(page, m.name); ok {
			if _, err := fmt.Sscan(after, m.n); err != nil {
				t.Error(err)
			}
		}
	}
	if shared == 0 || shared+hits != 2000 {
		t.Errorf("%d shared and %d hits, of 2000", shared, hits)
	}
}
