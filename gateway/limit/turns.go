package limit

import (
	"context"
	"sync"
)

// Turns make the holders of one key wait for each other. The zero value is ready. They are safe
// for concurrent use.
type Turns[Key comparable] struct {
	mu    sync.Mutex
	byKey map[Key]*turn
}

type turn struct {
	free chan struct{} // holds a value unless somebody has the turn
	uses int           // holders, and those that wait
}

// Take waits until nobody else has the key's turn, and keeps others waiting until release is
// called. ok is false if ctx ended first.
func (t *Turns[Key]) Take(ctx context.Context, key Key) (release func(), ok bool) {
	t.mu.Lock()
	if t.byKey == nil {
		t.byKey = map[Key]*turn{}
	}
	own := t.byKey[key]
	if own == nil {
		own = &turn{free: make(chan struct{}, 1)}
		own.free <- struct{}{}
		t.byKey[key] = own
	}
	own.uses++
	t.mu.Unlock()
	select {
	case <-own.free:
		return func() {
			own.free <- struct{}{}
			t.leave(key, own)
		}, true
	case <-ctx.Done():
		t.leave(key, own)
		return nil, false
	}
}

func (t *Turns[Key]) leave(key Key, own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.uses--; own.uses == 0 {
		delete(t.byKey, key)
	}
}
