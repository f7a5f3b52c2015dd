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
	// Row is the agent as the list shows it, where whoever gets it has it
	// already: the list is not asked for again.
	Row catalog.RowRef
	// Previous is what the same read gave the last time, as far as it is kept: it is given
	// again if the backend's reply is.
	Previous *Result
	// NoCache asks the backend even if the answer is at hand; AtHand does not ask
	// it at all, and ends with errNotAtHand if that would be needed.
	NoCache, OnlyIfCached bool
	// Background reads an agent when it is its turn among those that nobody asked
	// for by name.
	Background bool
}

// Result is what a Call gave. What it points to is shared and not changed.
type Result struct {
	Snapshot *catalog.Snapshot // list
	Detail   *catalog.Detail   // get
	Created  *normalize.Agent  // create
	Fetched  time.Time
	Cache    CacheStatus
	// Stale is why an older answer stands in for the backend's; nil if it
	// does not.
	Stale *normalize.Error
	// Span is the span of the last request to the backend that it took; nil for none that was
	// recorded.
	Span *trace.SpanContext
	// Dependencies are the cache entries that it was served from, if all were fresh.
	Dependencies []Dependency
	// reply is what it was made of; nil if that was more than one reply.
	reply *replyHash
	// RequestID is the id of the request that this was done for.
	RequestID string
}

// Size is the memory that a result of a read takes, in bytes, by estimate.
func (r Result) Size() int64 {
	switch {
	case r.Snapshot != nil:
		return r.Snapshot.Size()
	case r.Detail != nil:
		return r.Detail.Size()
	}
	return 0
}

// CacheStatus is how a Result came about.
type CacheStatus string

// How a Result can come about.
const (
	CacheHit       CacheStatus = "hit"
	CacheMiss      CacheStatus = "miss"
	CacheStale     CacheStatus = "stale"
	CacheCoalesced CacheStatus = "coalesced"
	CacheBypass    CacheStatus = "bypass"
)

// Endpoint performs a Call.
type Endpoint func(context.Context, Call) (Result, error)

// Middleware wraps an Endpoint.
type Middleware func(Endpoint) Endpoint

// RoundTripMiddleware wraps one HTTP request to a backend.
type RoundTripMiddleware func(adapters.RoundTrip) adapters.RoundTrip

// behindKey marks a context.
type behindKey struct{}

// WithBackgroundPriority marks what is asked of a backend while nobody waits for it by name: a
// refresh, or the agents of a list in full view. It leaves room for the others.
func WithBackgroundPriority(ctx context.Context) context.Context {
	return context.WithValue(ctx, behindKey{}, true)
}

func HasBackgroundPriority(ctx context.Context) bool { return ctx.Value(behindKey{}) != nil }

// Dependency is an entry of the snapshot cache that a response was made of.
type Dependency struct {
	Backend string
	Key     string
	Version uint64
}

// ErrNotCached ends a read of what is cached only, where nothing is.
var ErrNotCached = errors.New("not cached")

// ContextKind returns why a caller waits no longer.
func ContextKind(ctx context.Context) normalize.Kind {
	if ctx.Err() == context.Canceled {
		return normalize.KindCanceled
	}
	return normalize.KindDeadline
}
