package limit

import "sync"

// Bytes bounds memory, in bytes, in total and per name: no name may hold more than half of it,
// so that none can keep the others out. It refuses instead of waiting. It is safe for
// concurrent use.
type Bytes struct {
	mu     sync.Mutex
	limit  int64
	used   int64
	byName map[string]int64
}

// NewBytes returns a bound of which nothing is used.
func NewBytes(limit int64) *Bytes { return &Bytes{limit: limit, byName: map[string]int64{}} }

// SetLimit changes the bound. What is used already stays.
func (b *Bytes) SetLimit(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
}

// Take takes n bytes for a name and reports whether it could. Release must be called then.
func (b *Bytes) Take(name string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.limit || b.byName[name]+n > b.limit/2 {
		return false
	}
	b.used += n
	b.byName[name] += n
	return true
}

// Release gives n bytes back.
func (b *Bytes) Release(name string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.byName[name] -= n; b.byName[name] == 0 {
		delete(b.byName, name)
	}
}

// Used returns the number of bytes in use.
func (b *Bytes) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
