package backend

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/limit"
)

// Tenant is who asks a backend, as the vendor sees it: one of its credentials. What is kept of
// it lives as long as the backend's configuration.
type Tenant struct {
	Number     uint64 // tells it from all others of this process
	Backend    *Backend
	Credential string       // its ID
	place      *limit.Slots // in the bulkhead; as the quota, it outlives a reload
	quota      *quota

	// Of the cache, under its lock: how many writes there were, so that no read that began
	// before one is kept, and whether some key maps to it.
	Writes uint64
	Live   bool
}

// tenants are those of one backend, by the credential's ID. They are safe for concurrent use.
type tenants struct {
	mu sync.Mutex
	of map[string]*Tenant
}

func newTenants() *tenants { return &tenants{of: map[string]*Tenant{}} }

// numbered is how many principals there were in this process.
var numbered atomic.Uint64

// Tenant is who the credential is at this backend.
func (b *Backend) Tenant(c adapters.Credential) *Tenant {
	b.tenants.mu.Lock()
	defer b.tenants.mu.Unlock()
	id := c.ID()
	p := b.tenants.of[id]
	if p == nil {
		p = &Tenant{Number: numbered.Add(1), Backend: b, Credential: id, place: b.bulkhead.places.Slots(id), quota: b.quotas.of(id)}
		b.tenants.of[id] = p
	}
	return p
}

// Successor is who the credential is now, if it is somebody else: its backend was configured anew,
// or its key had gone and came back. nil for nobody.
func (p *Tenant) Successor() *Tenant {
	b := p.Backend
	for next := b.successor.Load(); next != nil; next = next.successor.Load() {
		b = next
	}
	b.tenants.mu.Lock()
	defer b.tenants.mu.Unlock()
	if now := b.tenants.of[p.Credential]; now != p {
		return now
	}
	return nil
}

// forget drops those who are not in use any more.
func (p *tenants) forget(inUse map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.of, func(id string, _ *Tenant) bool { return !inUse[id] })
}
