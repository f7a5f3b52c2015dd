// Package cache keeps the snapshots and agents that backends returned, for each credential:
// freshness, stale-while-revalidate, stale-if-error, and one upstream request for concurrent
// equal reads.
//
// It is a middleware of gateway/backend and may not know callers or responses. Begin with
// [Cache.Middleware] and read.go.
package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// Cache stores the results of reads, each for one tenant: what one credential may see is
// never served to another. It is safe for concurrent use.
type Cache struct {
	entries  *store
	inFlight singleflight.Group
	journal  *journal.RequestLog
	versions atomic.Uint64 // given to entries so far

	mu             sync.Mutex
	generations    map[*backend.Tenant]generation // the current ones; see Cache.generation
	lastGeneration generation
	live           map[*backend.Tenant]bool // whose results are stored; nil: everybody's
}

// New returns an empty cache without room: call Limit.
func New(t *telemetry.Telemetry, j *journal.RequestLog) *Cache {
	return &Cache{entries: newStore(t), journal: j, generations: map[*backend.Tenant]generation{}}
}

// Limit sets the bounds of the cache in entries and bytes. If it already holds more, entries
// are evicted when the next one is stored.
func (c *Cache) Limit(maxEntries int, maxBytes int64) { c.entries.limit(maxEntries, maxBytes) }

// Size returns the number of entries and the memory that they take, in bytes.
func (c *Cache) Size() (entries, bytes int64) { return c.entries.size() }

// IsFresh reports whether an entry is still the version that a response was made from, and
// fresh at that time.
func (c *Cache) IsFresh(d backend.Dependency, now time.Time) bool {
	e, ok := c.entries.get(d.Key)
	return ok && e.version == d.Version && now.Before(e.freshUntil)
}

// Middleware serves the reads of a backend from the cache and invalidates what writes
// change. Each fetch from the backend has its own deadline after fetchTimeout, whoever waits
// for it.
func (c *Cache) Middleware(b *backend.Backend, fetchTimeout func() time.Duration, t *telemetry.Telemetry) backend.Middleware {
	return func(next backend.Endpoint) backend.Endpoint {
		return func(ctx context.Context, call backend.Call) (backend.Result, error) {
			tenant := b.Tenant(call.Credential)
			if !call.Op.IsRead() {
				effect := effectChanged // also after a panic
				defer func() {
					c.afterWrite(tenant, call.NativeID, effect)
					// After a reload during the write, the successor may have read the old state.
					if successor := tenant.Successor(); successor != nil {
						c.afterWrite(successor, call.NativeID, effect)
					}
				}()
				result, err := next(ctx, call)
				effect = effectOf(err)
				return result, err
			}
			r := &lookup{cache: c, backend: b, next: next, fetchTimeout: fetchTimeout, telemetry: t, tenant: tenant, call: call, key: cacheKey(tenant, call.Op, call.NativeID)}
			result, err := r.read(ctx)
			if err == nil {
				t.CountCacheRead(b.Name, string(result.Cache))
			}
			return result, err
		}
	}
}

// put stores the result of a read that began at a generation, unless a write or a purge came
// in between, a list is incomplete because of a failure, or there is no room. It reports
// whether what is served from now on is at least as new as the result.
func (c *Cache) put(r *lookup, began generation, result backend.Result) bool {
	if result.Snapshot != nil && result.Snapshot.Interrupted {
		return false
	}
	e := newEntry(r.tenant, c.versions.Add(1), result, r.backend.Config.Cache)
	ttl := max(e.revalidateUntil.Sub(e.freshUntil), e.ifErrorUntil.Sub(e.freshUntil), 0) + time.Until(e.freshUntil)
	if ttl <= 0 {
		return true // nothing is stored, and nothing needs a refresh
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generationLocked(r.tenant) != began || c.live != nil && !c.live[r.tenant] {
		_, served := c.entries.get(r.key)
		return !served
	}
	stored, ok := c.entries.get(r.key)
	if ok && stored.result.Fetched.After(result.Fetched) {
		return true // a slow read must not replace a later one
	}
	if ok && e.isPartial() && !stored.isPartial() {
		return c.putPartial(r.key, e, stored)
	}
	kept := c.entries.put(r.key, e, ttl)
	if r.call.Op == adapters.OpList {
		c.entries.delete(partialKey(r.key))
	}
	return kept
}

// putPartial stores a partial list beside the last complete one: the partial one is served,
// the complete one is kept for stale-if-error only.
func (c *Cache) putPartial(key string, partial, complete *entry) (kept bool) {
	now := time.Now()
	if ttl := partial.revalidateUntil.Sub(now); ttl > 0 {
		kept = c.entries.put(partialKey(key), partial, ttl)
	}
	if ttl := complete.ifErrorUntil.Sub(now); ttl > 0 {
		f := complete.freshness
		f.freshUntil, f.revalidateUntil, f.hasNewerPartial = now, now, true
		c.entries.put(key, complete.withFreshness(f), ttl)
	}
	return kept
}

// A refresh that failed is repeated after a tenth of the ttl, within these bounds, or after
// the Retry-After of the backend if that is longer.
const (
	minRefreshDelay = time.Second
	maxRefreshDelay = 10 * time.Second
)

// postponeRefresh delays the next refresh after one that began then and failed: otherwise
// each read would start another.
func (c *Cache) postponeRefresh(r *lookup, began time.Time, retryAfter time.Duration) {
	delay := max(min(max(r.backend.Config.Cache.TTL.D()/10, minRefreshDelay), maxRefreshDelay), retryAfter)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, key := range []string{r.key, partialKey(r.key)} {
		stored, ok := c.entries.get(key)
		if !ok || !now.Before(stored.revalidateUntil) || stored.result.Fetched.After(began) {
			continue
		}
		ttl := stored.revalidateUntil.Sub(now)
		if key == r.key {
			ttl = max(ttl, stored.ifErrorUntil.Sub(now))
		}
		f := stored.freshness
		f.nextRefresh = now.Add(delay)
		c.entries.put(key, stored.withFreshness(f), ttl)
	}
}
