package api

import (
	"context"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/problem"
)

// ResponseCache keeps encoded responses, with their compressed forms. A response is valid
// while every snapshot and agent that it was made from still has the same version in the
// snapshot cache and is fresh there. A full cache evicts the least recently used response.
//
// It is safe for concurrent use.
type ResponseCache struct {
	mu         sync.Mutex
	lru        *simplelru.LRU[responseKey, *cachedResponse]
	bytes      int64
	maxBytes   int64
	generation uint64 // number of purges
}

// responseKey identifies a cached response. It has the *Caller, which every reload replaces,
// and the number of the alias table, so a change of either invalidates every entry.
type responseKey struct {
	caller  *auth.Caller
	aliases uint64
	route   string
	id      string // {id} in the path, still escaped
	query   string // still escaped
	headers string // see requestHeaders.cacheKey
}

// cachedResponse is a response with what is reported when it is served.
type cachedResponse struct {
	response     *response
	dependencies []backend.Dependency
	parts        []agents.Source // without snapshots, for tracing only
	sources      []journal.Source
	cache        backend.CacheStatus
	size         int64 // in bytes, as included in ResponseCache.bytes
}

const (
	// maxResponseKey bounds the query and the headers of a key, in bytes together. Longer
	// requests are not cached.
	maxResponseKey = 512
	// cachedResponseOverhead is the estimated memory of an entry without its body, in bytes.
	cachedResponseOverhead = 1 << 10
)

// NewResponseCache returns a cache that is off until Limit is called.
func NewResponseCache() *ResponseCache {
	c := &ResponseCache{}
	lru, err := simplelru.NewLRU(1<<20, func(_ responseKey, r *cachedResponse) { c.bytes -= r.size })
	if err != nil {
		panic(err) // unreachable: the size is a constant
	}
	c.lru = lru
	return c
}

// responseKeyOf returns the key of the response to a request, and whether it may be cached.
func responseKeyOf(c *fiber.Ctx, r *requestState, route *route, caller *auth.Caller, id string, aliases uint64) (responseKey, bool) {
	if !route.cacheable || caller == nil || wantsNoCache(r.headers[headerCacheControl]) {
		return responseKey{}, false
	}
	key := responseKey{caller: caller, aliases: aliases, route: route.name, id: id, query: string(c.Context().URI().QueryString()), headers: r.headers.cacheKey()}
	return key, len(key.query)+len(key.headers) <= maxResponseKey
}

// newCachedResponse returns the entry of a response, or nil if part of it did not come
// from the snapshot cache or is incomplete.
func newCachedResponse(resp *response, r *requestState) *cachedResponse {
	cached := &cachedResponse{sources: r.sources, cache: backend.CacheHit}
	for _, p := range resp.parts {
		if len(p.Dependencies) == 0 || p.Failure != nil {
			return nil
		}
		cached.dependencies = append(cached.dependencies, p.Dependencies...)
		cached.parts = append(cached.parts, agents.Source{Backend: p.Backend, Cache: p.Cache, Report: problem.Source{Status: p.Report.Status}})
	}
	own := *resp
	own.parts = nil
	cached.response = &own
	return cached
}

// Generation returns the number of purges so far.
func (c *ResponseCache) Generation() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generation
}

// Get returns the response of a key if it is valid now. isFresh is Options.IsFresh.
func (c *ResponseCache) Get(key responseKey, isFresh func(backend.Dependency, time.Time) bool, now time.Time) (*cachedResponse, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cached, ok := c.lru.Get(key)
	if !ok {
		return nil, false
	}
	for _, d := range cached.dependencies {
		if !isFresh(d, now) {
			c.lru.Remove(key)
			return nil, false
		}
	}
	c.count(cached)
	return cached, true
}

// Put adds a response, unless the cache was purged since the generation that was read before
// the response was made. It ignores nil.
func (c *ResponseCache) Put(key responseKey, cached *cachedResponse, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cached == nil || generation != c.generation || cached.response.body.Size()+cachedResponseOverhead > c.maxBytes {
		return
	}
	c.lru.Remove(key)
	c.lru.Add(key, cached)
	c.count(cached)
}

// count updates the size of an entry, which grows with its compressed forms, and evicts
// others until all fit.
func (c *ResponseCache) count(cached *cachedResponse) {
	size := cached.response.body.Size() + cachedResponseOverhead
	c.bytes += size - cached.size
	cached.size = size
	for c.bytes > c.maxBytes && c.lru.Len() > 0 {
		c.lru.RemoveOldest()
	}
}

// Limit sets the maximum size in bytes; 0 turns the cache off. What is over it is evicted when
// the cache is used the next time.
func (c *ResponseCache) Limit(maxBytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.maxBytes = maxBytes
}

// Purge drops all responses, including those that are being made.
func (c *ResponseCache) Purge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lru.Purge()
	c.generation++
}

// Size returns the estimated memory of the responses in bytes.
func (c *ResponseCache) Size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// recordHit reports a cached response to tracing, metrics and the request log exactly as
// a hit in the snapshot cache would be.
func (s *Server) recordHit(ctx context.Context, cached *cachedResponse, r *requestState) {
	for _, d := range cached.dependencies {
		s.Telemetry.CountCacheRead(d.Backend, string(backend.CacheHit))
	}
	if cached.response.about == (agents.Ref{}) {
		_, span := s.Telemetry.StartSpan(ctx, "fanout")
		agents.TraceSources(span, cached.parts)
		span.End()
	}
	r.sources, r.cache, r.about = cached.sources, cached.cache, cached.response.about
}
