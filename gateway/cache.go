package gateway

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// cache keeps lists and agents, each for one backend and one credential.
type cache struct {
	store    *store
	inFlight singleflight.Group
	journal  *journal.RequestLog
	versions atomic.Uint64 // given to entries so far

	mu     sync.Mutex
	purges uint64              // ever; no read that began before one is kept
	live   map[*principal]bool // those whose live is set; nil: it counts for none
}

// epoch tells reads that began before a write or a purge from later ones.
type epoch struct{ writes, purges uint64 }

// entry is one kept result. It is not changed after it was stored.
type entry struct {
	owner   *principal // who may see it
	version uint64     // tells its result from all others
	result  Result
	size    int64 // in bytes
	serving
}

// serving is how long an entry is for whom.
type serving struct {
	// fresh until, then served while one refresh runs until, then served in
	// place of a failure until.
	fresh, revalidate, ifError time.Time
	refresh                    time.Time // not refreshed before: the last try failed
	// besideOdd: a newer list is kept beside this one, see putOdd.
	besideOdd bool
}

// with is the same, served otherwise.
func (e *entry) with(s serving) *entry {
	return &entry{owner: e.owner, version: e.version, result: e.result, size: e.size, serving: s}
}

func newCache(t *telemetry.Telemetry, j *journal.RequestLog) *cache {
	return &cache{store: newStore(t), journal: j}
}

// Limit sets the bounds of the cache in entries and bytes. What is over them stays until
// room is needed.
func (c *cache) Limit(maxEntries int, maxBytes int64) { c.store.limit(maxEntries, maxBytes) }

// Size returns the number of entries and the memory that they take, in bytes.
func (c *cache) Size() (entries, bytes int64) { return c.store.size() }

// isFresh reports whether an entry is still the version that a response was made of, and
// fresh at that time.
func (c *cache) isFresh(d dependency, now time.Time) bool {
	e, ok := c.store.get(d.key)
	return ok && e.version == d.version && now.Before(e.fresh)
}

