package cache

import (
	"math/rand/v2"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/internal/digest"
)

// entry is one cached result. It is not changed once it is stored.
type entry struct {
	owner   *backend.Tenant // whose credential read it
	version uint64          // unique among results
	result  backend.Result
	size    int64 // in bytes
	freshness
}

// freshness is for how long an entry is served in which case.
type freshness struct {
	freshUntil      time.Time
	revalidateUntil time.Time // served while one refresh runs (stale-while-revalidate)
	ifErrorUntil    time.Time // served in place of a failure (stale-if-error)
	nextRefresh     time.Time // no refresh before then, because the last one failed
	// hasNewerPartial: a newer, partial list is stored at partialKey, see putPartial.
	hasNewerPartial bool
}

func newEntry(owner *backend.Tenant, version uint64, result backend.Result, c config.BackendCache) *entry {
	// Jitter of a tenth, so that entries read together do not expire together.
	ttl := time.Duration(float64(c.TTL.D()) * (0.9 + 0.2*rand.Float64()))
	fresh := result.Fetched.Add(ttl)
	e := &entry{
		owner: owner, version: version, result: result, size: result.Size(),
		freshness: freshness{freshUntil: fresh, revalidateUntil: fresh.Add(c.StaleWhileRevalidate.D()), ifErrorUntil: fresh.Add(c.StaleIfError.D())},
	}
	if c.TTL == 0 { // a ttl of 0 disables stale-while-revalidate, too
		e.revalidateUntil = fresh
	}
	return e
}

// withFreshness returns a copy of the entry with another freshness.
func (e *entry) withFreshness(f freshness) *entry {
	return &entry{owner: e.owner, version: e.version, result: e.result, size: e.size, freshness: f}
}

// isPartial reports whether the result is a list without some of its agents.
func (e *entry) isPartial() bool { return e.result.Snapshot != nil && e.result.Snapshot.Partial != nil }

// cacheKey identifies a read by its tenant, operation and agent.
func cacheKey(tenant *backend.Tenant, op adapters.Operation, nativeID string) string {
	fields := make(digest.Fields, 0, 64)
	return string(fields.Number(tenant.ID).Text(string(op)).Text(nativeID))
}

// partialKey is where the partial list is stored that is newer than the complete one at key.
func partialKey(key string) string { return key + "partial" }
