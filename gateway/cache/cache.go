// Package cache keeps the snapshots and agents that backends returned, for each credential:
// freshness, stale-while-revalidate, stale-if-error, and one upstream request for concurrent
// equal reads.
//
// It is a middleware of gateway/backend and may not know callers or responses. Begin with
// [Cache.Middleware] and read.go.
package cache

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/internal/digest"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// Cache keeps lists and agents, each for one backend and one credential.
type Cache struct {
	entries  *store
	inFlight singleflight.Group
	journal  *journal.RequestLog
	versions atomic.Uint64 // given to entries so far

	mu     sync.Mutex
	purges uint64                   // ever; no read that began before one is kept
	live   map[*backend.Tenant]bool // those whose live is set; nil: it counts for none
}

// generation tells reads that began before a write or a purge from later ones.
type generation struct{ writes, purges uint64 }

// entry is one kept result. It is not changed after it was stored.
type entry struct {
	owner   *backend.Tenant // who may see it
	version uint64          // tells its result from all others
	result  backend.Result
	size    int64 // in bytes
	serving
}

// serving is how long an entry is for whom.
type serving struct {
	// fresh until, then served while one refresh runs until, then served in
	// place of a failure until.
	fresh, revalidate, ifError time.Time
	refresh                    time.Time // not refreshed before: the last try failed
	// besidePartial: a newer list is kept beside this one, see putOdd.
	besidePartial bool
}

// with is the same, served otherwise.
func (e *entry) with(s serving) *entry {
	return &entry{owner: e.owner, version: e.version, result: e.result, size: e.size, serving: s}
}

func New(t *telemetry.Telemetry, j *journal.RequestLog) *Cache {
	return &Cache{entries: newStore(t), journal: j}
}

// Limit sets the bounds of the cache in entries and bytes. What is over them stays until
// room is needed.
func (c *Cache) Limit(maxEntries int, maxBytes int64) { c.entries.limit(maxEntries, maxBytes) }

// Size returns the number of entries and the memory that they take, in bytes.
func (c *Cache) Size() (entries, bytes int64) { return c.entries.size() }

// IsFresh reports whether an entry is still the version that a response was made of, and
// fresh at that time.
func (c *Cache) IsFresh(d backend.Dependency, now time.Time) bool {
	e, ok := c.entries.get(d.Key)
	return ok && e.version == d.Version && now.Before(e.fresh)
}

// Middleware serves reads from the cache and drops what writes change. A read
// of a backend ends within budget, whoever waits for it.
func (c *Cache) Middleware(b *backend.Backend, budget func() time.Duration, t *telemetry.Telemetry) backend.Middleware {
	return func(next backend.Endpoint) backend.Endpoint {
		return func(ctx context.Context, call backend.Call) (backend.Result, error) {
			who := b.Tenant(call.Credential)
			if call.Op != adapters.OpList && call.Op != adapters.OpGet {
				end := writeChanged // also if it panics
				defer func() {
					c.afterWrite(who, call.NativeID, end)
					if now := who.Successor(); now != nil { // what it saw meanwhile may be of before
						c.afterWrite(now, call.NativeID, end)
					}
				}()
				result, err := next(ctx, call)
				end = writeEnd(err)
				return result, err
			}
			r := &lookup{cache: c, backend: b, next: next, budget: budget, telemetry: t, tenant: who, call: call, key: cacheKey(who, call.Op, call.NativeID)}
			result, err := r.read(ctx)
			if err == nil {
				t.CountCacheRead(b.Name, string(result.Cache))
			}
			return result, err
		}
	}
}

// What the end of a write says of what is known.
const (
	writeNothing = iota // it certainly changed nothing
	writeChanged        // it did, or may have
	writeRefused        // the credential is refused: nothing seen with it counts
)

func writeEnd(err error) int {
	if err == nil {
		return writeChanged
	}
	kind := normalize.KindOf(err)
	switch o := problem.Outcomes[kind]; {
	case kind == normalize.KindAuth:
		return writeRefused
	case o.Lost || o.Stale == problem.StaleNever:
		return writeChanged
	}
	return writeNothing
}

func (c *Cache) afterWrite(who *backend.Tenant, nativeID string, end int) {
	switch end {
	case writeChanged:
		c.Drop(who, nativeID)
	case writeRefused:
		c.dropAll(who)
	}
}

// put keeps a result unless a write came in between, the rest of it could not
// be asked for, or there is no room. It reports whether a later one is served now.
func (c *Cache) put(r *lookup, began generation, result backend.Result) bool {
	if result.Snapshot != nil && result.Snapshot.Interrupted {
		return false
	}
	e := newEntry(r.tenant, c.versions.Add(1), result, r.backend.Config.Cache)
	keep := max(e.revalidate.Sub(e.fresh), e.ifError.Sub(e.fresh), 0) + time.Until(e.fresh)
	if keep <= 0 {
		return true // and nothing is served that could be refreshed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generationOf(r.tenant) != began || c.live != nil && !r.tenant.Live {
		_, served := c.entries.get(r.key)
		return !served
	}
	known, ok := c.entries.get(r.key)
	if ok && known.result.Fetched.After(result.Fetched) {
		return true // a slow read must not undo a later one
	}
	if ok && e.isPartial() && !known.isPartial() {
		return c.putPartial(r.key, e, known)
	}
	kept := c.entries.put(r.key, e, keep)
	if r.call.Op == adapters.OpList {
		c.entries.delete(partialKey(r.key))
	}
	return kept
}

