package limit

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestShares: whatever a flood takes, who holds less than a fair share finds room,
// and nothing is kept from those who are alone.
func TestShares(t *testing.T) {
	s := NewFairSemaphore()
	take := func(name string, n, want int, others bool) (taken []*Slots) {
		t.Helper()
		for range n {
			if h := s.Slots(name); s.Acquire(h, 80, others) {
				taken = append(taken, h)
			}
		}
		if len(taken) != want {
			t.Errorf("%s got %d slots, want %d", name, len(taken), want)
		}
		return taken
	}
	leave := func(taken []*Slots) {
		for _, h := range taken {
			s.Release(h)
		}
	}
	flood := take("flood", 200, 70, true) // of 80; the last eighth is for others
	a := take("a", 200, 5, true)          // half of it
	b := take("b", 200, 1, true)
	for _, name := range []string{"c", "d", "e", "f"} {
		b = append(b, take(name, 200, 1, true)...)
	}
	take("g", 1, 0, true) // all are taken
	leave(flood[:20])     // what the flood gives back is not all its own again
	flood = flood[20:]
	flood = append(flood, take("flood", 200, 10, true)...)
	b = append(b, take("g", 200, 5, true)...)
	leave(flood)
	leave(a)
	leave(b)
	if s.inUse != 0 || s.holders != 0 {
		t.Errorf("%d taken, %d names hold any", s.inUse, s.holders)
	}
	leave(take("alone", 200, 80, false))
	for limit, most := range map[int]int{1: 1, 2: 1, 7: 6} { // one is kept back where there is more than one
		got := 0
		for range limit {
			if s.Acquire(s.Slots("x"), limit, true) {
				got++
			}
		}
		if got != most || s.Acquire(s.Slots("y"), limit, true) == (limit == 1) || s.Acquire(s.Slots("z"), limit, true) {
			t.Errorf("%d of %d slots for one name, then %d names", got, limit, s.holders)
		}
		s = NewFairSemaphore()
	}
}

// TestTurns: who has many waiting gets no more turns than who has few; nobody who
// left gets one, and none is lost.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewFairQueue(2)
		var mu sync.Mutex
		var order []string
		running, most := 0, 0
		work := func(name string, done <-chan struct{}) {
			end, ok := turns.Acquire(done, name)
			if !ok {
				return
			}
			defer end()
			mu.Lock()
			order = append(order, name)
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			running--
			mu.Unlock()
		}
		var wg sync.WaitGroup
		leaving := make(chan struct{})
		for range 50 {
			wg.Go(func() { work("many", nil) })
		}
		synctest.Wait()
		for range 20 {
			wg.Go(func() { work("gone", leaving) })
		}
		for range 3 {
			wg.Go(func() { work("few", nil) })
		}
		synctest.Wait()
		close(leaving)
		synctest.Wait()
		wg.Wait()
		last := strings.LastIndex(strings.Join(order, " "), "few")
		if words := strings.Count(strings.Join(order, " ")[:last], " "); words > 2+2*3 {
			t.Errorf("few had to wait for %d others: %v", words, order)
		}
		if len(order) != 53 || most != 2 {
			t.Errorf("%d worked, %d at a time", len(order), most)
		}
		if turns.running != 0 || len(turns.order) != 0 || len(turns.waiting) != 0 {
			t.Errorf("left over: %d %v %v", turns.running, turns.order, turns.waiting)
		}
	})
	// Leaving in the moment that the turn comes loses none.
	turns := NewFairQueue(1)
	var wg sync.WaitGroup
	for range 200 {
		done := make(chan struct{})
		wg.Go(func() {
			if end, ok := turns.Acquire(done, "x"); ok {
				time.Sleep(rand.N(50 * time.Microsecond))
				end()
			}
		})
		wg.Go(func() { time.Sleep(rand.N(time.Millisecond)); close(done) })
	}
	wg.Wait()
	if turns.running != 0 || len(turns.waiting) != 0 {
		t.Errorf("%d still run, %v wait", turns.running, turns.waiting)
	}
}

// TestWhoRunsIsNotForgotten: slots that are taken are counted until they are left, whoever is
// gone meanwhile.
func TestWhoRunsIsNotForgotten(t *testing.T) {
	s := NewFairSemaphore()
	h := s.Slots("gone")
	if !s.Acquire(h, 8, true) {
		t.Fatal("there is no place")
	}
	s.Retain(map[string]bool{})
	if s.Slots("gone") != h || s.InUse() != 1 {
		t.Errorf("%d run; it holds another place", s.InUse())
	}
	s.Release(h)
	s.Retain(map[string]bool{"kept": true})
	if s.Slots("gone") == h || s.InUse() != 0 {
		t.Errorf("%d run; what is over is kept", s.InUse())
	}
}