// middleware serves reads from the cache and drops what writes change. A read
// of a backend ends within budget, whoever waits for it.
func (c *cache) middleware(b *Backend, budget func() time.Duration, t *telemetry.Telemetry) Middleware {
	return func(next Endpoint) Endpoint {
		return func(ctx context.Context, call Call) (Result, error) {
			who := b.principal(call.Credential)
			if call.Op != adapters.OpList && call.Op != adapters.OpGet {
				end := writeChanged // also if it panics
				defer func() {
					c.afterWrite(who, call.NativeID, end)
					if now := who.successor(); now != nil { // what it saw meanwhile may be of before
						c.afterWrite(now, call.NativeID, end)
					}
				}()
				result, err := next(ctx, call)
				end = writeEnd(err)
				return result, err
			}
			r := &reader{cache: c, backend: b, next: next, budget: budget, telemetry: t, who: who, call: call, key: cacheKey(who, call.Op, call.NativeID)}
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
	switch o := outcomes[kind]; {
	case kind == normalize.KindAuth:
		return writeRefused
	case o.lost || o.stale == staleNever:
		return writeChanged
	}
	return writeNothing
}

func (c *cache) afterWrite(who *principal, nativeID string, end int) {
	switch end {
	case writeChanged:
		c.drop(who, nativeID)
	case writeRefused:
		c.dropAll(who)
	}
}

// put keeps a result unless a write came in between, the rest of it could not
// be asked for, or there is no room. It reports whether a later one is served now.
func (c *cache) put(r *reader, began epoch, result Result) bool {
	if result.Snapshot != nil && result.Snapshot.Interrupted {
		return false
	}
	e := newEntry(r.who, c.versions.Add(1), result, r.backend.Config.Cache)
	keep := max(e.revalidate.Sub(e.fresh), e.ifError.Sub(e.fresh), 0) + time.Until(e.fresh)
	if keep <= 0 {
		return true // and nothing is served that could be refreshed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epochOf(r.who) != began || c.live != nil && !r.who.live {
		_, served := c.store.get(r.key)
		return !served
	}
	known, ok := c.store.get(r.key)
	if ok && known.result.Fetched.After(result.Fetched) {
		return true // a slow read must not undo a later one
	}
	if ok && e.odd() && !known.odd() {
		return c.putOdd(r.key, e, known)
	}
	kept := c.store.put(r.key, e, keep)
	if r.call.Op == adapters.OpList {
		c.store.delete(oddKey(r.key))
	}
	return kept
}

// putOdd keeps a list that is odd by itself beside an older whole one, which from
// now on is only for the case of a failure.
func (c *cache) putOdd(key string, odd, whole *entry) (kept bool) {
	now := time.Now()
	if keep := odd.revalidate.Sub(now); keep > 0 {
		kept = c.store.put(oddKey(key), odd, keep)
	}
	if keep := whole.ifError.Sub(now); keep > 0 {
		old := whole.serving
		old.fresh, old.revalidate, old.besideOdd = now, now, true
		c.store.put(key, whole.with(old), keep)
	}
	return kept
}

// oddKey is where such a list is.
func oddKey(key string) string { return key + "odd" }

func (e *entry) odd() bool { return e.result.Snapshot != nil && e.result.Snapshot.Partial != nil }

// void forgets what a failure makes void: what is not there any more, and all
// that was seen with a credential that is refused.
func (c *cache) void(r *reader, kind normalize.Kind) {
	if outcomes[kind].stale != staleNever {
		return
	}
	if kind == normalize.KindAuth {
		c.dropAll(r.who)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store.delete(r.key, oddKey(r.key))
}

// How long a refresh that failed is not tried again: a tenth of the ttl, within
// bounds, or as long as the backend asks for.
const (
	postponeMin = time.Second
	postponeMax = 10 * time.Second
)

// postpone leaves what is served alone for a while: the next one who asks would
// begin the same refresh again.
func (c *cache) postpone(r *reader, began time.Time, asked time.Duration) {
	wait := max(min(max(r.backend.Config.Cache.TTL.D()/10, postponeMin), postponeMax), asked)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, key := range []string{r.key, oddKey(r.key)} {
		known, ok := c.store.get(key)
		if !ok || !now.Before(known.revalidate) || known.result.Fetched.After(began) {
			continue
		}
		keep := known.revalidate.Sub(now)
		if key == r.key {
			keep = max(keep, known.ifError.Sub(now))
		}
		later := known.serving
		later.refresh = now.Add(wait)
		c.store.put(key, known.with(later), keep)
	}
}

func newEntry(who *principal, version uint64, result Result, ages config.BackendCache) *entry {
	// A tenth more or less, so that what was read together does not expire
	// together.
	ttl := time.Duration(float64(ages.TTL.D()) * (0.9 + 0.2*rand.Float64()))
	fresh := result.Fetched.Add(ttl)
	e := &entry{
		owner: who, version: version, result: result, size: result.size(),
		serving: serving{fresh: fresh, revalidate: fresh.Add(ages.StaleWhileRevalidate.D()), ifError: fresh.Add(ages.StaleIfError.D())},
	}
	if ages.TTL == 0 { // never served unasked
		e.revalidate = fresh
	}
	return e
}

// drop forgets what a write may have changed: the owner's list, and the agent.
func (c *cache) drop(who *principal, nativeID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	who.writes++
	list := cacheKey(who, adapters.OpList, "")
	c.store.delete(list, oddKey(list), cacheKey(who, adapters.OpGet, nativeID))
}

// dropAll forgets all that was seen by the owner, and nobody else's.
func (c *cache) dropAll(who *principal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	who.writes++
	c.store.deleteWhere(func(o *principal) bool { return o == who })
}

func (c *cache) epoch(who *principal) epoch {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epochOf(who)
}

func (c *cache) epochOf(who *principal) epoch { return epoch{who.writes, c.purges} }

// keep forgets what belongs to nobody who is live, now and from now on.
func (c *cache) keep(live map[*principal]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.live {
		p.live = false
	}
	for p := range live {
		p.live = true
	}
	c.live = live
	c.store.deleteWhere(func(o *principal) bool { return !o.live })
}

// purge forgets every entry whose owner matches, and says how many.
func (c *cache) purge(matches func(*principal) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.purges++
	return c.store.deleteWhere(matches)
}

// cacheKey is what tells reads apart: the number of who asks, and for what, each name with its
// length, so that no choice of them makes two meet.
func cacheKey(who *principal, op adapters.Operation, nativeID string) string {
	h := make(fields, 0, 64)
	h = h.number(who.number)
	h = h.text(string(op))
	h = h.text(nativeID)
	return string(h)
}
