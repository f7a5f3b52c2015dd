package live

import (
	"sync"
	"testing"
	"time"
)

// Lateness is how late this machine wakes who sleeps: what an answer may be late
// without the gateway's doing.
type Lateness struct {
	mu    sync.Mutex
	worst time.Duration
}

// WatchLateness watches until the test ends.
func WatchLateness(t testing.TB) *Lateness {
	l := &Lateness{}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			began := time.Now()
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			l.mu.Lock()
			l.worst = max(l.worst, time.Since(began)-time.Millisecond)
			l.mu.Unlock()
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
	return l
}

// forTheWork is what an answer may take beside what it waits for, under the race
// detector and beside other tests.
const forTheWork = 400 * time.Millisecond

// Allowed is a limit with time for the work, and what this machine is late by
// itself: to wake up several times on the way.
func (l *Lateness) Allowed(limit time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return limit + forTheWork + 4*l.worst
}

// Check holds what an answer took against its limit.
func (l *Lateness) Check(t testing.TB, took, limit time.Duration) {
	t.Helper()
	if allowed := l.Allowed(limit); took > allowed {
		t.Errorf("the answer took %s, over %s", took, allowed)
	}
}
