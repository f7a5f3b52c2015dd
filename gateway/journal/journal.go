// Package journal is the in-memory log of recent requests that the console shows: the last
// requests with their calls to backends, recent events, and counters of the last 15 minutes.
// It needs no other system; metrics and traces reach further back.
//
// It stores names, numbers and codes only, never a body, path, query, agent, key or text of
// a backend. It imports nothing of this module, and does not know what a request means: its
// callers report outcomes.
//
// Begin reading at RequestLog: Start, AddCall and End record a request, and View returns
// what is new. series.go has the counters, view.go the JSON that the console reads.
package journal

import (
	"context"
	"slices"
	"sync"
	"time"
)

// The maximum numbers of entries, events and calls that are kept.
const (
	maxRecent    = 100 // entries of any kind
	maxWithCalls = 100 // entries with calls to a backend
	maxFailed    = 100 // entries that failed or were incomplete
	maxEvents    = 50
	maxCalls     = 64 // of one entry: a list in full view can make a thousand
)

// RequestLog keeps the most recent entries and events. Entries with calls and entries that
// failed have quotas of their own, so that many cache hits do not evict them. It is safe for
// concurrent use. A nil RequestLog records nothing.
type RequestLog struct {
	now func() time.Time

	mu                        sync.Mutex
	ended                     uint64 // number of entries that have ended
	revisions                 uint64 // number of changes of ended entries
	recent, withCalls, failed ring[*Entry]
	eventCount                uint64
	events                    ring[Event]
	gateway                   series
	backends                  map[string]*series
}

// New returns an empty RequestLog whose clock is now.
func New(now func() time.Time) *RequestLog {
	return &RequestLog{
		now:    now,
		recent: ring[*Entry]{size: maxRecent}, withCalls: ring[*Entry]{size: maxWithCalls}, failed: ring[*Entry]{size: maxFailed},
		events: ring[Event]{size: maxEvents}, backends: map[string]*series{},
	}
}

// Entry is a request to the gateway, or a background refresh. It is safe for concurrent use:
// its calls to backends may end after it.
type Entry struct {
	requestID string
	began     time.Time
	cause     string // id of the request that caused a refresh

	mu           sync.Mutex
	calls        []Call
	omittedCalls int    // calls beyond maxCalls
	number       uint64 // from 1, in the order in which entries end; 0 while it runs
	revision     uint64 // of its last change; 0 while it runs
	duration     time.Duration
	complete     bool // it did not fail, and no source is missing
	*Outcome          // nil while it runs
}

// Call is one request to a backend, or the wait for the call of another entry.
type Call struct {
	Backend   string
	Operation string
	Began     time.Time
	Took      time.Duration
	Status    int    // 0 without a response
	Error     string // the kind of error; empty for none
	Failed    bool   // the backend failed; false for errors such as an unknown agent
	Resend    int    // number of the retry; 0 for the first attempt
	Breaker   string // the state of the circuit breaker after it
	Shared    string // id of the request that made the call; empty if this one did
}

// Outcome is the result of an entry. It is immutable.
type Outcome struct {
	Trace  [16]byte // the trace id; zero for none
	Method string
	Route  string // as in /openapi.json; empty if no route matched
	Status int
	Code   string // the code of a problem response
	KeyID  string
	// ClientError reports that the request was invalid or refers to something that does not
	// exist. Such an entry has not failed.
	ClientError bool
	Sources     []Source
}

// Source is a backend's part of a response.
type Source struct {
	Backend string `json:"backend"`
	Status  string `json:"status"`
	Cache   string `json:"cache,omitzero"` // of a read: hit, stale, miss, coalesced or bypass
	Code    string `json:"code,omitzero"`
	Breaker string `json:"breaker,omitzero"` // if the part is incomplete
}

// statusOK is the Status of a complete source.
const statusOK = "ok"

// Event is a change of state that operators should see.
type Event struct {
	Number  uint64    `json:"number"`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"` // "breaker" or "reload"
	Backend string    `json:"backend,omitzero"`
	From    string    `json:"from,omitzero"`
	To      string    `json:"to"`
}

// entryKey is the context key of the entry.
type entryKey struct{}

// Start starts the entry of a request that began then. Calls that are added in the
// returned context belong to it. Without a log there is no entry.
func (j *RequestLog) Start(ctx context.Context, requestID string, began time.Time) (context.Context, *Entry) {
	if j == nil {
		return ctx, nil
	}
	e := &Entry{requestID: requestID, began: began}
	return context.WithValue(ctx, entryKey{}, e), e
}

