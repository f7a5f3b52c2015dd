// Package journal keeps what happened lately, for a person who looks: the last requests
// with what they asked of the backends, and counts of the last 15 minutes. Dashboards
// and traces go further back; the journal is there without them, in the process itself.
//
// It holds names, numbers and codes. No body, path, query, agent, key or text of a
// backend ever comes in.
package journal

import (
	"context"
	"slices"
	"sync"
	"time"
)

// How many entries are kept of each kind.
const (
	keptRecent   = 100 // of any
	keptAsking   = 100 // that asked a backend
	keptTroubled = 100 // that failed, or were not whole
	keptEvents   = 50
	keptCalls    = 64 // of an entry: a list in full view makes a thousand
)

// Journal is safe for concurrent use. A nil one keeps nothing.
type Journal struct {
	now func() time.Time

	mu                       sync.Mutex
	entries                  uint64 // that ended, ever
	revisions                uint64 // of entries, ever
	recent, asking, troubled ring[*Entry]
	happened                 uint64 // ever
	events                   ring[Event]
	gateway                  series
	backends                 map[string]*series
}

// New makes a journal; now is the clock.
func New(now func() time.Time) *Journal {
	return &Journal{
		now:    now,
		recent: ring[*Entry]{size: keptRecent}, asking: ring[*Entry]{size: keptAsking}, troubled: ring[*Entry]{size: keptTroubled},
		events: ring[Event]{size: keptEvents}, backends: map[string]*series{},
	}
}

// Entry is a request to the gateway, or a refresh that nobody waits for. It is safe for
// concurrent use: what it asks of backends may end after it did.
type Entry struct {
	requestID string
	began     time.Time
	cause     string // request id of what caused a refresh

	mu       sync.Mutex
	calls    []Call
	more     int    // calls beyond those that are kept
	number   uint64 // from 1, by when they ended; 0 while it runs
	revision uint64 // of all that ended or were added to
	took     time.Duration
	whole    bool
	*Outcome // nil while it runs
}

// Call is one request to a backend, or the wait for another entry's.
type Call struct {
	Backend   string
	Operation string
	Began     time.Time
	Took      time.Duration
	Status    int    // 0 where there was no answer
	Error     string // kind of the failure; empty for none
	Failed    bool   // the backend failed; not that it had no such agent, say
	Resend    int    // 0 for the first attempt
	Breaker   string // the breaker's state after it
	Shared    string // request id of the entry that asked; empty where this one did
}

// Outcome is how an entry ended. It is not changed any more.
type Outcome struct {
	Trace   [16]byte // its id; zero for none
	Method  string
	Route   string // as /openapi.json writes it; empty where there is none
	Status  int
	Code    string // of a problem
	KeyID   string
	Theirs  bool // what was asked for cannot be; nothing here failed
	Sources []Source
}

// Source is a backend's part of an answer.
type Source struct {
	Backend string `json:"backend"`
	Status  string `json:"status"`
	Cache   string `json:"cache,omitzero"` // hit, stale, miss, coalesced or bypass, of a read
	Code    string `json:"code,omitzero"`
	Breaker string `json:"breaker,omitzero"` // where the backend's part is not whole
}

// statusOK is the Status of a source that is whole.
const statusOK = "ok"

// Event is a change that matters to whoever looks.
type Event struct {
	Number  uint64    `json:"number"`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"` // breaker, reload
	Backend string    `json:"backend,omitzero"`
	From    string    `json:"from,omitzero"`
	To      string    `json:"to"`
}

// Key is that of the entry in a context.
type Key struct{}

// Begin starts an entry that began then, in a new one; nil if nothing is kept.
func (j *Journal) Begin(e *Entry, requestID string, began time.Time) *Entry {
	if j == nil {
		return nil
	}
	e.requestID, e.began = requestID, began
	return e
}

// Start starts an entry for a request that began then. Calls that are made in the context
// are part of it.
func (j *Journal) Start(ctx context.Context, requestID string, began time.Time) (context.Context, *Entry) {
	e := j.Begin(new(Entry), requestID, began)
	return e.In(ctx), e
}

