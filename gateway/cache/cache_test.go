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

// newTestCache returns a cache and the endpoint that it makes of next.
func newTestCache(t *testing.T, c config.BackendCache, next backend.Endpoint) (*Cache, backend.Endpoint) {
	t.Helper()
	return newTestCacheFor(t, newTestBackend(t, c), next)
}

// newTestBackend returns a backend that sends no request.
func newTestBackend(t *testing.T, c config.BackendCache) *backend.Backend {
	t.Helper()
	tel, err := telemetry.New(context.Background(), telemetry.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	noCache := func(*backend.Backend) backend.Middleware {
		return func(next backend.Endpoint) backend.Endpoint { return next }
	}
	provider := adapters.Provider{Info: &adapters.Info{Provider: "p"}, New: func(adapters.Settings) adapters.Adapter { return nil }}
	return backend.New(backend.Options{Log: slog.New(slog.DiscardHandler), Telemetry: tel, Cache: noCache}, provider, config.ResolvedBackend{
		Name: "b", BaseURL: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, Backend: config.Backend{Cache: c, MaxConcurrent: 1},
	}, nil)
}

// newTestCacheFor is newTestCache for a given backend. The cache has room for three entries.
func newTestCacheFor(t *testing.T, b *backend.Backend, next backend.Endpoint) (*Cache, backend.Endpoint) {
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

// An entry is fresh, then served while it is refreshed, then served in place of failures that
// allow it, and dropped by failures that do not.
func TestCache_EntryLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int32
		var failure atomic.Pointer[normalize.Error]
		_, endpoint := newTestCache(t, seconds(10, 20, 100), func(context.Context, backend.Call) (backend.Result, error) {
			requests.Add(1)
			if f := failure.Load(); f != nil {
				return backend.Result{}, f
			}
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		step := func(wait time.Duration, wantRequests int32, wantCache backend.CacheStatus, wantKind string) {
			t.Helper()
			time.Sleep(wait)
			result, err := endpoint(context.Background(), list("k"))
			synctest.Wait()
			kind := ""
			if err != nil {
				kind = normalize.KindOf(err).String()
			}
			if requests.Load() != wantRequests || result.Cache != wantCache || kind != wantKind {
				t.Errorf("after %s: %d requests, %q %q, want %d, %q %q", wait, requests.Load(), result.Cache, kind, wantRequests, wantCache, wantKind)
			}
		}
		step(0, 1, backend.CacheMiss, "")
		step(5*time.Second, 1, backend.CacheHit, "")
		step(8*time.Second, 2, backend.CacheHit, "") // served, and refreshed in the background
		step(1*time.Second, 2, backend.CacheHit, "")
		step(40*time.Second, 3, backend.CacheMiss, "") // too old for stale-while-revalidate
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

// A 401, 403 or 404 of a background refresh drops entries, too.
func TestCache_FailedRefreshInvalidates(t *testing.T) {
	for _, kind := range []normalize.Kind{normalize.KindNotFound, normalize.KindAuth} {
		synctest.Test(t, func(t *testing.T) {
			var failing atomic.Bool
			c, endpoint := newTestCache(t, seconds(10, 100, 1000), func(_ context.Context, call backend.Call) (backend.Result, error) {
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
				t.Errorf("%v", err) // served, and refreshed in the background
			}
			synctest.Wait()
			// A rejected credential drops all entries of its tenant.
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

// A 401 drops the entries of its own tenant only.
func TestCache_RejectedCredentialAffectsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rejected := list("rejected").Credential.ID()
		var requests atomic.Int32
		c, endpoint := newTestCache(t, seconds(10, 0, 0), func(_ context.Context, call backend.Call) (backend.Result, error) {
			if call.Credential.ID() == rejected {
				return backend.Result{}, &normalize.Error{Kind: normalize.KindAuth}
			}
			requests.Add(1)
			time.Sleep(time.Second)
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = endpoint(context.Background(), list("good")) })
		synctest.Wait()
		if _, err := endpoint(context.Background(), list("rejected")); normalize.KindOf(err) != normalize.KindAuth {
			t.Errorf("%v", err)
		}
		wg.Go(func() { _, _ = endpoint(context.Background(), list("good")) })
		wg.Wait()
		if n := requests.Load(); n != 1 || entries(c) != 1 {
			t.Errorf("%d requests, %d entries", n, entries(c))
		}
	})
}

// A failed write keeps entries if it certainly changed nothing: they are served while the
// backend is unavailable.
func TestCache_FailedWriteInvalidatesOnlyIfItMayHaveChangedAnything(t *testing.T) {
	for kind, kept := range map[normalize.Kind]bool{
		normalize.KindConnect: true, normalize.KindTLS: true, normalize.KindConnectTimeout: true, normalize.KindExpired: true, normalize.KindRateLimited: true,
		normalize.KindUnavailable: true, normalize.KindRejected: true, normalize.KindBreakerOpen: true, normalize.KindBusy: true, normalize.KindUnsupported: true,
		normalize.KindTimeout: false, normalize.KindReset: false, normalize.KindUpstream: false, normalize.KindNotFound: false, normalize.KindAuth: false, normalize.KindInternal: false,
	} {
		c, endpoint := newTestCache(t, seconds(10, 0, 100), func(_ context.Context, call backend.Call) (backend.Result, error) {
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

// A complete older list is served instead of an interrupted new one, but not instead of one
// that is partial for another reason.
func TestCache_CompleteStaleListIsPreferredToInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		snapshot := &catalog.Snapshot{}
		_, endpoint := newTestCache(t, seconds(10, 0, 1000), func(context.Context, backend.Call) (backend.Result, error) {
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

// Retain also keeps running reads of tenants that are not live from being stored.
func TestCache_RetainAppliesToRunningReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBackend(t, seconds(10, 0, 0))
		c, endpoint := newTestCacheFor(t, b, func(context.Context, backend.Call) (backend.Result, error) {
			time.Sleep(time.Second)
			return backend.Result{Snapshot: &catalog.Snapshot{}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = endpoint(context.Background(), list("removed")) })
		wg.Go(func() { _, _ = endpoint(context.Background(), list("kept")) })
		synctest.Wait()
		c.Retain(map[*backend.Tenant]bool{b.Tenant(list("kept").Credential): true})
		wg.Wait()
		if n := entries(c); n != 1 {
			t.Errorf("%d entries", n)
		}
	})
}

func TestCache_ZeroTTLAlwaysFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, endpoint := newTestCache(t, seconds(0, 300, 300), func(context.Context, backend.Call) (backend.Result, error) {
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

// A full cache evicts entries that are only kept for stale-if-error, the oldest first.
func TestCache_EvictsOldestStaleEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBackend(t, seconds(10, 0, 10_000))
		c, endpoint := newTestCacheFor(t, b, func(context.Context, backend.Call) (backend.Result, error) {
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

func TestCache_IsBoundedInEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, endpoint := newTestCache(t, seconds(10, 0, 0), func(context.Context, backend.Call) (backend.Result, error) {
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
		time.Sleep(time.Minute) // by the clock of synctest: all three expire
		if _, err := endpoint(context.Background(), list("new")); err != nil {
			t.Fatal(err)
		}
		if n := entries(c); n != 1 {
			t.Errorf("%d entries after all expired and one came", n)
		}
	})
}

// Interrupted lists are not stored; lists that are partial for another reason are, or each
// request would fetch all their pages again.
func TestCache_InterruptedListsAreNotStored(t *testing.T) {
	for interrupted, want := range map[bool]int64{true: 0, false: 1} {
		c, endpoint := newTestCache(t, seconds(10, 0, 0), func(context.Context, backend.Call) (backend.Result, error) {
			return backend.Result{Snapshot: &catalog.Snapshot{Partial: &normalize.Error{}, Interrupted: interrupted}, Fetched: time.Now(), Cache: backend.CacheMiss}, nil
		})
		if _, err := endpoint(context.Background(), list("k")); err != nil || entries(c) != want {
			t.Errorf("interrupted %v: %v, %d entries", interrupted, err, entries(c))
		}
	}
}

func TestCacheKey_Unique(t *testing.T) {
	seen := map[string]string{}
	for i := range 3 {
		backend := newTestBackend(t, config.BackendCache{}) // the same name, after a reload
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

// A generation never comes back: neither after an invalidation nor for a tenant that Retain
// dropped.
func TestCache_GenerationsAreNotReused(t *testing.T) {
	b := newTestBackend(t, seconds(10, 0, 0))
	c, _ := newTestCacheFor(t, b, nil)
	tenant := b.Tenant(list("k").Credential)
	seen := map[generation]string{}
	for name, change := range map[string]func(){
		"nothing":    func() {},
		"write":      func() { c.Invalidate(tenant, "1") },
		"rejected":   func() { c.invalidateTenant(tenant) },
		"purge":      func() { c.Purge(func(*backend.Tenant) bool { return false }) },
		"not live":   func() { c.Retain(map[*backend.Tenant]bool{}) },
		"live again": func() { c.Retain(map[*backend.Tenant]bool{}); c.Retain(map[*backend.Tenant]bool{tenant: true}) },
	} {
		before := c.generation(tenant)
		change()
		after := c.generation(tenant)
		if (after == before) != (name == "nothing") || name != "nothing" && seen[after] != "" {
			t.Errorf("%s: generation %d, before %d", name, after, before)
		}
		if name != "nothing" {
			seen[after] = name
		}
	}
}
