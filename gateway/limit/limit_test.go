package limit

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever one name takes, names below their fair share find a slot, and nothing is reserved
// for a name that is alone.
func TestFairSemaphore_SharesSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewFairSemaphore()
		acquire := func(name string, n, want int) (acquired []*Slots) {
			t.Helper()
			for range n {
				if slots := s.Slots(name); s.Acquire(slots, 80) {
					acquired = append(acquired, slots)
				}
			}
			if len(acquired) != want {
				t.Errorf("%s got %d slots, want %d", name, len(acquired), want)
			}
			return acquired
		}
		release := func(acquired []*Slots) {
			for _, slots := range acquired {
				s.Release(slots)
			}
		}
		release(acquire("other", 1, 1))
		flood := acquire("flood", 200, 70) // of 80; the last eighth is reserved
		a := acquire("a", 200, 5)          // half of the reserve
		b := acquire("b", 200, 1)
		for _, name := range []string{"c", "d", "e", "f"} {
			b = append(b, acquire(name, 200, 1)...)
		}
		acquire("g", 1, 0)  // all are in use
		release(flood[:20]) // the flood does not get back all that it releases
		flood = flood[20:]
		flood = append(flood, acquire("flood", 200, 10)...)
		b = append(b, acquire("g", 200, 5)...)
		release(flood)
		release(a)
		release(b)
		if s.inUse != 0 || s.holders != 0 {
			t.Errorf("%d in use by %d names", s.inUse, s.holders)
		}
		release(acquire("flood", 200, 70)) // others were there just now
		time.Sleep(presence)
		alone := acquire("flood", 200, 80)
		acquire("late", 1, 0) // nothing was kept for it
		release(alone[:20])
		acquire("flood", 200, 10) // now something is
	})
}

func TestFairSemaphore_SmallLimits(t *testing.T) {
	for limit, most := range map[int]int{1: 1, 2: 1, 7: 6} { // one is reserved if there is more than one
		s, got := NewFairSemaphore(), 0
		if limit > 1 {
			s.Acquire(s.Slots("y"), limit)
			s.Release(s.Slots("y"))
		}
		for range limit {
			if s.Acquire(s.Slots("x"), limit) {
				got++
			}
		}
		if got != most || s.Acquire(s.Slots("y"), limit) == (limit == 1) || s.Acquire(s.Slots("z"), limit) {
			t.Errorf("%d of %d slots for one name, then %d names", got, limit, s.holders)
		}
	}
}

// Bytes are bounded in sum, and no name gets more than half of them.
func TestBytes(t *testing.T) {
	b := NewBytes(100)
	if !b.Take("a", 50) || b.Take("a", 1) || !b.Take("b", 40) || b.Take("c", 11) || !b.Take("c", 10) {
		t.Errorf("%+v", b)
	}
	b.Release("a", 50)
	b.SetLimit(60)
	if b.Take("a", 11) || !b.Take("a", 10) {
		t.Errorf("%+v", b)
	}
	b.Release("a", 10)
	b.Release("b", 40)
	b.Release("c", 10)
	if b.Used() != 0 || len(b.byName) != 0 {
		t.Errorf("%+v", b)
	}
}

// A name with many waiters gets no more turns than one with few. Waiters that leave get none,
// and no turn is lost.
func TestFairQueue_RoundRobin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := NewFairQueue(2)
		var mu sync.Mutex
		var order []string
		running, most := 0, 0
		work := func(name string, done <-chan struct{}) {
			release, ok := queue.Acquire(done, name)
			if !ok {
				return
			}
			defer release()
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
			wg.Go(func() { work("leaving", leaving) })
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
			t.Errorf("the last waiter of few waited for %d others: %v", words, order)
		}
		if len(order) != 53 || most != 2 {
			t.Errorf("%d ran, %d at a time", len(order), most)
		}
		if queue.running != 0 || len(queue.order) != 0 || len(queue.waiting) != 0 {
			t.Errorf("left over: %d %v %v", queue.running, queue.order, queue.waiting)
		}
	})
	// A waiter that leaves when its turn comes passes it on.
	queue := NewFairQueue(1)
	var wg sync.WaitGroup
	for range 200 {
		done := make(chan struct{})
		wg.Go(func() {
			if release, ok := queue.Acquire(done, "x"); ok {
				time.Sleep(rand.N(50 * time.Microsecond))
				release()
			}
		})
		wg.Go(func() { time.Sleep(rand.N(time.Millisecond)); close(done) })
	}
	wg.Wait()
	if queue.running != 0 || len(queue.waiting) != 0 {
		t.Errorf("%d still running, %v waiting", queue.running, queue.waiting)
	}
}

// Retain keeps names that hold slots.
func TestFairSemaphore_RetainKeepsHolders(t *testing.T) {
	s := NewFairSemaphore()
	slots := s.Slots("removed")
	if !s.Acquire(slots, 8) {
		t.Fatal("no slot is free")
	}
	s.Retain(map[string]bool{})
	if s.Slots("removed") != slots || s.InUse() != 1 {
		t.Errorf("%d in use; the slots of the name were replaced", s.InUse())
	}
	s.Release(slots)
	s.Retain(map[string]bool{"kept": true})
	if s.Slots("removed") == slots || s.InUse() != 0 {
		t.Errorf("%d in use; a name that holds none was kept", s.InUse())
	}
}
