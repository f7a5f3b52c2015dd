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
	of    map[string]*held
	names int // that hold any
	taken int
}

// held is how many places a name holds. It stays when there are none: who comes often has
// it at hand.
type held struct{ places int }

// idleNames is how many names that hold nothing may stay.
const idleNames = 4096

func newShares() *shares { return &shares{of: map[string]*held{}} }

// reservedShare of all places is for names below their fair share.
const reservedShare = 8

// take takes a place of the limit, until leave; nil if there is none. others says whether
// there may be any other name at all.
func (s *shares) take(name string, limit int, others bool) *held {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, known := s.of[name]
	if !known {
		h = &held{}
	}
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
		return nil
	}
	s.taken++
	if h.places++; h.places == 1 {
		s.names++
	}
	if !known {
		s.know(name, h)
	}
	return h
}

// know keeps what a new name holds; under mu.
func (s *shares) know(name string, h *held) {
	if len(s.of) >= s.names+idleNames {
		maps.DeleteFunc(s.of, func(_ string, h *held) bool { return h.places == 0 })
	}
	s.of[name] = h
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
