package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/normalize"
	"github.com/agentgw/agentgw/sandbox"
)

func TestEqualReadsShareOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		_, endpoint := cached(t, seconds(10, 0, 0), func(_ context.Context, c Call) (Result, error) {
			asked.Add(1)
			time.Sleep(time.Second)
			return Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: CacheMiss}, nil
		})
		// The first caller leaves; that harms none of the others.
		leaving, leave := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := endpoint(leaving, list("k")); normalize.KindOf(err) != normalize.KindCanceled {
				t.Errorf("who left got %v", err)
			}
		})
		synctest.Wait()
		for range 1000 {
			wg.Go(func() {
				if _, err := endpoint(context.Background(), list("k")); err != nil {
					t.Errorf("%v", err)
				}
			})
		}
		wg.Go(func() { _, _ = endpoint(context.Background(), list("other")) })
		synctest.Wait()
		leave()
		wg.Wait()
		if n := asked.Load(); n != 2 {
			t.Errorf("two credentials asked %d times", n)
		}
	})
}

// TestWhoJoinsHasItsOwnTime: a caller in a hurry who began a read takes no
// time from one who joins it.
func TestWhoJoinsHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, endpoint := cached(t, seconds(10, 0, 0), func(ctx context.Context, _ Call) (Result, error) {
			select {
			case <-time.After(3 * time.Second):
				return Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: CacheMiss}, nil
			case <-ctx.Done():
				return Result{}, &normalize.Error{Kind: normalize.KindDeadline}
			}
		})
		hurried, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := endpoint(hurried, list("k")); normalize.KindOf(err) != normalize.KindDeadline {
				t.Errorf("in a hurry: %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if result, err := endpoint(context.Background(), list("k")); err != nil || result.Cache != CacheCoalesced {
				t.Errorf("who joined: %q, %v", result.Cache, err)
			}
		})
		wg.Wait()
	})
}

// TestBackgroundLeavesWhenTold: it may have all the time, and yet be told to end.
func TestBackgroundLeavesWhenTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, endpoint := cached(t, seconds(10, 0, 0), func(context.Context, Call) (Result, error) {
			time.Sleep(2 * time.Second)
			return Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: CacheMiss}, nil
		})
		ctx, cancel := context.WithTimeout(behind(context.Background()), time.Minute)
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		if _, err := endpoint(ctx, list("k")); normalize.KindOf(err) != normalize.KindCanceled || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		time.Sleep(2 * time.Second) // the read ends by itself
	})
}

func TestReadThatBeganBeforeAWriteIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, endpoint := cached(t, seconds(10, 0, 0), func(_ context.Context, c Call) (Result, error) {
			time.Sleep(time.Second)
			return Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: CacheMiss}, nil
		})
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = endpoint(context.Background(), list("k")) })
		synctest.Wait()
		write := list("k")
		write.Op, write.NativeID = adapters.OpUpdate, "1"
		wg.Go(func() { _, _ = endpoint(context.Background(), write) })
		wg.Wait()
		if n := entries(c); n != 0 {
			t.Errorf("%d entries", n)
		}
	})
}

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

// TestPanicHarmsOnlyWhoBeganTheRead: those who joined it ask again, together.
func TestPanicHarmsOnlyWhoBeganTheRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		_, endpoint := cached(t, seconds(10, 0, 0), func(context.Context, Call) (Result, error) {
			n := asked.Add(1)
			time.Sleep(time.Second)
			if n == 1 {
				panic("once")
			}
			return Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: CacheMiss}, nil
		})
		var failed atomic.Int32
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if _, err := endpoint(context.Background(), list("k")); err != nil {
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		if asked.Load() != 2 || failed.Load() != 1 {
			t.Errorf("asked %d times, %d failed", asked.Load(), failed.Load())
		}
	})
}

