package backend

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/limit"
)

// Tenant is one credential at one backend: the unit by which quota, concurrency slots and
// cached data are isolated. It is replaced when its backend is reconfigured, or when its
// credential is removed and added again.
type Tenant struct {
	ID           uint64 // unique in this process
	Backend      *Backend
	CredentialID string
	slots        *limit.Slots // of the bulkhead; shared with the predecessor and successor
	quota        *quota       // shared likewise
	// oddIDs are the ids of the last list that do not have the provider's form.
	oddIDs atomic.Pointer[map[string]bool]
}

// tenants are those of one backend, by credential ID. It is safe for concurrent use.
type tenants struct {
	mu   sync.Mutex
	byID map[string]*Tenant
}

func newTenants() *tenants { return &tenants{byID: map[string]*Tenant{}} }

// lastTenantID is the ID of the newest tenant of any backend.
var lastTenantID atomic.Uint64

// Tenant returns the tenant of a credential at this backend.
func (b *Backend) Tenant(c adapters.Credential) *Tenant {
	b.tenants.mu.Lock()
	defer b.tenants.mu.Unlock()
	id := c.ID()
	t := b.tenants.byID[id]
	if t == nil {
		t = &Tenant{ID: lastTenantID.Add(1), Backend: b, CredentialID: id, slots: b.bulkhead.semaphore.Slots(id), quota: b.quotas.forCredential(id)}
		b.tenants.byID[id] = t
	}
	return t
}

// Successor returns the tenant that replaced t, or nil if none did.
func (t *Tenant) Successor() *Tenant {
	b := t.Backend
	for next := b.successor.Load(); next != nil; next = next.successor.Load() {
		b = next
	}
	b.tenants.mu.Lock()
	defer b.tenants.mu.Unlock()
	if current := b.tenants.byID[t.CredentialID]; current != t {
		return current
	}
	return nil
}

// retain drops the tenants of credentials that are not in use.
func (t *tenants) retain(inUse map[string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.byID, func(id string, _ *Tenant) bool { return !inUse[id] })
}
