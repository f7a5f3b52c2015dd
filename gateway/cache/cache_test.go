package cache

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// cached is a cache before a backend that the test plays.
func cached(t *testing.T, ages config.BackendCache, next backend.Endpoint) (*Cache, backend.Endpoint) {
	t.Helper()
	return cachedOf(t, playedBackend(t, ages), next)
}

// playedBackend returns a backend whose endpoint the test plays.
func playedBackend(t *testing.T, ages config.BackendCache) *backend.Backend {
	t.Helper()
	tel, err := telemetry.New(context.Background(), telemetry.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	none := func(*backend.Backend) backend.Middleware {
		return func(next backend.Endpoint) backend.Endpoint { return next }
	}
	provider := adapters.Provider{Info: &adapters.Info{Provider: "p"}, New: func(adapters.Settings) adapters.Adapter { return nil }}
	return backend.New(backend.Options{Log: slog.New(slog.DiscardHandler), Telemetry: tel, Cache: none}, provider, config.ResolvedBackend{
		Name: "b", BaseURL: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, Backend: config.Backend{Cache: ages, MaxConcurrent: 1},
	}, nil)
}

func cachedOf(t *testing.T, b *backend.Backend, next backend.Endpoint) (*Cache, backend.Endpoint) {
	t.Helper()
	tel, err := telemetry.New(context.Background(), telemetry.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c := New(tel, journal.New(time.Now))
	c.entries.limit(3, 1<<20)
	return c, c.Middleware(b, func() time.Duration { return 5 * time.Second }, tel)(next)
}

func entries(c *Cache) int64 {
	n, _ := c.entries.size()
	return n
}

func list(key string) backend.Call {
	return backend.Call{Op: adapters.OpList, Credential: adapters.NewCredential(secret.New(key))}
}

func seconds(ttl, revalidate, ifError int) config.BackendCache {
	s := func(n int) config.Duration { return config.Duration(time.Duration(n) * time.Second) }
	return config.BackendCache{TTL: s(ttl), StaleWhileRevalidate: s(revalidate), StaleIfError: s(ifError)}
}

// TestAges walks an entry through its life on a clock of its own.
func TestAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		var failure atomic.Pointer[normalize.Error]
		_, endpoint := cached(t, seconds(10, 20, 100), func(context.Context, backend.Call) (backend.Result, error) {
			asked.Add(1)
			if f := failure.Load(); f != nil {
				return backend.Result{}, f
			}
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		step := func(wait time.Duration, wantAsked int32, wantCache backend.CacheStatus, wantKind string) {
			t.Helper()
			time.Sleep(wait)
			result, err := endpoint(context.Background(), list("k"))
			synctest.Wait()
			kind := ""
			if err != nil {
				kind = normalize.KindOf(err).String()
			}
			if asked.Load() != wantAsked || result.Cache != wantCache || kind != wantKind {
				t.Errorf("after %s: asked %d, %q %q, want %d, %q %q", wait, asked.Load(), result.Cache, kind, wantAsked, wantCache, wantKind)
			}
		}
		step(0, 1, backend.CacheMiss, "")
		step(5*time.Second, 1, backend.CacheHit, "")
		step(8*time.Second, 2, backend.CacheHit, "") // served, and refreshed behind
		step(1*time.Second, 2, backend.CacheHit, "")
		step(40*time.Second, 3, backend.CacheMiss, "") // too old to be served unasked
		failure.Store(&normalize.Error{Kind: normalize.KindUpstream})
		step(5*time.Second, 3, backend.CacheHit, "")
		step(40*time.Second, 4, backend.CacheStale, "")
		failure.Store(&normalize.Error{Kind: normalize.KindTooLarge})
		step(1*time.Second, 5, "", "too_large")
		failure.Store(&normalize.Error{Kind: normalize.KindUpstream})
		step(1*time.Second, 6, backend.CacheStale, "")
		failure.Store(&normalize.Error{Kind: normalize.KindAuth})
		step(1*time.Second, 7, "", "auth")
		failure.Store(&normalize.Error{Kind: normalize.KindUpstream})
		step(1*time.Second, 8, "", "upstream")
	})
}

// TestRefreshBehindVoidsToo: what a 401, 403 or 404 says counts also where
// nobody waits for the answer.
func TestRefreshBehindVoidsToo(t *testing.T) {
	for _, kind := range []normalize.Kind{normalize.KindNotFound, normalize.KindAuth} {
		synctest.Test(t, func(t *testing.T) {
			var failing atomic.Bool
			c, endpoint := cached(t, seconds(10, 100, 1000), func(_ context.Context, call backend.Call) (backend.Result, error) {
				if failing.Load() && call.Op == adapters.OpList {
					return backend.Result{}, &normalize.Error{Kind: kind}
				}
				return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
			})
			detail := list("k")
			detail.Op, detail.NativeID = adapters.OpGet, "1"
			for _, call := range []backend.Call{list("k"), detail, list("other")} {
				if _, err := endpoint(context.Background(), call); err != nil {
					t.Fatal(err)
				}
			}
			failing.Store(true)
			time.Sleep(20 * time.Second)
			if _, err := endpoint(context.Background(), list("k")); err != nil {
				t.Errorf("%v", err) // served, and refreshed behind
			}
			synctest.Wait()
			// A credential that is refused voids all that was seen with it.
			want := map[normalize.Kind]int64{normalize.KindNotFound: 2, normalize.KindAuth: 1}[kind]
			if n := entries(c); n != want {
				t.Errorf("%s: %d entries are left, want %d", kind, n, want)
			}
			if _, err := endpoint(context.Background(), list("k")); normalize.KindOf(err) != kind {
				t.Errorf("%s: %v", kind, err)
			}
		})
	}
}

// TestRefusedCredentialCostsOthersNothing: what a 401 voids is its own.
func TestRefusedCredentialCostsOthersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := list("dead").Credential.ID()
		var asked atomic.Int32
		c, endpoint := cached(t, seconds(10, 0, 0), func(_ context.Context, call backend.Call) (backend.Result, error) {
			if call.Credential.ID() == dead {
				return backend.Result{}, &normalize.Error{Kind: normalize.KindAuth}
			}
			asked.Add(1)
			time.Sleep(time.Second)
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = endpoint(context.Background(), list("good")) })
		synctest.Wait()
		if _, err := endpoint(context.Background(), list("dead")); normalize.KindOf(err) != normalize.KindAuth {
			t.Errorf("%v", err)
		}
		wg.Go(func() { _, _ = endpoint(context.Background(), list("good")) })
		wg.Wait()
		if n := asked.Load(); n != 1 || entries(c) != 1 {
			t.Errorf("asked %d times, %d entries", n, entries(c))
		}
	})
}

