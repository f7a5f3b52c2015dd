package cache

import (
	"maps"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// generation distinguishes a tenant's reads that began before a write or a purge from later
// ones: the result of the former is not stored, and the latter do not share it. Numbers are
// not used twice.
type generation uint64

// generation returns the tenant's current generation.
func (c *Cache) generation(tenant *backend.Tenant) generation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generationLocked(tenant)
}

func (c *Cache) generationLocked(tenant *backend.Tenant) generation {
	g, ok := c.generations[tenant]
	if !ok {
		c.lastGeneration++
		g = c.lastGeneration
		c.generations[tenant] = g
	}
	return g
}

// writeEffect is what the outcome of a write means for cached results.
type writeEffect uint8

const (
	effectNone         writeEffect = iota // the agent was certainly not changed
	effectChanged                         // it was, or may have been
	effectUnauthorized                    // the provider rejected the credential
)

func effectOf(err error) writeEffect {
	if err == nil {
		return effectChanged
	}
	kind := normalize.KindOf(err)
	switch o := problem.Outcomes[kind]; {
	case kind == normalize.KindAuth:
		return effectUnauthorized
	case o.Ambiguous || o.Stale == problem.StaleNever:
		return effectChanged
	}
	return effectNone
}

func (c *Cache) afterWrite(tenant *backend.Tenant, nativeID string, effect writeEffect) {
	switch effect {
	case effectChanged:
		c.Invalidate(tenant, nativeID)
	case effectUnauthorized:
		c.invalidateTenant(tenant)
	}
}

// afterFailedRead drops the entries of a read that failed in a way that forbids serving
// them: the agent does not exist any more, or the provider rejected the credential, in which
// case all of the tenant's entries are dropped.
func (c *Cache) afterFailedRead(r *lookup, kind normalize.Kind) {
	if problem.Outcomes[kind].Stale != problem.StaleNever {
		return
	}
	if kind == normalize.KindAuth {
		c.invalidateTenant(r.tenant)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries.delete(r.key, partialKey(r.key))
}

// Invalidate drops what a write to an agent may have changed: the agent and the list, as the
// tenant sees them. Reads that are running are not stored.
func (c *Cache) Invalidate(tenant *backend.Tenant, nativeID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.generations, tenant)
	list := cacheKey(tenant, adapters.OpList, "")
	c.entries.delete(list, partialKey(list), cacheKey(tenant, adapters.OpGet, nativeID))
}

// invalidateTenant drops all entries of a tenant.
func (c *Cache) invalidateTenant(tenant *backend.Tenant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.generations, tenant)
	c.entries.deleteWhere(func(owner *backend.Tenant) bool { return owner == tenant })
}

// Retain drops the entries of all tenants that are not live, and stores nothing of those
// until the next call.
func (c *Cache) Retain(live map[*backend.Tenant]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = live
	maps.DeleteFunc(c.generations, func(tenant *backend.Tenant, _ generation) bool { return !live[tenant] })
	c.entries.deleteWhere(func(owner *backend.Tenant) bool { return !live[owner] })
}

// Purge drops the entries of the tenants that match and returns their number. Reads that
// are running are not stored, whoever's they are.
func (c *Cache) Purge(matches func(*backend.Tenant) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.generations)
	return c.entries.deleteWhere(matches)
}
