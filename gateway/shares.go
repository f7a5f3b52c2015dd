package gateway

import "sync"

// shares give out places, of which there are only so many at once, to those who
// ask under a name: callers by their keys, credentials at a backend. The last
// eighth of them, at least one, is for names that hold less than their fair share,
// and half of that for names that hold none, so that no flood keeps the others out.
type shares struct {
	mu    sync.Mutex
	held  map[string]int
	taken int
}

func newShares() *shares { return &shares{held: map[string]int{}} }

// reservedShare of all places is for names below their fair share.
const reservedShare = 8

// take takes a place of the limit, until leave, and reports whether there is one. others
// says whether there may be any other name at all.
func (s *shares) take(name string, limit int, others bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, held := limit-s.taken, s.held[name]
	names := len(s.held) + 1 // whoever comes next
	if held == 0 {
		names++
	}
	reserved := 0
	switch {
	case !others || held == 0:
	case held < limit/names:
		reserved = limit / reservedShare / 2
	default:
		reserved = max(1, limit/reservedShare)
	}
	if free <= reserved {
		return false
	}
	s.taken++
	s.held[name]++
	return true
}

// running is how many places are taken.
func (s *shares) running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// leave gives the place back.
func (s *shares) leave(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.held[name]--; s.held[name] == 0 {
		delete(s.held, name)
	}
}
