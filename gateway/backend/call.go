package backend

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/normalize"
)

// Call is one operation on one backend.
type Call struct {
	Op         adapters.Operation
	Credential adapters.Credential
	NativeID   string           // get, update, delete
	Change     normalize.Change // create, update
	// Row is the agent's row of the list, if the caller of a get has it: the list is not
	// requested then.
	Row catalog.RowRef
	// Previous is the last result of the same read, or nil. Its snapshot or agent is used
	// again if the backend's reply is the same.
	Previous *Result
	// NoCache sends a request even if a fresh result is cached.
	NoCache bool
	// OnlyIfCached sends no request: without a cached result the call is ErrNotCached
	// (RFC 9111, section 5.2.1.7).
	OnlyIfCached bool
	// Background gives a get background priority, see [WithBackgroundPriority].
	Background bool
}

// Result is the result of a Call. What it points to is shared and must not be changed.
type Result struct {
	Snapshot *catalog.Snapshot // list
	Detail   *catalog.Detail   // get
	Created  *normalize.Agent  // create
	Fetched  time.Time         // when the oldest part was requested
	Cache    CacheStatus
	// Stale is the failure for which a stale result is served (stale-if-error), or nil.
	Stale *normalize.Error
	// Span is the span of the last request to the backend; nil if none was recorded.
	Span *trace.SpanContext
	// Dependencies are the cache entries that the result was served from, if all were fresh.
	Dependencies []Dependency
	// reply is the hash of the reply that was decoded; nil if there were several.
	reply *replyHash
	// RequestID is the ID of the gateway's request that caused the call.
	RequestID string
}

// Size estimates the memory of a read's result in bytes.
func (r Result) Size() int64 {
	switch {
	case r.Snapshot != nil:
		return r.Snapshot.Size()
	case r.Detail != nil:
		return r.Detail.Size()
	}
	return 0
}

// CacheStatus is how the cache took part in a Result.
type CacheStatus string

// The values of CacheStatus.
const (
	CacheHit       CacheStatus = "hit"       // cached; perhaps while a refresh runs
	CacheMiss      CacheStatus = "miss"      // requested from the backend
	CacheStale     CacheStatus = "stale"     // cached, because the backend failed
	CacheCoalesced CacheStatus = "coalesced" // requested by another, concurrent read
	CacheBypass    CacheStatus = "bypass"    // requested because of NoCache
)

// Endpoint performs a Call.
type Endpoint func(context.Context, Call) (Result, error)

// Middleware wraps an Endpoint.
type Middleware func(Endpoint) Endpoint

// RoundTripMiddleware wraps the sending of one HTTP request to a backend.
type RoundTripMiddleware func(adapters.RoundTrip) adapters.RoundTrip

type backgroundKey struct{}

// WithBackgroundPriority returns a context for requests that no caller asked for by name: a
// refresh, or the agents of a list in full view. They leave a share of the quota and of the
// concurrency to foreground requests.
func WithBackgroundPriority(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

// HasBackgroundPriority reports whether ctx is of WithBackgroundPriority.
func HasBackgroundPriority(ctx context.Context) bool { return ctx.Value(backgroundKey{}) != nil }

// Dependency is one version of a cache entry that a response was made from.
type Dependency struct {
	Backend string
	Key     string
	Version uint64
}

// ErrNotCached is the error of a call with OnlyIfCached that has no cached result.
var ErrNotCached = errors.New("not cached")

// ContextKind returns the kind of error for a context that ended.
func ContextKind(ctx context.Context) normalize.Kind {
	if ctx.Err() == context.Canceled {
		return normalize.KindCanceled
	}
	return normalize.KindDeadline
}