// TestFailedWriteKeepsWhatItDidNotChange: above all what stands in while a
// backend is away.
func TestFailedWriteKeepsWhatItDidNotChange(t *testing.T) {
	for kind, kept := range map[normalize.Kind]bool{
		normalize.KindConnect: true, normalize.KindTLS: true, normalize.KindConnectTimeout: true, normalize.KindExpired: true, normalize.KindRateLimited: true,
		normalize.KindUnavailable: true, normalize.KindRejected: true, normalize.KindBreakerOpen: true, normalize.KindBusy: true, normalize.KindUnsupported: true,
		normalize.KindTimeout: false, normalize.KindReset: false, normalize.KindUpstream: false, normalize.KindNotFound: false, normalize.KindAuth: false, normalize.KindInternal: false,
	} {
		c, endpoint := cached(t, seconds(10, 0, 100), func(_ context.Context, call backend.Call) (backend.Result, error) {
			if call.Op == adapters.OpUpdate {
				return backend.Result{}, &normalize.Error{Kind: kind}
			}
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		write := list("k")
		write.Op, write.NativeID = adapters.OpUpdate, "1"
		for _, call := range []backend.Call{list("k"), write} {
			_, _ = endpoint(context.Background(), call)
		}
		if got := entries(c) == 1; got != kept {
			t.Errorf("%s: kept %v", kind, got)
		}
	}
}

// TestOlderWholeGoesBeforeAPart: and a list that is odd by itself does not.
func TestOlderWholeGoesBeforeAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		snapshot := &catalog.Snapshot{}
		_, endpoint := cached(t, seconds(10, 0, 1000), func(context.Context, backend.Call) (backend.Result, error) {
			return backend.Result{Snapshot: snapshot, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		f := func(next *catalog.Snapshot, want backend.CacheStatus) {
			t.Helper()
			snapshot = next
			time.Sleep(20 * time.Second)
			if result, err := endpoint(context.Background(), list("k")); err != nil || result.Cache != want {
				t.Errorf("%q, %v, want %q", result.Cache, err, want)
			}
		}
		f(&catalog.Snapshot{}, backend.CacheMiss)
		f(&catalog.Snapshot{Partial: &normalize.Error{Kind: normalize.KindUnavailable}, Interrupted: true}, backend.CacheStale)
		f(&catalog.Snapshot{Partial: &normalize.Error{Kind: normalize.KindBadResponse}}, backend.CacheMiss)
		f(&catalog.Snapshot{}, backend.CacheMiss)
	})
}

// TestWhatNoKeySeesIsNotKept: not even by a read that began while one did.
func TestWhatNoKeySeesIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := playedBackend(t, seconds(10, 0, 0))
		c, endpoint := cachedOf(t, b, func(context.Context, backend.Call) (backend.Result, error) {
			time.Sleep(time.Second)
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = endpoint(context.Background(), list("gone")) })
		wg.Go(func() { _, _ = endpoint(context.Background(), list("kept")) })
		synctest.Wait()
		c.Retain(map[*backend.Tenant]bool{b.Tenant(list("kept").Credential): true})
		wg.Wait()
		if n := entries(c); n != 1 {
			t.Errorf("%d entries", n)
		}
	})
}

func TestTTLOfZeroIsNeverServedUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, endpoint := cached(t, seconds(0, 300, 300), func(context.Context, backend.Call) (backend.Result, error) {
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		for range 3 {
			if result, err := endpoint(context.Background(), list("k")); err != nil || result.Cache != backend.CacheMiss {
				t.Errorf("%q, %v", result.Cache, err)
			}
			time.Sleep(time.Second)
		}
	})
}

// TestFullCacheLetsGoOfWhatIsNotServed: entries that are only kept for the case
// of a failure make room, the oldest first.
func TestFullCacheLetsGoOfWhatIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := playedBackend(t, seconds(10, 0, 10_000))
		c, endpoint := cachedOf(t, b, func(context.Context, backend.Call) (backend.Result, error) {
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		for i := range 4 {
			_, _ = endpoint(context.Background(), list(fmt.Sprint(i)))
			time.Sleep(6 * time.Second)
		}
		if n := entries(c); n != 3 {
			t.Errorf("%d entries", n)
		}
		if _, ok := c.entries.get(cacheKey(b.Tenant(list("3").Credential), adapters.OpList, "")); !ok {
			t.Error("the newest was refused while old ones are kept")
		}
		if _, ok := c.entries.get(cacheKey(b.Tenant(list("0").Credential), adapters.OpList, "")); ok {
			t.Error("the oldest is still there")
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, endpoint := cached(t, seconds(10, 0, 0), func(context.Context, backend.Call) (backend.Result, error) {
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		for i := range 10 {
			if _, err := endpoint(context.Background(), list(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		if n := entries(c); n != 3 {
			t.Errorf("%d entries, the bound is 3", n)
		}
		time.Sleep(time.Minute) // on the test's clock: all three expire
		if _, err := endpoint(context.Background(), list("new")); err != nil {
			t.Fatal(err)
		}
		if n := entries(c); n != 1 {
			t.Errorf("%d entries after all expired and one came", n)
		}
	})
}

// TestInterruptedListsAreNotKept: and those that are odd by themselves are, or
// each request would walk them again.
func TestInterruptedListsAreNotKept(t *testing.T) {
	for interrupted, want := range map[bool]int64{true: 0, false: 1} {
		c, endpoint := cached(t, seconds(10, 0, 0), func(context.Context, backend.Call) (backend.Result, error) {
			return backend.Result{Snapshot: &catalog.Snapshot{Partial: &normalize.Error{}, Interrupted: interrupted}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		if _, err := endpoint(context.Background(), list("k")); err != nil || entries(c) != want {
			t.Errorf("interrupted %v: %v, %d entries", interrupted, err, entries(c))
		}
	}
}

func TestCacheKeysNeverMeet(t *testing.T) {
	seen := map[string]string{}
	for i := range 3 {
		backend := playedBackend(t, config.BackendCache{}) // the same name, after a reload
		for _, credential := range []string{"b", "bc", ""} {
			for _, id := range []string{"", "c", "list"} {
				for _, op := range []adapters.Operation{adapters.OpList, adapters.OpGet} {
					fields := strings.Join([]string{strconv.Itoa(i), credential, id, string(op)}, "|")
					key := cacheKey(backend.Tenant(list(credential).Credential), op, id)
					if other, taken := seen[key]; taken {
						t.Errorf("%s and %s share a key", fields, other)
					}
					seen[key] = fields
				}
			}
		}
	}
}
