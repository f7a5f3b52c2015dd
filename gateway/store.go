package gateway

import (
	"slices"
	"sync"
	"time"

	gocache "github.com/patrickmn/go-cache"

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
		e := v.(*entry)
		s.bytes -= e.size
		e.gone.Store(true)
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

// put keeps an entry for a time, in place of the one that get gives for that key, and reports
// whether there was room.
func (s *store) put(key string, e, old *entry, keep time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old == nil {
		s.items.Delete(key) // one that has expired
	}
	if !s.room(e.size, old) {
		s.telemetry.CacheRefused(e.owner.backend.Name)
		return false
	}
	if old != nil && !old.gone.Swap(true) {
		s.bytes -= old.size
	}
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
func (s *store) deleteWhere(matches func(*principal) bool) int {
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

// room reports whether so many bytes fit in, in place of an old entry if there is one, and makes
// room if it must.
func (s *store) room(size int64, old *entry) bool {
	fits := func(others int, size int64) bool {
		if old != nil && !old.gone.Load() {
			others, size = others-1, size-old.size
		}
		return s.items.ItemCount()+others < s.maxEntries && s.bytes+size <= s.maxBytes
	}
	if fits(0, size) {
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
	for key, item := range s.items.Items() {
		if e := item.Object.(*entry); e != old && now.After(e.revalidate) {
			spares = append(spares, spare{key, e})
		}
	}
	var spareBytes int64
	for _, spare := range spares {
		spareBytes += spare.entry.size
	}
	if !fits(-len(spares), size-spareBytes) {
		return false // and nothing is lost for it
	}
	slices.SortFunc(spares, func(a, b spare) int { return a.entry.result.Fetched.Compare(b.entry.result.Fetched) })
	for _, spare := range spares {
		// A sixteenth at once, so that the next ones need no scan.
		if fits(s.maxEntries/16, size) && fits(0, max(size, s.maxBytes/16)) {
			break
		}
		s.items.Delete(spare.key)
		s.telemetry.CacheEvicted(spare.entry.owner.backend.Name)
	}
	return fits(0, size)
}