// Refresh begins the entry of a background refresh that the entry of the context caused.
func (j *RequestLog) Refresh(ctx context.Context) (context.Context, *Entry) {
	if j == nil {
		return ctx, nil
	}
	cause := RequestID(ctx)
	ctx, e := j.Start(ctx, "", j.now())
	e.cause = cause
	return ctx, e
}

// RequestID returns the request id of the context's entry or, for a refresh, of the request
// that caused it; empty for none.
func RequestID(ctx context.Context) string {
	e, ok := ctx.Value(entryKey{}).(*Entry)
	if !ok {
		return ""
	}
	if e.requestID == "" {
		return e.cause
	}
	return e.requestID
}

// AddCall records a call to a backend that was made in the context.
func (j *RequestLog) AddCall(ctx context.Context, c Call) {
	if j == nil {
		return
	}
	now := j.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	if e, ok := ctx.Value(entryKey{}).(*Entry); ok {
		j.addTo(e, c)
	}
	if c.Shared != "" {
		return
	}
	step := j.backend(c.Backend).current(now)
	step.counts[calls]++
	if c.Failed {
		step.counts[failures]++
	}
	if c.Resend > 0 {
		step.counts[retries]++
	}
	step.latency.add(c.Took)
}

// addTo adds a call to its entry. If the entry has ended, the next View returns it again.
func (j *RequestLog) addTo(e *Entry, c Call) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.calls) < maxCalls {
		e.calls = append(e.calls, c)
	} else {
		e.omittedCalls++
	}
	if e.number > 0 {
		j.revisions++
		e.revision = j.revisions
	}
}

// AddEvent records an event. It sets its number and time.
func (j *RequestLog) AddEvent(e Event) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.eventCount++
	e.Number, e.At = j.eventCount, j.now()
	j.events.add(e)
}

// End records the end of an entry and its outcome.
func (j *RequestLog) End(e *Entry, now time.Time, o *Outcome) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	refresh := e.requestID == "" // counts as no request
	step := j.gateway.current(now)
	complete := true
	for _, s := range o.Sources {
		if s.Cache != "" {
			for _, counters := range [2]*counters{step, j.backend(s.Backend).current(now)} {
				counters.counts[reads]++
				if s.Cache == "hit" {
					counters.counts[fromCache]++
				}
			}
		}
		if s.Status == statusOK || s.Code == "" || o.ClientError { // without a code the source only lacks what the caller requested
			continue
		}
		complete = false
		if !refresh {
			step.addIncomplete(Incomplete{Backend: s.Backend, Status: s.Status, Code: s.Code})
		}
	}
	failed := o.Status >= 400 && !o.ClientError
	j.ended++
	j.revisions++
	e.mu.Lock()
	e.Outcome, e.duration, e.number, e.revision, e.complete = o, now.Sub(e.began), j.ended, j.revisions, complete && !failed
	hasCalls := len(e.calls) > 0
	e.mu.Unlock()

	j.recent.add(e)
	if hasCalls {
		j.withCalls.add(e)
	}
	if !complete || failed {
		j.failed.add(e)
	}
	if refresh {
		return
	}
	step.latency.add(now.Sub(e.began))
	switch {
	case o.ClientError:
		step.counts[callerErrors]++
	case failed:
		step.counts[failedAnswers]++
	case !complete:
		step.counts[incompleteAnswers]++
	default:
		step.counts[answers]++
	}
}

// RetainBackends drops the counters of backends that are not named, because they are no
// longer configured.
func (j *RequestLog) RetainBackends(names []string) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for name := range j.backends {
		if !slices.Contains(names, name) {
			delete(j.backends, name)
		}
	}
}

func (j *RequestLog) backend(name string) *series {
	s := j.backends[name]
	if s == nil {
		s = &series{}
		j.backends[name] = s
	}
	return s
}

// ring keeps the last size items.
type ring[T any] struct {
	size  int
	items []T
	next  int // the oldest item, once the ring is full
}

func (r *ring[T]) add(item T) {
	if len(r.items) < r.size {
		r.items = append(r.items, item)
		return
	}
	r.items[r.next] = item
	r.next = (r.next + 1) % r.size
}
