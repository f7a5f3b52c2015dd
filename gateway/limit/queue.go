package limit

import (
	"slices"
	"sync"
)

// FairQueue let so many work at a time and the others wait, one of each name after
// the other, whatever their numbers.
type FairQueue struct {
	Size int

	mu      sync.Mutex
	running int
	names   []string // that wait, in the order of their turns
	waiting map[string][]chan struct{}
}

func NewFairQueue(size int) *FairQueue {
	return &FairQueue{Size: size, waiting: map[string][]chan struct{}{}}
}

// Acquire waits for a turn, until end is called. It is false if done came first.
func (t *FairQueue) Acquire(done <-chan struct{}, name string) (end func(), ok bool) {
	t.mu.Lock()
	if t.running < t.Size {
		t.running++
		t.mu.Unlock()
		return t.release, true
	}
	ready := make(chan struct{})
	if len(t.waiting[name]) == 0 {
		t.names = append(t.names, name)
	}
	t.waiting[name] = append(t.waiting[name], ready)
	t.mu.Unlock()
	select {
	case <-ready:
		return t.release, true
	case <-done:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting[name], ready); i >= 0 {
		t.waiting[name] = slices.Delete(t.waiting[name], i, i+1)
		if len(t.waiting[name]) == 0 {
			t.forget(name)
		}
		return nil, false
	}
	t.next() // it was ready in the same moment
	return nil, false
}

// release gives the turn to who is next.
func (t *FairQueue) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next()
}

func (t *FairQueue) next() {
	if len(t.names) == 0 {
		t.running--
		return
	}
	name := t.names[0]
	next := t.waiting[name][0]
	t.waiting[name] = t.waiting[name][1:]
	t.names = t.names[1:]
	if len(t.waiting[name]) > 0 {
		t.names = append(t.names, name)
	} else {
		delete(t.waiting, name)
	}
	close(next)
}

func (t *FairQueue) forget(name string) {
	delete(t.waiting, name)
	t.names = slices.DeleteFunc(t.names, func(n string) bool { return n == name })
}
