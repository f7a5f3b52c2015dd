package gateway

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// patience is how long a connection is waited for, in one direction. Its deadline is set
// three times for each request, and nearly never comes: the runtime's timer for it takes a
// microsecond each time. So it is only noted, and somebody looks every glance at whether it
// has come; it may come late by that much. It is safe for concurrent use.
type patience struct {
	set   func(time.Time) error // the connection's own deadline
	began time.Time             // what times are counted from: a clock that is set does not move them
	until atomic.Int64          // by since; 0: for ever; over: it has come
	mu    sync.Mutex            // held while the connection's own is set
}

// glance is how often deadlines are looked at.
const glance = 500 * time.Millisecond

const over = -1

// past is a deadline that has come.
var past = time.Unix(1, 0)

// since is a time in nanoseconds, at least one.
func (p *patience) since(t time.Time) int64 { return max(1, int64(t.Sub(p.began))) }

// give waits until then; for ever, if that is zero.
func (p *patience) give(until time.Time) error {
	next := int64(0)
	if !until.IsZero() {
		next = p.since(until)
	}
	if p.until.Swap(next) != over {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.set(time.Time{})
}

// look ends the waiting if its time has come.
func (p *patience) look(now time.Time) {
	until := p.until.Load()
	if until <= 0 || until > p.since(now) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until.CompareAndSwap(until, over) {
		_ = p.set(past) // one that is closed already needs none
	}
}

// watch has somebody look at the deadlines while there are connections; under mu.
func (cs *connections) watch() {
	if !cs.watching {
		cs.watching = true
		time.AfterFunc(glance, cs.look)
	}
}

func (cs *connections) look() {
	now := time.Now()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.open {
		c.reading.look(now)
		c.writing.look(now)
	}
	cs.watching = false
	if len(cs.open) > 0 {
		cs.watch()
	}
}

// SetReadDeadline sets it, to within a glance, but not beyond the end of the server.
func (c *guardedConn) SetReadDeadline(t time.Time) error {
	err := c.reading.give(t)
	if last := c.connections.last.Load(); last != nil && err == nil {
		// What comes after it needs no deadline of its own: this one is closer.
		return c.gathered.SetReadDeadline(*last)
	}
	return err
}

// SetWriteDeadline sets it, to within a glance.
func (c *guardedConn) SetWriteDeadline(t time.Time) error { return c.writing.give(t) }

// SetDeadline sets both.
func (c *guardedConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