// In has the calls that are made in the context be part of the entry; a nil one has none.
func (e *Entry) In(ctx context.Context) context.Context {
	if e == nil {
		return ctx
	}
	return context.WithValue(ctx, Key{}, e)
}

// Refresh starts an entry of its own, caused by the one of the context.
func (j *Journal) Refresh(ctx context.Context) (context.Context, *Entry) {
	if j == nil {
		return ctx, nil
	}
	e := j.Begin(new(Entry), "", j.now())
	e.cause = RequestID(ctx)
	return e.In(ctx), e
}

// RequestID is that of the context's entry, or of what caused it; empty for none.
func RequestID(ctx context.Context) string {
	e, ok := ctx.Value(Key{}).(*Entry)
	if !ok {
		return ""
	}
	if e.requestID == "" {
		return e.cause
	}
	return e.requestID
}

// Call takes note of a request to a backend, made in the context.
func (j *Journal) Call(ctx context.Context, c Call) {
	if j == nil {
		return
	}
	now := j.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	if e, ok := ctx.Value(Key{}).(*Entry); ok {
		j.addTo(e, c)
	}
	if c.Shared != "" {
		return
	}
	at := j.of(c.Backend).at(now)
	at.counts[calls]++
	if c.Failed {
		at.counts[failures]++
	}
	if c.Resend > 0 {
		at.counts[retries]++
	}
	at.latency.add(c.Took)
}

// addTo adds a call to its entry. One that ended before is shown once more.
func (j *Journal) addTo(e *Entry, c Call) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.calls) < keptCalls {
		e.calls = append(e.calls, c)
	} else {
		e.more++
	}
	if e.number > 0 {
		j.revisions++
		e.revision = j.revisions
	}
}

// Happened takes note of a change.
func (j *Journal) Happened(e Event) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.happened++
	e.Number, e.At = j.happened, j.now()
	j.events.add(e)
}

// End takes note of when and how an entry ended.
func (j *Journal) End(e *Entry, now time.Time, o *Outcome) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	refresh := e.requestID == "" // nobody's request
	at := j.gateway.at(now)
	whole := true
	for _, s := range o.Sources {
		if s.Cache != "" {
			for _, of := range [2]*step{at, j.of(s.Backend).at(now)} {
				of.counts[reads]++
				if s.Cache == "hit" {
					of.counts[fromCache]++
				}
			}
		}
		if s.Status == statusOK || s.Code == "" || o.Theirs { // without a code it is the caller's wish that it cannot meet
			continue
		}
		whole = false
		if !refresh {
			at.note(Incomplete{Backend: s.Backend, Status: s.Status, Code: s.Code})
		}
	}
	failed := o.Status >= 400 && !o.Theirs
	j.entries++
	j.revisions++
	e.mu.Lock()
	e.Outcome, e.took, e.number, e.revision, e.whole = o, now.Sub(e.began), j.entries, j.revisions, whole && !failed
	asked := len(e.calls) > 0
	e.mu.Unlock()

	j.recent.add(e)
	if asked {
		j.asking.add(e)
	}
	if !whole || failed {
		j.troubled.add(e)
	}
	if refresh {
		return
	}
	at.latency.add(now.Sub(e.began))
	switch {
	case o.Theirs:
		at.counts[callerErrors]++
	case failed:
		at.counts[failedAnswers]++
	case !whole:
		at.counts[incompleteAnswers]++
	default:
		at.counts[answers]++
	}
}

// Keep forgets the backends that are not named: they are configured no more.
func (j *Journal) Keep(names []string) {
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

func (j *Journal) of(backend string) *series {
	s := j.backends[backend]
	if s == nil {
		s = &series{}
		j.backends[backend] = s
	}
	return s
}

// ring has the last of what was added.
type ring[T any] struct {
	size  int
	items []T
	next  int // to be written over, once it is full
}

func (r *ring[T]) add(item T) {
	if len(r.items) < r.size {
		r.items = append(r.items, item)
		return
	}
	r.items[r.next] = item
	r.next = (r.next + 1) % r.size
}
