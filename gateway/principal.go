package gateway

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/agentgw/agentgw/adapters"
)

// principal is who asks a backend, as the vendor sees it: one of its credentials. What is kept of
// it lives as long as the backend's configuration.
type principal struct {
	number     uint64 // tells it from all others of this process
	backend    *Backend
	credential string // its ID
	place      *held  // in the bulkhead; as the quota, it outlives a reload
	quota      *quota

	// Of the cache, under its lock: how many writes there were, so that no read that began
	// before one is kept, and whether some key maps to it.
	writes uint64
	live   bool
}

// principals are those of one backend, by the credential's ID. They are safe for concurrent use.
type principals struct {
	mu sync.Mutex
	of map[string]*principal
}

func newPrincipals() *principals { return &principals{of: map[string]*principal{}} }

// numbered is how many principals there were in this process.
var numbered atomic.Uint64

// principal is who the credential is at this backend.
func (b *Backend) principal(c adapters.Credential) *principal {
	b.principals.mu.Lock()
	defer b.principals.mu.Unlock()
	id := c.ID()
	p := b.principals.of[id]
	if p == nil {
		p = &principal{number: numbered.Add(1), backend: b, credential: id, place: b.bulkhead.places.of(id), quota: b.quotas.of(id)}
		b.principals.of[id] = p
	}
	return p
}

// successor is who the credential is now, if it is somebody else: its backend was configured anew,
// or its key had gone and came back. nil for nobody.
func (p *principal) successor() *principal {
	b := p.backend
	for next := b.successor.Load(); next != nil; next = next.successor.Load() {
		b = next
	}
	b.principals.mu.Lock()
	defer b.principals.mu.Unlock()
	if now := b.principals.of[p.credential]; now != p {
		return now
	}
	return nil
}

// forget drops those who are not in use any more.
func (p *principals) forget(inUse map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.of, func(id string, _ *principal) bool { return !inUse[id] })
}
