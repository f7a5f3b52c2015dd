package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"sync"
	"time"

	gocache "github.com/patrickmn/go-cache"
	"golang.org/x/sync/singleflight"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/telemetry"
	"github.com/agentgw/agentgw/normalize"
)

// cache keeps lists and agents, each for one backend and one credential. It is
// bounded in entries: go-cache itself is not, so admission counts.
type cache struct {
	store  *gocache.Cache
	flight singleflight.Group

	mu         sync.Mutex
	maxEntries int
	// epochs are raised by each write, and purges by each purge, so that no
	// read that began before is kept.
	epochs map[owner]uint64
	purges uint64
}

// owner is who may see an entry.
type owner struct{ backend, credential string }

// entry is one kept result. It is not changed after it was stored.
type entry struct {
	owner  owner
	result Result
	// fresh until, then served while one refresh runs until, then served in
	// place of a failure until.
	fresh, revalidate, ifError time.Time
}

func newCache(maxEntries int) *cache {
	// No janitor: it would be a goroutine to stop. What is expired goes when
	// room is needed.
	return &cache{store: gocache.New(gocache.NoExpiration, 0), maxEntries: maxEntries, epochs: map[owner]uint64{}}
}

// middleware serves reads from the cache and drops what writes change.
func (c *cache) middleware(b *Backend, t *telemetry.Telemetry) Middleware {
	return func(next Endpoint) Endpoint {
		return func(ctx context.Context, call Call) (Result, error) {
			who := owner{b.Name, call.Credential.ID()}
			if call.Op != adapters.OpList && call.Op != adapters.OpGet {
				result, err := next(ctx, call)
				if err == nil || !neverLeft(normalize.KindOf(err)) {
					c.drop(who, call.NativeID)
				}
				return result, err
			}
			r := reader{cache: c, backend: b, next: next, telemetry: t, who: who, call: call, key: cacheKey(who, call)}
			result, err := r.read(ctx)
			if err == nil {
				t.CacheRequest(b.Name, string(result.Cache))
			}
			return result, err
		}
	}
}

// neverLeft: a write that we refused ourselves changed nothing.
func neverLeft(k normalize.Kind) bool {
	return k == normalize.KindUnsupported || k == normalize.KindBreakerOpen || k == normalize.KindBusy
}

// reader is one read through the cache.
type reader struct {
	cache     *cache
	backend   *Backend
	next      Endpoint
	telemetry *telemetry.Telemetry
	who       owner
	call      Call
	key       string
}

func (r reader) read(ctx context.Context) (Result, error) {
	now := time.Now()
	known, ok := r.cache.get(r.key)
	if ok && !r.call.Fresh {
		if now.Before(known.fresh) {
			return known.result.as(CacheHit), nil
		}
		if now.Before(known.revalidate) {
			r.load(ctx) // its answer is for the next one who asks
			return known.result.as(CacheHit), nil
		}
	}
	result, err := r.wait(ctx, r.load(ctx))
	if err == nil {
		if r.call.Fresh && result.Cache == CacheMiss {
			result.Cache = CacheBypass
		}
		return result, nil
	}
	switch outcomes[normalize.KindOf(err)].stale {
	case staleNever:
		r.cache.store.Delete(r.key)
	case staleYes:
		if failure, is := err.(*normalize.Error); is && ok && now.Before(known.ifError) {
			stale := known.result.as(CacheStale)
			stale.Stale = failure
			return stale, nil
		}
	}
	return Result{}, err
}

// load asks the backend, together with everyone who asks the same now. It runs
// to its end even if whoever began it leaves.
func (r reader) load(ctx context.Context) <-chan singleflight.Result {
	epoch := r.cache.epoch(r.who)
	// A read that began before a write is not joined by one that came after.
	flight := r.key + string(binary.BigEndian.AppendUint64(nil, epoch))
	if r.call.Fresh {
		flight += "fresh"
	}
	detached := context.WithoutCancel(ctx)
	deadline, bounded := ctx.Deadline()
	return r.cache.flight.DoChan(flight, func() (answer any, err error) {
		// A panic in here would end the process.
		defer func() {
			if p := recover(); p != nil {
				err = panicked(r.backend, r.call, p, r.telemetry.Log())
			}
		}()
		if bounded {
			var cancel context.CancelFunc
			detached, cancel = context.WithDeadline(detached, deadline)
			defer cancel()
		}
		result, err := r.next(detached, r.call)
		if err != nil {
			return nil, err
		}
		r.cache.put(r, epoch, result)
		return result, nil
	})
}

