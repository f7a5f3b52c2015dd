// Package limit shares a bounded number of slots fairly among names: a semaphore that
// refuses and a queue that waits.
//
// It may not know who the names are.
package limit

import (
	"maps"
	"sync"
)

// FairSemaphore give out places, of which there are only so many at once, to those who
// ask under a name: callers by their keys, credentials at a backend. The last
// eighth of them, at least one, is for names that hold less than their fair share,
// and half of that for names that hold none, so that no flood keeps the others out.
type FairSemaphore struct {
	mu    sync.Mutex
	held  map[string]*Slots
	names int // that hold any
	taken int
}

// Slots is how many places a name holds. Who comes often has it at hand.
type Slots struct{ places int }

func NewFairSemaphore() *FairSemaphore { return &FairSemaphore{held: map[string]*Slots{}} }

// Slots is what the name holds.
func (s *FairSemaphore) Slots(name string) *Slots {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[name]
	if h == nil {
		h = &Slots{}
		s.held[name] = h
	}
	return h
}

// Retain drops the names that are not in use any more, once they hold nothing.
func (s *FairSemaphore) Retain(inUse map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.held, func(name string, h *Slots) bool { return !inUse[name] && h.places == 0 })
}

// reservedShare of all places is for names below their fair share.
const reservedShare = 8

// Acquire takes a place of the limit for who holds h, until leave; false if there is none. others
// says whether there may be any other name at all.
func (s *FairSemaphore) Acquire(h *Slots, limit int, others bool) bool {
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

// Running is how many places are taken.
func (s *FairSemaphore) Running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// Release gives the place back.
func (s *FairSemaphore) Release(h *Slots) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if h.places--; h.places == 0 {
		s.names--
	}
}
