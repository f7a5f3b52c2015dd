package gateway

import (
	"maps"
	"sync"
)

// shares give out places, of which there are only so many at once, to those who
// ask under a name: callers by their keys, credentials at a backend. The last
// eighth of them, at least one, is for names that hold less than their fair share,
// and half of that for names that hold none, so that no flood keeps the others out.
type shares struct {
	mu    sync.Mutex
	held  map[string]*held
	names int // that hold any
	taken int
}

// held is how many places a name holds. Who comes often has it at hand.
type held struct{ places int }

func newShares() *shares { return &shares{held: map[string]*held{}} }

// of is what the name holds.
func (s *shares) of(name string) *held {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[name]
	if h == nil {
		h = &held{}
		s.held[name] = h
	}
	return h
}

// forget drops the names that are not in use any more, once they hold nothing.
func (s *shares) forget(inUse map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.held, func(name string, h *held) bool { return !inUse[name] && h.places == 0 })
}

// reservedShare of all places is for names below their fair share.
const reservedShare = 8

// take takes a place of the limit for who holds h, until leave; false if there is none. others
// says whether there may be any other name at all.
func (s *shares) take(h *held, limit int, others bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := limit - s.taken
	names := s.names + 1 // whoever comes next
	if h.places == 0 {
		names++
	}
	reserved := 0
	switch {
	case !others || h.places == 0:
	case h.places < limit/names:
		reserved = limit / reservedShare / 2
	default:
		reserved = max(1, limit/reservedShare)
	}
	if free <= reserved {
		return false
	}
	s.taken++
	if h.places++; h.places == 1 {
		s.names++
	}
	return true
}

// running is how many places are taken.
func (s *shares) running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// leave gives the place back.
func (s *shares) leave(h *held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if h.places--; h.places == 0 {
		s.names--
	}
}
