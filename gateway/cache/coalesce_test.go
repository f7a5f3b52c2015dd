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

func TestCoalesce_EqualReadsShareOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int32
		_, endpoint := newTestCache(t, seconds(10, 0, 0), func(_ context.Context, c backend.Call) (backend.Result, error) {
			requests.Add(1)
			time.Sleep(time.Second)
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		// The first caller leaves; the others still get their result.
		leaving, leave := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := endpoint(leaving, list("k")); normalize.KindOf(err) != normalize.KindCanceled {
				t.Errorf("the caller that left got %v", err)
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
		if n := requests.Load(); n != 2 {
			t.Errorf("%d requests of two credentials", n)
		}
	})
}

// A short deadline of the caller that started a fetch does not end it for one that joined.
func TestCoalesce_CallersKeepTheirOwnDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, endpoint := newTestCache(t, seconds(10, 0, 0), func(ctx context.Context, _ backend.Call) (backend.Result, error) {
			select {
			case <-time.After(3 * time.Second):
				return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
			case <-ctx.Done():
				return backend.Result{}, &normalize.Error{Kind: normalize.KindDeadline}
			}
		})
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := endpoint(short, list("k")); normalize.KindOf(err) != normalize.KindDeadline {
				t.Errorf("with the short deadline: %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if result, err := endpoint(context.Background(), list("k")); err != nil || result.Cache != backend.CacheCoalesced {
				t.Errorf("the caller that joined: %q, %v", result.Cache, err)
			}
		})
		wg.Wait()
	})
}

// A caller with background priority stops waiting when its context is canceled.
func TestCoalesce_BackgroundCallerCanBeCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, endpoint := newTestCache(t, seconds(10, 0, 0), func(context.Context, backend.Call) (backend.Result, error) {
			time.Sleep(2 * time.Second)
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		ctx, cancel := context.WithTimeout(backend.WithBackgroundPriority(context.Background()), time.Minute)
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		if _, err := endpoint(ctx, list("k")); normalize.KindOf(err) != normalize.KindCanceled || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		time.Sleep(2 * time.Second) // the fetch continues until it ends
	})
}

func TestCache_ReadBegunBeforeWriteIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, endpoint := newTestCache(t, seconds(10, 0, 0), func(_ context.Context, c backend.Call) (backend.Result, error) {
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

// After a panic only the caller that started the fetch fails; the others share a second fetch.
func TestCoalesce_PanicFailsOnlyTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int32
		_, endpoint := newTestCache(t, seconds(10, 0, 0), func(context.Context, backend.Call) (backend.Result, error) {
			n := requests.Add(1)
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
		if requests.Load() != 2 || failed.Load() != 1 {
			t.Errorf("%d requests, %d callers failed", requests.Load(), failed.Load())
		}
	})
}

// A read after a write or a purge, or with no-cache, does not share a fetch that began before.
func TestCoalesce_NewFetchAfterInvalidation(t *testing.T) {
	noCache := list("k")
	noCache.NoCache = true
	for name, c := range map[string]struct {
		between func(c *Cache, endpoint backend.Endpoint)
		second  backend.Call
		want    int32
	}{
		"shared":   {func(*Cache, backend.Endpoint) {}, list("k"), 1},
		"no-cache": {func(*Cache, backend.Endpoint) {}, noCache, 2},
		"write": {func(_ *Cache, endpoint backend.Endpoint) {
			write := list("k")
			write.Op, write.NativeID = adapters.OpUpdate, "1"
			_, _ = endpoint(context.Background(), write)
		}, list("k"), 2},
		"purge": {func(c *Cache, _ backend.Endpoint) { c.Purge(func(*backend.Tenant) bool { return true }) }, list("k"), 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			var requests atomic.Int32
			cache, endpoint := newTestCache(t, seconds(10, 0, 0), func(_ context.Context, call backend.Call) (backend.Result, error) {
				if call.Op != adapters.OpList {
					return backend.Result{}, nil
				}
				requests.Add(1)
				time.Sleep(time.Second)
				return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
			})
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = endpoint(context.Background(), list("k")) })
			synctest.Wait()
			c.between(cache, endpoint)
			wg.Go(func() { _, _ = endpoint(context.Background(), c.second) })
			wg.Wait()
			if n := requests.Load(); n != c.want {
				t.Errorf("%s: %d requests, want %d", name, n, c.want)
			}
		})
	}
}

// A read whose context has already ended sends no request.
func TestCache_CanceledReadSendsNoRequest(t *testing.T) {
	sent := false
	_, endpoint := newTestCache(t, seconds(10, 0, 0), func(context.Context, backend.Call) (backend.Result, error) {
		sent = true
		return backend.Result{}, nil
	})
	left, leave := context.WithCancel(context.Background())
	leave()
	if _, err := endpoint(left, list("k")); normalize.KindOf(err) != normalize.KindCanceled || sent {
		t.Errorf("%v, request sent: %v", err, sent)
	}
}

// After a failed refresh the next one waits: for a tenth of the ttl, or for Retry-After.
func TestCache_FailedRefreshIsPostponed(t *testing.T) {
	for _, failure := range []*normalize.Error{
		{Kind: normalize.KindUpstream}, {Kind: normalize.KindRateLimited, RetryAfter: 15 * time.Second},
		{Kind: normalize.KindRedirect}, {Kind: normalize.KindRejected}, {Kind: normalize.KindTooLarge}, {Kind: normalize.KindInternal},
	} {
		delay := max(failure.RetryAfter, 2*time.Second) // a tenth of the ttl
		synctest.Test(t, func(t *testing.T) {
			var requests atomic.Int32
			var failing atomic.Bool
			var interrupted atomic.Bool
			_, endpoint := newTestCache(t, seconds(20, 100, 200), func(ctx context.Context, _ backend.Call) (backend.Result, error) {
				if n := requests.Add(1); n > 1 && !backend.HasBackgroundPriority(ctx) {
					t.Error("a refresh has no background priority")
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
			read := func(want int32) {
				t.Helper()
				for range 10 {
					if result, err := endpoint(context.Background(), list("k")); err != nil || result.Stale != nil {
						t.Fatalf("%v %v", err, result.Stale)
					}
					synctest.Wait()
				}
				if got := requests.Load(); got != want {
					t.Errorf("%d requests, want %d", got, want)
				}
			}
			read(1)
			failing.Store(true)
			time.Sleep(23 * time.Second)
			read(2)
			time.Sleep(delay - time.Millisecond)
			read(2)
			time.Sleep(2 * time.Millisecond)
			interrupted.Store(true) // an interrupted list fails the refresh, too
			read(3)
			time.Sleep(delay + time.Millisecond)
			failing.Store(false)
			interrupted.Store(false)
			read(4)
			time.Sleep(10 * time.Second)
			read(4) // it is fresh again
		})
	}
}
