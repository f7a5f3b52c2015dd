package cache

import (
	"slices"
	"sync"
	"time"

	gocache "github.com/patrickmn/go-cache"

	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// store keeps entries within a number and a size. go-cache has no bound of its
// own, so admission counts: what has expired makes room first, then what is only
// kept for the case that its backend fails. What is still served goes for
// nobody; what finds no room is refused.
type store struct {
	mu         sync.Mutex
	items      *gocache.Cache
	telemetry  *telemetry.Telemetry
	maxEntries int
	maxBytes   int64
	bytes      int64
	nextScan   time.Time // when a full store is looked through again
}

func newStore(t *telemetry.Telemetry) *store {
	// No janitor: it would be a goroutine to stop. What is expired goes when
	// room is needed.
	s := &store{items: gocache.New(gocache.NoExpiration, 0), telemetry: t}
	s.items.OnEvicted(func(_ string, v any) { // always under mu
		s.bytes -= v.(*entry).size
	})
	return s
}

// limit sets the bounds; what is over them stays until room is needed.
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

// put keeps an entry for that time, in place of the one of the key. It reports whether
// there was room.
func (s *store) put(key string, e *entry, keep time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, size := 1, e.size
	if old, ok := s.get(key); ok {
		entries, size = 0, e.size-old.size
	}
	if !s.room(key, entries, size) {
		s.telemetry.CountCacheRefusal(e.owner.Backend.Name)
		return false
	}
	s.items.Delete(key) // so that its size is subtracted
	s.items.Set(key, e, keep)
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

// deleteWhere deletes what matches and says how many entries that were.
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

// size is how much is kept.
func (s *store) size() (entries, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(s.items.ItemCount()), s.bytes
}

// scanEvery bounds how often a full store is looked through.
const scanEvery = time.Second

// room reports whether so many more entries and bytes fit, and makes room if it must. It
// never drops the entry of the key, which is about to be replaced.
func (s *store) room(key string, entries int, size int64) bool {
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
	s.nextScan = now.Add(scanEvery)
	s.items.DeleteExpired()
	type spare struct {
		key   string
		entry *entry
	}
	var spares []spare
	var spareBytes int64
	for other, item := range s.items.Items() {
		if e := item.Object.(*entry); other != key && now.After(e.revalidate) {
			spares = append(spares, spare{other, e})
			spareBytes += e.size
		}
	}
	if !fits(entries-len(spares), size-spareBytes) {
		return false // nothing is lost in vain
	}
	slices.SortFunc(spares, func(a, b spare) int { return a.entry.result.Fetched.Compare(b.entry.result.Fetched) })
	for _, spare := range spares {
		// A sixteenth at once, so that the next entries need no scan.
		if fits(entries+s.maxEntries/16, size) && fits(entries, max(size, s.maxBytes/16)) {
			break
		}
		s.items.Delete(spare.key)
		s.telemetry.CountCacheEviction(spare.entry.owner.Backend.Name)
	}
	return fits(entries, size)
}