func (r reader) wait(ctx context.Context, loaded <-chan singleflight.Result) (Result, error) {
	select {
	case <-ctx.Done():
		return Result{}, &normalize.Error{Kind: contextKind(ctx), Provider: r.backend.Info.Provider, Op: string(r.call.Op), Err: ctx.Err()}
	case loaded := <-loaded:
		if loaded.Err != nil {
			return Result{}, loaded.Err
		}
		result := loaded.Val.(Result)
		if loaded.Shared {
			r.telemetry.Coalesced(r.backend.Name)
		}
		return result, nil
	}
}

func contextKind(ctx context.Context) normalize.Kind {
	if ctx.Err() == context.Canceled {
		return normalize.KindCanceled
	}
	return normalize.KindTimeout
}

func (r Result) as(s CacheStatus) Result {
	r.Cache = s
	return r
}

func (c *cache) get(key string) (*entry, bool) {
	v, ok := c.store.Get(key)
	if !ok {
		return nil, false
	}
	return v.(*entry), true
}

// put keeps a result unless a write came in between, it is not all of it, or
// there is no room.
func (c *cache) put(r reader, epoch uint64, result Result) {
	if result.Snapshot != nil && result.Snapshot.Partial != nil {
		return
	}
	e := newEntry(r.who, result, r.backend.Config.Cache)
	keep := max(e.revalidate.Sub(e.fresh), e.ifError.Sub(e.fresh), 0) + time.Until(e.fresh)
	if keep <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epochs[r.who]+c.purges != epoch {
		return
	}
	if _, known := c.store.Get(r.key); !known && !c.room() {
		r.telemetry.CacheRefused(r.backend.Name)
		return
	}
	c.store.Set(r.key, e, keep)
}

// room makes some by dropping what has expired, if it must.
func (c *cache) room() bool {
	if c.store.ItemCount() < c.maxEntries {
		return true
	}
	c.store.DeleteExpired()
	return c.store.ItemCount() < c.maxEntries
}

func newEntry(who owner, result Result, ages config.BackendCache) *entry {
	// A tenth more or less, so that what was read together does not expire
	// together.
	ttl := time.Duration(float64(ages.TTL.D()) * (0.9 + 0.2*rand.Float64()))
	fresh := result.Fetched.Add(ttl)
	return &entry{
		owner: who, result: result, fresh: fresh,
		revalidate: fresh.Add(ages.StaleWhileRevalidate.D()),
		ifError:    fresh.Add(ages.StaleIfError.D()),
	}
}

// drop forgets what a write may have changed: the owner's list, and the agent.
func (c *cache) drop(who owner, nativeID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epochs[who]++
	c.store.Delete(cacheKey(who, Call{Op: adapters.OpList}))
	if nativeID != "" {
		c.store.Delete(cacheKey(who, Call{Op: adapters.OpGet, NativeID: nativeID}))
	}
}

func (c *cache) epoch(who owner) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epochs[who] + c.purges
}

// purge forgets every entry whose owner matches, and says how many.
func (c *cache) purge(matches func(owner) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.purges++
	purged := 0
	for key, item := range c.store.Items() {
		if e := item.Object.(*entry); matches(e.owner) {
			c.store.Delete(key)
			purged++
		}
	}
	return purged
}

// entries counts what is kept.
func (c *cache) entries() int64 { return int64(c.store.ItemCount()) }

// limit sets the bound; what is over it stays until it expires.
func (c *cache) limit(maxEntries int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.maxEntries = maxEntries
}

// cacheKey is the SHA-256 over the length-prefixed fields that tell reads
// apart, the credential among them: no choice of names makes two meet.
func cacheKey(who owner, call Call) string {
	h := sha256.New()
	for _, field := range []string{who.backend, who.credential, string(call.Op), call.NativeID} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(field))) // a hash never fails
		h.Write([]byte(field))
	}
	return hex.EncodeToString(h.Sum(nil))
}
