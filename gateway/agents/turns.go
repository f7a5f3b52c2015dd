package agents

import (
	"context"
	"sync"

	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/problem"
)

// turns make the updates and deletes of one agent wait for each other, from the read that
// they rest on to the backend's response: otherwise the second of two merges would undo the
// first, and two requests with the same If-Match could both succeed. The zero value is ready.
// They are safe for concurrent use.
type turns struct {
	mu      sync.Mutex
	byAgent map[turnKey]*turn
}

// turnKey is an agent as one account sees it. Accounts may number their agents alike, and
// must not wait for each other.
type turnKey struct{ backend, account, nativeID string }

type turn struct {
	free chan struct{} // holds a value unless a write runs
	uses int           // writes that run or wait
}

// take waits until no other write to the agent runs, and keeps others waiting until release
// is called. It fails if ctx ends first; nothing was sent then.
func (t *turns) take(ctx context.Context, b auth.CallerBackend, nativeID string) (release func(), err error) {
	key := turnKey{b.Name, b.Account, nativeID}
	t.mu.Lock()
	if t.byAgent == nil {
		t.byAgent = map[turnKey]*turn{}
	}
	own := t.byAgent[key]
	if own == nil {
		own = &turn{free: make(chan struct{}, 1)}
		own.free <- struct{}{}
		t.byAgent[key] = own
	}
	own.uses++
	t.mu.Unlock()
	select {
	case <-own.free:
		return func() {
			own.free <- struct{}{}
			t.leave(key, own)
		}, nil
	case <-ctx.Done():
		t.leave(key, own)
		p := problem.New(problem.CodeUpstreamTimeout, "other writes to this agent took until the end of server.request_timeout; nothing was sent")
		p.Backend = &b.Name
		return nil, p
	}
}

func (t *turns) leave(key turnKey, own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.uses--; own.uses == 0 {
		delete(t.byAgent, key)
	}
}
