package gateway

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/agentgw/agentgw/internal/waittest"
	"github.com/agentgw/agentgw/sandbox"
)

// reload applies the configuration of the bench with these edits, see load.
func (b *bench) reload(edits ...string) {
	b.t.Helper()
	c, err := b.load(edits...)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.gateway.Reload(c); err != nil {
		b.t.Fatal(err)
	}
}

func TestReload_RemovedKeyIsRejectedAndItsEntriesDropped(t *testing.T) {
	b := newBench(t, "")
	b.ask(keyKlen, "GET", "/v1/agents", "").wants(t, 200, "")
	b.get("/v1/agents").wants(t, 200, "")
	before := cachedEntries(b.gateway)
	i := strings.Index(b.file, "  - id: "+keyKlen)
	j := strings.Index(b.file, "  - id: "+keyRead)
	b.reload(b.file[i:j], "")
	b.ask(keyKlen, "GET", "/v1/agents", "").wants(t, 401, "unauthenticated")
	if n := cachedEntries(b.gateway); n != before-1 {
		t.Errorf("%d entries, before %d", n, before)
	}
	klen := b.requests("klen")
	b.get("/v1/agents").wants(t, 200, "")
	if b.requests("klen") != klen {
		t.Error("the reload dropped entries of other keys")
	}
	b.reload() // the key is back
	b.ask(keyKlen, "GET", "/v1/agents", "").wants(t, 200, "")
}

func TestReload_KeepsBreakerUnlessReconfigured(t *testing.T) {
	b := newBench(t, "breaker: {consecutive: 1, open_for: 1h}\ncache: {ttl: 0s, stale_if_error: 0s, stale_while_revalidate: 0s}")
	b.vendors["klen"].Control().Fail(sandbox.Fault{Status: 500})
	b.get("/v1/agents/klen:123").wants(t, 502, "upstream_error")
	b.reload("request_timeout: 2m", "request_timeout: 60s")
	if got := b.get("/v1/backends/klen").at("breaker.state"); got != "open" {
		t.Errorf("the breaker is %v", got)
	}
	b.reload("open_for: 1h", "open_for: 2h")
	if got := b.get("/v1/backends/klen").at("breaker.state"); got != "closed" {
		t.Errorf("the new breaker is %v", got)
	}
}

func TestReload_KeepsQuotaUsage(t *testing.T) {
	b := newBench(t, "quota: {requests: 3, per: 1h}\ncache: {ttl: 0s, stale_while_revalidate: 0s, stale_if_error: 0s}")
	for range 3 {
		b.get("/v1/agents?backend=klen").wants(t, 200, "")
	}
	b.reload("ttl: 0s", "ttl: 1s")
	b.get("/v1/agents?backend=klen").wants(t, 429, "upstream_rate_limited")
	b.reload("requests: 3", "requests: 4")
	b.get("/v1/agents?backend=klen").wants(t, 200, "")
	b.get("/v1/agents?backend=klen", "Cache-Control: no-cache").wants(t, 429, "upstream_rate_limited")
	// Removing the key and adding it again does not reset the quota.
	i := strings.Index(b.file, "keys:")
	b.reload("requests: 3", "requests: 4", b.file[i:], "keys: []")
	b.reload("requests: 3", "requests: 4")
	b.get("/v1/agents?backend=klen", "Cache-Control: no-cache").wants(t, 429, "upstream_rate_limited")
}

// Requests that run under the old configuration still hold their slots under the new one.
func TestReload_KeepsConcurrencySlots(t *testing.T) {
	b := newBench(t, "max_concurrent: 1\ntimeout: 60s")
	release := make(chan struct{})
	b.vendors["krosai"].Control().Fail(sandbox.Fault{Times: 1, Change: func(body []byte) []byte { <-release; return body }})
	done := make(chan reply)
	go func() { done <- b.get("/v1/agents?backend=krosai") }()
	waittest.Until(t, "the first request to arrive", func() bool { return b.requests("krosai") == 1 })
	b.reload("timeout: 60s", "timeout: 50s")
	b.get(krosaiAgent).wants(t, 503, "upstream_unavailable")
	b.reload("timeout: 60s", "timeout: 50s", "max_concurrent: 1", "max_concurrent: 2", b.file[strings.Index(b.file, "  - id: "+keyKlen):strings.Index(b.file, "  - id: "+keyRead)], "")
	b.get(krosaiAgent).wants(t, 200, "")
	close(release)
	(<-done).wants(t, 200, "")
}

// Nothing cached of the old address is served for a new one.
func TestReload_NewAddressIsNotServedFromCache(t *testing.T) {
	b := newBench(t, "")
	b.get("/v1/agents?backend=klen").wants(t, 200, "")
	before := b.requests("klen")
	b.reload("/api/v1\n", "/api/v1/\n")
	b.get("/v1/agents?backend=klen").wants(t, 200, "")
	if n := b.requests("klen"); n != before+1 {
		t.Errorf("%d requests", n-before)
	}
}

func TestReload_UsesRotatedCredential(t *testing.T) {
	b := newBench(t, "")
	b.get("/v1/agents?backend=klen").wants(t, 200, "")
	b.env["ACME_KLEN"] = "canary-rotated"
	b.vendors["klen"].Seed("canary-rotated")
	b.reload()
	if got := len(b.get("/v1/agents?backend=klen").wants(t, 200, "").ids()); got != 0 {
		t.Errorf("%d agents of the old credential", got)
	}
}

func TestReload_KeepsCursorsValid(t *testing.T) {
	b := newBench(t, "")
	cursor := b.get("/v1/agents?limit=1").body["next_cursor"].(string)
	b.reload("request_timeout: 2m", "request_timeout: 60s")
	b.get("/v1/agents?cursor="+cursor).wants(t, 200, "")
}

// No request fails while the configuration is replaced.
func TestReload_LosesNoRequest(t *testing.T) {
	b := newBench(t, "max_concurrent: 64")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					req, _ := http.NewRequest("GET", b.url+"/v1/agents?require=all", nil) // the URL is the bench's
					req.Header.Set("X-API-Key", b.keys[keyAcme])
					resp, err := client.Do(req)
					if err != nil {
						t.Errorf("a request was lost: %v", err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode != 200 {
						t.Errorf("status %d", resp.StatusCode)
					}
				}
			}
		})
	}
	for i := range 50 {
		if i%2 == 0 {
			b.reload("max_concurrent: 64", "max_concurrent: 63", "    provider: klen\n", "    provider: klen\n    timeout: 4s\n")
		} else {
			b.reload()
		}
	}
	close(stop)
	wg.Wait()
}

// cachedEntries returns the number of entries in the cache.
func cachedEntries(g *Gateway) int64 {
	n, _ := g.cache.Size()
	return n
}
