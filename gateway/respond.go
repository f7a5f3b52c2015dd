package gateway

import (
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/normalize"
)

// response is what a handler answers.
type response struct {
	status  int
	headers []field
	media   string // empty: JSON
	body    *payload.Payload
	etag    string
	oldest  time.Time // when the oldest part of it was read; zero: it has no Age
	read    bool      // a read of the caller's own data
	again   bool      // it is the same as long as what it was served from
	parts   []part    // the backends that were asked
	about   about
}

// about is the agent that an answer is about; empty for none, or several.
type about struct{ id, name string }

func aboutAgent(a *normalize.Agent) about {
	if a.Name == nil {
		return about{id: a.ID}
	}
	return about{a.ID, *a.Name}
}

// field is a header field (RFC 9110, 5); its name is in canonical form.
type field struct{ name, value []byte }

func newField(name, value string) field { return field{[]byte(name), []byte(value)} }

func (r *response) header(name, value string) { r.headers = append(r.headers, newField(name, value)) }

// applied says that the caller's preference for leniency was heeded (RFC 7240, 3).
func (r *response) applied(lenient bool) *response {
	if lenient {
		r.header("Preference-Applied", "handling=lenient")
	}
	return r
}

// What every read's answer has; here, so that it is not made for each.
var (
	privateNoCache   = newField(fiber.HeaderCacheControl, "private, no-cache")
	nameETag         = []byte("Etag")
	nameCacheStatus  = []byte("Cache-Status")
	nameServerTiming = []byte("Server-Timing")
)

// cacheStatus is RFC 9211's header: how the answer came about, of several
// backends the one that was furthest from a hit.
func cacheStatus(parts []part) []byte {
	if said, ok := cacheStatuses[worst(parts)]; ok {
		return said
	}
	return cacheStatuses[CacheMiss]
}

var cacheStatuses = map[CacheStatus][]byte{
	CacheHit:       []byte("agentgw; hit"),
	CacheStale:     []byte("agentgw; fwd=stale"),
	CacheBypass:    []byte("agentgw; fwd=request"),
	CacheCoalesced: []byte("agentgw; fwd=miss; collapsed"),
	CacheMiss:      []byte("agentgw; fwd=miss"),
}

// worst is the status of the part that is furthest from a hit; empty for none.
func worst(parts []part) CacheStatus {
	if len(parts) == 0 {
		return ""
	}
	worst := CacheHit
	for _, p := range parts {
		worst = worse(worst, p.cache)
	}
	return worst
}

// fromHit are the statuses, from a hit to what is furthest from one. An empty
// one is a failure.
var fromHit = []CacheStatus{CacheHit, CacheBypass, CacheCoalesced, CacheMiss, "", CacheStale}

// worse is the one of two statuses that is further from a hit.
func worse(a, b CacheStatus) CacheStatus {
	if slices.Index(fromHit, b) > slices.Index(fromHit, a) {
		return b
	}
	return a
}

// serverTiming has one entry for each backend asked, in milliseconds.
func serverTiming(parts []part) []byte {
	entries := make([]byte, 0, 48*len(parts))
	for i, p := range parts {
		status := string(p.cache)
		if status == "" {
			status = SourceError
		}
		if i > 0 {
			entries = append(entries, ", "...)
		}
		entries = append(append(entries, p.backend.Name...), ";dur="...)
		tenths := (p.took + 50*time.Microsecond) / (100 * time.Microsecond)
		entries = append(strconv.AppendInt(entries, int64(tenths/10), 10), '.', byte('0'+tenths%10))
		entries = append(append(append(entries, `;desc="`...), status...), '"')
	}
	return entries
}

// withMember is a body with one member more.
func withMember(body *payload.Payload, name string, value []byte) *payload.Payload {
	return payload.New(normalize.AppendMember(body.Plain(), name, value))
}
