package upstream

import (
	"sync"
	"time"
)

const (
	// idleFor is how long a connection waits for the next request.
	idleFor = 90 * time.Second
	// sweepEvery is how often those are looked for that have waited too long, or that the
	// backend has hung up.
	sweepEvery = 5 * time.Second
)

// idle holds the connections that wait, the one used last at the end, which is taken first.
type idle struct {
	mu      sync.Mutex
	waiting []*conn
	closed  bool
	sweeper *time.Timer // nil: there is nothing to sweep
}

// take gives a connection that may be used, with its deadline set; nil if there is none. Whether
// it is quiet is still to be seen.
func (i *idle) take(now, deadline time.Time) *conn {
	for {
		i.mu.Lock()
		last := len(i.waiting) - 1
		if last < 0 {
			i.mu.Unlock()
			return nil
		}
		c := i.waiting[last]
		i.waiting[last] = nil
		i.waiting = i.waiting[:last]
		i.mu.Unlock()
		if c.usable(now, deadline) {
			return c
		}
		c.hangUp()
	}
}

// usable says that a connection has not waited too long; it has that deadline then.
func (c *conn) usable(now, deadline time.Time) bool {
	return now.Sub(c.since) < idleFor && c.SetDeadline(deadline) == nil
}

// put keeps a connection for the next request.
func (i *idle) put(c *conn) {
	c.since = time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		c.hangUp()
		return
	}
	i.waiting = append(i.waiting, c)
	if i.sweeper == nil {
		i.sweeper = time.AfterFunc(sweepEvery, i.sweep)
	}
}

// sweep closes what has waited too long, and what is of no use any more.
func (i *idle) sweep() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sweeper = nil
	now := time.Now()
	kept := i.waiting[:0]
	for _, c := range i.waiting {
		if c.usable(now, time.Time{}) && quiet(c) {
			kept = append(kept, c)
			continue
		}
		c.hangUp()
	}
	clear(i.waiting[len(kept):])
	i.waiting = kept
	if len(kept) > 0 && !i.closed {
		i.sweeper = time.AfterFunc(sweepEvery, i.sweep)
	}
}

// clear closes all that wait.
func (i *idle) clear() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, c := range i.waiting {
		c.hangUp()
	}
	i.waiting = nil
}

// close closes all that wait, and keeps none from here on.
func (i *idle) close() {
	i.mu.Lock()
	i.closed = true
	if i.sweeper != nil {
		i.sweeper.Stop()
	}
	i.mu.Unlock()
	i.clear()
}
