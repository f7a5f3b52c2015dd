// Package idempotency remembers what became of the requests that carry an
// Idempotency-Key (draft-ietf-httpapi-idempotency-key-header), so that sending one
// again does not do it again.
//
// It must not know HTTP, agents or backends: what is kept is its user's to say.
package idempotency

import (
	"container/list"
	"errors"
	"sync"
	"time"
)

// TTL is how long an answer is kept.
const TTL = 24 * time.Hour

// ID names a request: a key of a caller's own, and the caller.
type ID struct{ Caller, Key string }

// Why a request cannot begin.
var (
	ErrRunning = errors.New("a request with this key is still running")
	ErrReused  = errors.New("this key was used for another request")
	ErrFull    = errors.New("there is no room for another record")
)

// Options of Records.
type Options struct {
	// MaxBytes bounds what is kept, by estimate; one caller gets half of it.
	MaxBytes int64
	Now      func() time.Time
}

// Records keeps an answer A, or a lost attempt T, for each request. It is safe for
// concurrent use. It lives as long as the process.
type Records[A, T any] struct {
	options Options

	mu       sync.Mutex
	byID     map[ID]*record[A, T]
	order    list.List // of *record, the oldest since first
	bytes    int64
	byCaller map[string]int64
}

type state uint8

const (
	running state = iota
	answered
	lost
)

type record[A, T any] struct {
	id          ID
	fingerprint [32]byte
	since       time.Time // it began, or ended
	state       state
	answer      A
	attempt     T
	size        int64
	element     *list.Element
}

// overhead is what a record takes beside its key and its answer, in bytes.
const overhead = 512

func overheadOf(id ID) int64 { return overhead + int64(len(id.Key)+len(id.Caller)) }

// New makes Records.
func New[A, T any](o Options) *Records[A, T] {
	return &Records[A, T]{options: o, byID: map[ID]*record[A, T]{}, byCaller: map[string]int64{}}
}

// Begin is what a request does first. It is given the answer of the same request
// before it, or a claim, which it must end; or the error says why neither. The
// fingerprint tells whether two requests are the same.
func (r *Records[A, T]) Begin(id ID, fingerprint [32]byte) (*Claim[A, T], *A, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.options.Now()
	r.expire(now)
	known, ok := r.byID[id]
	switch {
	case !ok:
		size := overheadOf(id)
		if r.bytes+size > r.options.MaxBytes || r.byCaller[id.Caller]+size > r.options.MaxBytes/2 {
			return nil, nil, ErrFull
		}
		known = &record[A, T]{id: id, fingerprint: fingerprint, since: now}
		known.element = r.order.PushBack(known)
		r.byID[id] = known
		r.resize(known, size)
		return &Claim[A, T]{records: r, record: known}, nil, nil
	case known.fingerprint != fingerprint:
		return nil, nil, ErrReused
	case known.state == running:
		return nil, nil, ErrRunning
	case known.state == answered:
		return nil, &known.answer, nil
	}
	known.state = running
	attempt := known.attempt
	return &Claim[A, T]{records: r, record: known, Lost: &attempt}, nil, nil
}

// expire forgets what is too old. What still runs ends by itself.
func (r *Records[A, T]) expire(now time.Time) {
	for e := r.order.Front(); e != nil && now.Sub(e.Value.(*record[A, T]).since) >= TTL; {
		next := e.Next()
		if known := e.Value.(*record[A, T]); known.state != running {
			r.remove(known)
		}
		e = next
	}
}

// Keep forgets what is of other callers. What still runs is left, and
// expires.
func (r *Records[A, T]) Keep(callers map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range r.byID {
		if known.state != running && !callers[known.id.Caller] {
			r.remove(known)
		}
	}
}

func (r *Records[A, T]) remove(known *record[A, T]) {
	r.order.Remove(known.element)
	delete(r.byID, known.id)
	r.resize(known, 0)
}

func (r *Records[A, T]) resize(known *record[A, T], size int64) {
	r.bytes += size - known.size
	r.byCaller[known.id.Caller] += size - known.size
	if r.byCaller[known.id.Caller] == 0 {
		delete(r.byCaller, known.id.Caller)
	}
	known.size = size
}

// Claim is the right to do a request. Exactly one of its methods ends it; what
// comes after the first changes nothing.
type Claim[A, T any] struct {
	// Lost is the attempt before this one, of which nobody knows what became of
	// it; nil if this is the first.
	Lost *T

	records *Records[A, T]
	record  *record[A, T]
	ended   bool
}

// Answered keeps the answer, which takes so many bytes.
func (c *Claim[A, T]) Answered(answer A, size int64) {
	c.end(func(known *record[A, T]) {
		known.state, known.answer = answered, answer
		c.records.resize(known, overheadOf(known.id)+size)
	})
}

// LostTrack keeps an attempt that may have done it, or not, and takes so many bytes.
func (c *Claim[A, T]) LostTrack(attempt T, size int64) {
	c.end(func(known *record[A, T]) {
		known.state, known.attempt = lost, attempt
		c.records.resize(known, overheadOf(known.id)+size)
	})
}

// Forget says that nothing was done.
func (c *Claim[A, T]) Forget() { c.end(c.records.remove) }

func (c *Claim[A, T]) end(how func(*record[A, T])) {
	c.records.mu.Lock()
	defer c.records.mu.Unlock()
	if !c.ended {
		c.ended = true
		c.record.since = c.records.options.Now()
		c.records.order.MoveToBack(c.record.element)
		how(c.record)
	}
}
