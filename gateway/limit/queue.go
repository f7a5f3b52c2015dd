package limit

import (
	"slices"
	"sync"
)

// FairQueue is a semaphore whose waiters are served round-robin by name, so that a name with
// many waiters cannot starve the others. It is safe for concurrent use.
type FairQueue struct {
	size int

	mu      sync.Mutex
	running int
	order   []string // names that wait, in the order of their turns
	waiting map[string][]chan struct{}
}

// NewFairQueue returns a queue that lets size holders run at a time.
func NewFairQueue(size int) *FairQueue {
	return &FairQueue{size: size, waiting: map[string][]chan struct{}{}}
}

// Size returns how many can run at a time.
func (q *FairQueue) Size() int { return q.size }

// Acquire waits until the name has its turn. ok is false if done was closed first; release
// must be called otherwise.
func (q *FairQueue) Acquire(done <-chan struct{}, name string) (release func(), ok bool) {
	q.mu.Lock()
	if q.running < q.size {
		q.running++
		q.mu.Unlock()
		return q.release, true
	}
	ready := make(chan struct{})
	if len(q.waiting[name]) == 0 {
		q.order = append(q.order, name)
	}
	q.waiting[name] = append(q.waiting[name], ready)
	q.mu.Unlock()
	select {
	case <-ready:
		return q.release, true
	case <-done:
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting[name], ready); i >= 0 {
		q.waiting[name] = slices.Delete(q.waiting[name], i, i+1)
		if len(q.waiting[name]) == 0 {
			q.remove(name)
		}
		return nil, false
	}
	q.next() // the turn came at the same moment: pass it on
	return nil, false
}

func (q *FairQueue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next()
}

// next passes a turn to the first waiter of the next name, if any waits.
func (q *FairQueue) next() {
	if len(q.order) == 0 {
		q.running--
		return
	}
	name := q.order[0]
	ready := q.waiting[name][0]
	q.waiting[name] = q.waiting[name][1:]
	q.order = q.order[1:]
	if len(q.waiting[name]) > 0 {
		q.order = append(q.order, name)
	} else {
		delete(q.waiting, name)
	}
	close(ready)
}

func (q *FairQueue) remove(name string) {
	delete(q.waiting, name)
	q.order = slices.DeleteFunc(q.order, func(n string) bool { return n == name })
}