// TestFlightsOfTheirOwn: a read after a write, a purge, or with no-cache does not
// join one that began before.
func TestFlightsOfTheirOwn(t *testing.T) {
	fresh := list("k")
	fresh.Fresh = true
	for name, c := range map[string]struct {
		between func(c *cache, endpoint Endpoint)
		second  Call
		want    int32
	}{
		"joined": {func(*cache, Endpoint) {}, list("k"), 1},
		"fresh":  {func(*cache, Endpoint) {}, fresh, 2},
		"write": {func(_ *cache, endpoint Endpoint) {
			write := list("k")
			write.Op, write.NativeID = adapters.OpUpdate, "1"
			_, _ = endpoint(context.Background(), write)
		}, list("k"), 2},
		"purge": {func(c *cache, _ Endpoint) { c.purge(func(*principal) bool { return true }) }, list("k"), 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int32
			cache, endpoint := cached(t, seconds(10, 0, 0), func(_ context.Context, call Call) (Result, error) {
				if call.Op != adapters.OpList {
					return Result{}, nil
				}
				asked.Add(1)
				time.Sleep(time.Second)
				return Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: CacheMiss}, nil
			})
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = endpoint(context.Background(), list("k")) })
			synctest.Wait()
			c.between(cache, endpoint)
			wg.Go(func() { _, _ = endpoint(context.Background(), c.second) })
			wg.Wait()
			if n := asked.Load(); n != c.want {
				t.Errorf("%s: asked %d times, want %d", name, n, c.want)
			}
		})
	}
}

// TestNobodyLeftAsksForNothing: a read whose caller has left does not begin.
func TestNobodyLeftAsksForNothing(t *testing.T) {
	asked := false
	_, endpoint := cached(t, seconds(10, 0, 0), func(context.Context, Call) (Result, error) {
		asked = true
		return Result{}, nil
	})
	left, leave := context.WithCancel(context.Background())
	leave()
	if _, err := endpoint(left, list("k")); normalize.KindOf(err) != normalize.KindCanceled || asked {
		t.Errorf("%v, asked %v", err, asked)
	}
}

// TestFailedRefreshIsNotBegunAnew by each one who asks: what is served is left
// alone for a while, or for as long as the backend asks.
func TestFailedRefreshIsNotBegunAnew(t *testing.T) {
	for _, failure := range []*normalize.Error{
		{Kind: normalize.KindUpstream}, {Kind: normalize.KindRateLimited, RetryAfter: 15 * time.Second},
		{Kind: normalize.KindRedirect}, {Kind: normalize.KindRejected}, {Kind: normalize.KindTooLarge}, {Kind: normalize.KindInternal},
	} {
		pause := max(failure.RetryAfter, 2*time.Second) // a tenth of the ttl
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int32
			var failing atomic.Bool
			var interrupted atomic.Bool
			_, endpoint := cached(t, seconds(20, 100, 200), func(ctx context.Context, _ Call) (Result, error) {
				if n := asked.Add(1); n > 1 && !isBehind(ctx) {
					t.Error("a refresh is not marked as one")
				}
				snapshot := &catalog.Snapshot{}
				switch {
				case interrupted.Load():
					snapshot.Partial, snapshot.Interrupted = failure, true
				case failing.Load() && failure.Kind == normalize.KindInternal:
					panic("in a refresh")
				case failing.Load():
					return Result{}, failure
				}
				return Result{Snapshot: snapshot, Fetched: time.Now(), Cache: CacheMiss}, nil
			})
			ask := func(want int32) {
				t.Helper()
				for range 10 {
					if result, err := endpoint(context.Background(), list("k")); err != nil || result.Stale != nil {
						t.Fatalf("%v %v", err, result.Stale)
					}
					synctest.Wait()
				}
				if got := asked.Load(); got != want {
					t.Errorf("asked %d times, want %d", got, want)
				}
			}
			ask(1)
			failing.Store(true)
			time.Sleep(23 * time.Second)
			ask(2)
			time.Sleep(pause - time.Millisecond)
			ask(2)
			time.Sleep(2 * time.Millisecond)
			interrupted.Store(true) // a part of it is no refresh either
			ask(3)
			time.Sleep(pause + time.Millisecond)
			failing.Store(false)
			interrupted.Store(false)
			ask(4)
			time.Sleep(10 * time.Second)
			ask(4) // it is fresh again
		})
	}
}