// putPartial keeps a list that is odd by itself beside an older whole one, which from
// now on is only for the case of a failure.
func (c *Cache) putPartial(key string, odd, whole *entry) (kept bool) {
	now := time.Now()
	if keep := odd.revalidate.Sub(now); keep > 0 {
		kept = c.entries.put(partialKey(key), odd, keep)
	}
	if keep := whole.ifError.Sub(now); keep > 0 {
		old := whole.serving
		old.fresh, old.revalidate, old.besidePartial = now, now, true
		c.entries.put(key, whole.with(old), keep)
	}
	return kept
}

// partialKey is where such a list is.
func partialKey(key string) string { return key + "odd" }

func (e *entry) isPartial() bool { return e.result.Snapshot != nil && e.result.Snapshot.Partial != nil }

// void forgets what a failure makes void: what is not there any more, and all
// that was seen with a credential that is refused.
func (c *Cache) void(r *lookup, kind normalize.Kind) {
	if problem.Outcomes[kind].Stale != problem.StaleNever {
		return
	}
	if kind == normalize.KindAuth {
		c.dropAll(r.tenant)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries.delete(r.key, partialKey(r.key))
}

// How long a refresh that failed is not tried again: a tenth of the ttl, within
// bounds, or as long as the backend asks for.
const (
	postponeMin = time.Second
	postponeMax = 10 * time.Second
)

// postpone leaves what is served alone for a while: the next one who asks would
// begin the same refresh again.
func (c *Cache) postpone(r *lookup, began time.Time, asked time.Duration) {
	wait := max(min(max(r.backend.Config.Cache.TTL.D()/10, postponeMin), postponeMax), asked)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, key := range []string{r.key, partialKey(r.key)} {
		known, ok := c.entries.get(key)
		if !ok || !now.Before(known.revalidate) || known.result.Fetched.After(began) {
			continue
		}
		keep := known.revalidate.Sub(now)
		if key == r.key {
			keep = max(keep, known.ifError.Sub(now))
		}
		later := known.serving
		later.refresh = now.Add(wait)
		c.entries.put(key, known.with(later), keep)
	}
}

func newEntry(who *backend.Tenant, version uint64, result backend.Result, ages config.BackendCache) *entry {
	// A tenth more or less, so that what was read together does not expire
	// together.
	ttl := time.Duration(float64(ages.TTL.D()) * (0.9 + 0.2*rand.Float64()))
	fresh := result.Fetched.Add(ttl)
	e := &entry{
		owner: who, version: version, result: result, size: result.Size(),
		serving: serving{fresh: fresh, revalidate: fresh.Add(ages.StaleWhileRevalidate.D()), ifError: fresh.Add(ages.StaleIfError.D())},
	}
	if ages.TTL == 0 { // never served unasked
		e.revalidate = fresh
	}
	return e
}

// Drop forgets what a write may have changed: the owner's list, and the agent.
func (c *Cache) Drop(who *backend.Tenant, nativeID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	who.Writes++
	list := cacheKey(who, adapters.OpList, "")
	c.entries.delete(list, partialKey(list), cacheKey(who, adapters.OpGet, nativeID))
}

// dropAll forgets all that was seen by the owner, and nobody else's.
func (c *Cache) dropAll(who *backend.Tenant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	who.Writes++
	c.entries.deleteWhere(func(o *backend.Tenant) bool { return o == who })
}

func (c *Cache) generation(who *backend.Tenant) generation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generationOf(who)
}

func (c *Cache) generationOf(who *backend.Tenant) generation { return generation{who.Writes, c.purges} }

// Retain forgets what belongs to nobody who is live, now and from now on.
func (c *Cache) Retain(live map[*backend.Tenant]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.live {
		p.Live = false
	}
	for p := range live {
		p.Live = true
	}
	c.live = live
	c.entries.deleteWhere(func(o *backend.Tenant) bool { return !o.Live })
}

// Purge forgets every entry whose owner matches, and says how many.
func (c *Cache) Purge(matches func(*backend.Tenant) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.purges++
	return c.entries.deleteWhere(matches)
}

// cacheKey is what tells reads apart: the number of who asks, and for what, each name with its
// length, so that no choice of them makes two meet.
func cacheKey(who *backend.Tenant, op adapters.Operation, nativeID string) string {
	h := make(digest.Fields, 0, 64)
	h = h.Number(who.Number)
	h = h.Text(string(op))
	h = h.Text(nativeID)
	return string(h)
}
