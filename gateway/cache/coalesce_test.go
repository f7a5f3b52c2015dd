package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/normalize"
)

func TestEqualReadsShareOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		_, endpoint := cached(t, seconds(10, 0, 0), func(_ context.Context, c backend.Call) (backend.Result, error) {
			asked.Add(1)
			time.Sleep(time.Second)
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
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
		_, endpoint := cached(t, seconds(10, 0, 0), func(ctx context.Context, _ backend.Call) (backend.Result, error) {
			select {
			case <-time.After(3 * time.Second):
				return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
			case <-ctx.Done():
				return backend.Result{}, &normalize.Error{Kind: normalize.KindDeadline}
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
			if result, err := endpoint(context.Background(), list("k")); err != nil || result.Cache != backend.CacheCoalesced {
				t.Errorf("who joined: %q, %v", result.Cache, err)
			}
		})
		wg.Wait()
	})
}

// TestBackgroundLeavesWhenTold: it may have all the time, and yet be told to end.
func TestBackgroundLeavesWhenTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, endpoint := cached(t, seconds(10, 0, 0), func(context.Context, backend.Call) (backend.Result, error) {
			time.Sleep(2 * time.Second)
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		ctx, cancel := context.WithTimeout(backend.WithBackgroundPriority(context.Background()), time.Minute)
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
		c, endpoint := cached(t, seconds(10, 0, 0), func(_ context.Context, c backend.Call) (backend.Result, error) {
			time.Sleep(time.Second)
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
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

// TestPanicHarmsOnlyWhoBeganTheRead: those who joined it ask again, together.
func TestPanicHarmsOnlyWhoBeganTheRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		_, endpoint := cached(t, seconds(10, 0, 0), func(context.Context, backend.Call) (backend.Result, error) {
			n := asked.Add(1)
			time.Sleep(time.Second)
			if n == 1 {
				panic("once")
			}
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
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
	fresh.NoCache = true
	for name, c := range map[string]struct {
		between func(c *Cache, endpoint backend.Endpoint)
		second  backend.Call
		want    int32
	}{
		"joined": {func(*Cache, backend.Endpoint) {}, list("k"), 1},
		"fresh":  {func(*Cache, backend.Endpoint) {}, fresh, 2},
		"write": {func(_ *Cache, endpoint backend.Endpoint) {
			write := list("k")
			write.Op, write.NativeID = adapters.OpUpdate, "1"
			_, _ = endpoint(context.Background(), write)
		}, list("k"), 2},
		"purge": {func(c *Cache, _ backend.Endpoint) { c.Purge(func(*backend.Tenant) bool { return true }) }, list("k"), 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int32
			cache, endpoint := cached(t, seconds(10, 0, 0), func(_ context.Context, call backend.Call) (backend.Result, error) {
				if call.Op != adapters.OpList {
					return backend.Result{}, nil
				}
				asked.Add(1)
				time.Sleep(time.Second)
				return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
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
	_, endpoint := cached(t, seconds(10, 0, 0), func(context.Context, backend.Call) (backend.Result, error) {
		asked = true
		return backend.Result{}, nil
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
			_, endpoint := cached(t, seconds(20, 100, 200), func(ctx context.Context, _ backend.Call) (backend.Result, error) {
				if n := asked.Add(1); n > 1 && !backend.HasBackgroundPriority(ctx) {
					t.Error("a refresh is not marked as one")
				}
				snapshot := &catalog.Snapshot{}
				switch {
				case interrupted.Load():
					snapshot.Partial, snapshot.Interrupted = failure, true
				case failing.Load() && failure.Kind == normalize.KindInternal:
					panic("in a refresh")
				case failing.Load():
					return backend.Result{}, failure
				}
				return backend.Result{Snapshot: snapshot, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
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
