package cache

import (
	"slices"
	"sync"
	"time"

	gocache "github.com/patrickmn/go-cache"

	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// store holds entries within a number and a size in bytes, which go-cache does not bound. If
// it is full, expired entries are dropped first, then those that are only kept for
// stale-if-error, oldest first. Entries that are still served are never evicted; a new one
// without room is refused. It is safe for concurrent use.
type store struct {
	mu         sync.Mutex
	items      *gocache.Cache
	telemetry  *telemetry.Telemetry
	maxEntries int
	maxBytes   int64
	bytes      int64
	nextScan   time.Time // no search for evictable entries before then
}

func newStore(t *telemetry.Telemetry) *store {
	// Without go-cache's janitor there is no goroutine to stop. Expired entries are dropped
	// when room is needed.
	s := &store{items: gocache.New(gocache.NoExpiration, 0), telemetry: t}
	s.items.OnEvicted(func(_ string, v any) { // called under mu
		s.bytes -= v.(*entry).size
	})
	return s
}

// limit sets the bounds. If the store holds more, entries are evicted by the next put.
func (s *store) limit(maxEntries int, maxBytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.maxEntries, s.maxBytes = maxEntries, maxBytes
}

func (s *store) get(key string) (*entry, bool) {
	v, ok := s.items.Get(key)
	if !ok {
		return nil, false
	}
	return v.(*entry), true
}

// put stores an entry for ttl, in place of the key's entry. It reports whether there was
// room; if not, the old entry stays.
func (s *store) put(key string, e *entry, ttl time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, size := 1, e.size
	if old, ok := s.get(key); ok {
		entries, size = 0, e.size-old.size
	}
	if !s.makeRoom(key, entries, size) {
		s.telemetry.CountCacheRefusal(e.owner.Backend.Name)
		return false
	}
	s.items.Delete(key) // Set alone would not subtract the old entry's size
	s.items.Set(key, e, ttl)
	s.bytes += e.size
	return true
}

func (s *store) delete(keys ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		s.items.Delete(key)
	}
}

// deleteWhere deletes the entries whose owner matches and returns their number.
func (s *store) deleteWhere(matches func(*backend.Tenant) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	deleted := 0
	s.items.DeleteExpired()
	for key, item := range s.items.Items() {
		if matches(item.Object.(*entry).owner) {
			s.items.Delete(key)
			deleted++
		}
	}
	return deleted
}

// size returns the number of entries and their size in bytes.
func (s *store) size() (entries, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(s.items.ItemCount()), s.bytes
}

// scanInterval is the least time between two searches of a full store.
const scanInterval = time.Second

// makeRoom reports whether so many more entries and bytes fit, and evicts entries if they
// must. It never evicts the entry of the key, which is about to be replaced.
func (s *store) makeRoom(key string, entries int, size int64) bool {
	fits := func(entries int, size int64) bool {
		return s.items.ItemCount()+entries <= s.maxEntries && s.bytes+size <= s.maxBytes
	}
	if fits(entries, size) {
		return true
	}
	now := time.Now()
	if s.maxEntries == 0 || now.Before(s.nextScan) {
		return false
	}
	s.nextScan = now.Add(scanInterval)
	s.items.DeleteExpired()
	type candidate struct {
		key   string
		entry *entry
	}
	var evictable []candidate
	var evictableBytes int64
	for other, item := range s.items.Items() {
		if e := item.Object.(*entry); other != key && now.After(e.revalidateUntil) {
			evictable = append(evictable, candidate{other, e})
			evictableBytes += e.size
		}
	}
	if !fits(entries-len(evictable), size-evictableBytes) {
		return false // evicting would not help
	}
	slices.SortFunc(evictable, func(a, b candidate) int { return a.entry.result.Fetched.Compare(b.entry.result.Fetched) })
	for _, c := range evictable {
		// A sixteenth of the bounds at once, so that the next entries need no search.
		if fits(entries+s.maxEntries/16, size) && fits(entries, max(size, s.maxBytes/16)) {
			break
		}
		s.items.Delete(c.key)
		s.telemetry.CountCacheEviction(c.entry.owner.Backend.Name)
	}
	return fits(entries, size)
}
