package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/agentgw/agentgw/adapters"
)

// deadline is a context that ends at a time, as context.WithDeadline's does. Its timer is
// only made when somebody waits for the end: nobody does for what is answered from
// memory, and the timer is a tenth of what such a request costs. It is safe for
// concurrent use.
type deadline struct {
	context.Context // the parent
	at              time.Time
	firm            bool // whatever ends the parent: this ends at its time, or when it is ended

	mu    sync.Mutex
	timer context.Context // nil until somebody waits
	stop  context.CancelFunc
	ended bool
}

var _ context.Context = (*deadline)(nil)

func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }

func (d *deadline) Done() <-chan struct{} { return d.waited().Done() }

func (d *deadline) Err() error {
	d.mu.Lock()
	timer, ended := d.timer, d.ended
	d.mu.Unlock()
	switch {
	case timer != nil:
		return timer.Err()
	case ended:
		return context.Canceled
	case !time.Now().Before(d.at):
		return context.DeadlineExceeded
	}
	if d.firm {
		return nil
	}
	return d.Context.Err()
}

// Value is the timer's where there is one, so that contexts made from this one find in it
// what the context package looks for, and need no goroutine each.
func (d *deadline) Value(key any) any {
	if _, asked := key.(adapters.Uninterrupted); asked && d.firm {
		return true
	}
	d.mu.Lock()
	of := d.Context
	if d.timer != nil {
		of = d.timer
	}
	d.mu.Unlock()
	return of.Value(key)
}

// waited is the context with the timer.
func (d *deadline) waited() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		return d.timer
	}
	parent := d.Context
	if d.firm {
		parent = context.WithoutCancel(parent)
	}
	if d.ended {
		d.timer, d.stop = context.WithCancel(parent)
		d.stop()
	} else {
		d.timer, d.stop = context.WithDeadline(parent, d.at)
	}
	return d.timer
}

// end ends it for good, if its time has not.
func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.stop != nil {
		d.stop()
	}
}
