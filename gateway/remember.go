package gateway

import (
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"go.opentelemetry.io/otel/trace"

	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// remembered finds answers by what was asked, to the letter. As long as all that an answer
// was made of is still kept and fresh, it is given again: neither is the query read nor
// anything put together, which is two thirds of what a list from memory costs. It holds no
// snapshot and no large page: they are in the cache and in pages, and go when they go.
//
// It is safe for concurrent use.
type remembered struct {
	telemetry *telemetry.Telemetry
	clears    atomic.Uint64 // how often all was let go of

	mu  sync.Mutex
	lru *simplelru.LRU[wish, *recipe]
}

// wish is who asks for what. A reload makes other callers: nothing of before is found.
type wish struct {
	caller    *Caller
	route     string
	id, query string // as they came
}

// recipe is an answer, and what it is made of.
type recipe struct {
	of      []weak.Pointer[entry]
	answer  answer // without its body
	body    weak.Pointer[payload.Payload]
	pinned  *payload.Payload   // the body too, where it is small
	parts   []part             // what is told of them: no snapshot is in it
	reads   []*telemetry.Tally // of each that it is made of
	sources []journal.Source
	said    string // of them, in the access line
	cache   CacheStatus
	about   about
}

const (
	// maxRemembered is how many are kept.
	maxRemembered = 4096
	// maxWish is how long a query may be that is worth it, in bytes.
	maxWish = 512
	// maxPinned is how large a body may be that is kept for its own sake, in bytes: an
	// agent that its backend's list shows in full is in nothing else.
	maxPinned = 4 << 10
)

func newRemembered(t *telemetry.Telemetry) *remembered {
	lru, err := simplelru.NewLRU[wish, *recipe](maxRemembered, nil)
	if err != nil { // the number is constant
		panic(err)
	}
	return &remembered{telemetry: t, lru: lru}
}

// clear lets go of all, so that it holds on to nothing of an older state.
func (r *remembered) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clears.Add(1)
	r.lru.Purge()
}

// again is how a wish was answered, and the answer, if it is the same at that time.
func (r *remembered) again(w wish, now time.Time) (*recipe, answer, bool) {
	r.mu.Lock()
	known, ok := r.lru.Get(w)
	r.mu.Unlock()
	if !ok {
		return nil, answer{}, false
	}
	a := known.answer
	if a.body = known.body.Value(); a.body == nil || !known.holds(now) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if same, ok := r.lru.Peek(w); ok && same == known {
			r.lru.Remove(w)
		}
		return nil, answer{}, false
	}
	return known, a, true
}

// touch has a wish be one of the last that were asked.
func (r *remembered) touch(w wish) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lru.Get(w)
}

// holds reports whether all that the answer is made of is as it was.
func (r *recipe) holds(now time.Time) bool {
	for _, of := range r.of {
		if e := of.Value(); e == nil || e.gone.Load() || !now.Before(e.fresh) {
			return false
		}
	}
	return true
}

// put remembers an answer, if it is made of nothing but what is kept, and if that is what
// there is still: after a reload nobody would look for it.
func (r *remembered) put(w wish, made *response, ready answer, x *exchange, current func() bool) {
	known := &recipe{answer: ready, body: weak.Make(made.body), sources: x.sources, said: describe(x.sources), cache: x.cache, about: made.about}
	known.answer.body = nil
	if len(made.body.Plain()) <= maxPinned {
		known.pinned = made.body
	}
	for _, p := range made.parts {
		if p.of[0] == nil || p.failure != nil {
			return
		}
		for _, e := range p.of {
			if e != nil {
				known.of = append(known.of, weak.Make(e))
				known.reads = append(known.reads, r.telemetry.CacheReads(p.backend.Name, string(CacheHit)))
			}
		}
		known.parts = append(known.parts, part{backend: p.backend, cache: p.cache, source: Source{Status: p.source.Status}})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if current() {
		r.lru.Add(w, known)
	}
}

// tell has spans, metrics and the journal show what reading the cache once more would.
func (g *Gateway) tell(known *recipe, x *exchange) {
	for _, read := range known.reads {
		read.Count()
	}
	if x.span != nil && known.about == (about{}) {
		_, span := g.telemetry.Child(x.context(), "fanout", trace.SpanKindInternal)
		traceParts(span, known.parts)
		span.End()
	}
	x.sources, x.described, x.cache, x.about = known.sources, known.said, known.cache, known.about
}

// madeFrom is what an answer was served from: a list, an agent, or both.
type madeFrom [2]*entry

// and are those of both; none if one has none.
func (e madeFrom) and(other madeFrom) madeFrom {
	if e[0] == nil || other[0] == nil {
		return madeFrom{}
	}
	return madeFrom{e[0], other[0]}
}
