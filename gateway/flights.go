package gateway

import (
	"errors"
	"sync"
)

// flight is what is asked now: equal ones share an answer. A read that began before a write
// or a purge is not joined by one that came after.
type flight struct {
	key   string // of the cache
	since epoch
	fresh bool
	// behind: who asks by name does not join, since it might be refused what he is not.
	behind bool
}

// landed is how a flight ended.
type landed struct {
	result Result
	err    error
}

// flights has equal reads share one. golang.org/x/sync/singleflight would, but for a
// goroutine and its growing stack for each: a tenth of what an agent costs that is asked anew.
type flights struct {
	mu      sync.Mutex
	waiting map[flight][]chan<- landed // a place for each who waits
}

// landing is where a flight ends: it has, or it does later.
type landing struct {
	landed
	later <-chan landed // nil: it has landed
}

// flown is what a flight does.
type flown interface{ read() (Result, error) }

// join gives the answer of the flight, which is flown if it is not under way: here, before join
// returns, or in a goroutine of its own.
func (f *flights) join(which flight, here bool, work flown) landing {
	f.mu.Lock()
	others, underWay := f.waiting[which]
	if f.waiting == nil {
		f.waiting = map[flight][]chan<- landed{}
	}
	if !underWay && here {
		f.waiting[which] = nil
		f.mu.Unlock()
		return landing{landed: f.fly(which, work)}
	}
	place := make(chan landed, 1)
	f.waiting[which] = append(others, place)
	f.mu.Unlock()
	if !underWay {
		go f.fly(which, work)
	}
	return landing{later: place}
}

// errLost is what those who wait are told of a read that never returned.
var errLost = errors.New("the read did not return")

func (f *flights) fly(which flight, work flown) (answer landed) {
	answer = landed{err: errLost}
	defer func() {
		f.mu.Lock()
		waiting := f.waiting[which]
		delete(f.waiting, which)
		f.mu.Unlock()
		for _, place := range waiting {
			place <- answer
		}
	}()
	answer.result, answer.err = work.read()
	return answer
}
