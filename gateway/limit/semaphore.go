// Package limit shares a bounded number of slots, or of bytes, fairly among names: semaphores
// that refuse, a queue that waits, and turns.
//
// It may not know what the names are: keys, credentials or anything else.
package limit

import (
	"maps"
	"sync"
	"time"
)

// FairSemaphore bounds concurrency in total and per name. While several names use it, the last
// eighth of the slots (at least one) is reserved for names below their fair share, half of it
// for names that hold none, so that no name can keep the others out. A name that is alone may
// use all of them. It refuses instead of waiting. It is safe for concurrent use.
type FairSemaphore struct {
	mu      sync.Mutex
	byName  map[string]*Slots
	holders int // names that hold any slot
	inUse   int // slots
	// asked are the last two names that asked for a slot, the later one first.
	asked [2]asker
}

type asker struct {
	slots *Slots
	at    time.Time
}

// presence is how long a name that asked for a slot counts as there.
const presence = 10 * time.Second

// Slots are those that one name holds of a FairSemaphore.
type Slots struct{ held int }

// NewFairSemaphore returns a semaphore of which no slot is in use.
func NewFairSemaphore() *FairSemaphore { return &FairSemaphore{byName: map[string]*Slots{}} }

// Slots returns the slots of a name, to be passed to Acquire and Release. They are the same
// on each call until Retain drops them.
func (s *FairSemaphore) Slots(name string) *Slots {
	s.mu.Lock()
	defer s.mu.Unlock()
	slots := s.byName[name]
	if slots == nil {
		slots = &Slots{}
		s.byName[name] = slots
	}
	return slots
}

// Retain drops the names that are not in use and hold no slot.
func (s *FairSemaphore) Retain(inUse map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.byName, func(name string, slots *Slots) bool { return !inUse[name] && slots.held == 0 })
}

// 1/reservedShare of all slots is for names below their fair share.
const reservedShare = 8

// Acquire takes one of limit slots and reports whether it could. Release must be called then.
func (s *FairSemaphore) Acquire(slots *Slots, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	shared := s.othersThere(slots, time.Now())
	free := limit - s.inUse
	names := s.holders + 1 // one more for a name that may come next
	if slots.held == 0 {
		names++
	}
	reserved := 0
	switch {
	case !shared || slots.held == 0:
	case slots.held < limit/names:
		reserved = limit / reservedShare / 2
	default:
		reserved = max(1, limit/reservedShare)
	}
	if free <= reserved {
		return false
	}
	s.inUse++
	if slots.held++; slots.held == 1 {
		s.holders++
	}
	return true
}

// othersThere notes that a name asks for a slot, and reports whether another one holds any, or
// has asked lately.
func (s *FairSemaphore) othersThere(slots *Slots, now time.Time) bool {
	if s.asked[0].slots != slots {
		s.asked[1] = s.asked[0]
	}
	s.asked[0] = asker{slots, now}
	others := s.holders
	if slots.held > 0 {
		others--
	}
	return others > 0 || s.asked[1].slots != nil && now.Sub(s.asked[1].at) < presence
}

// InUse returns the number of slots in use.
func (s *FairSemaphore) InUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inUse
}

// Release gives a slot back.
func (s *FairSemaphore) Release(slots *Slots) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inUse--
	if slots.held--; slots.held == 0 {
		s.holders--
	}
}
