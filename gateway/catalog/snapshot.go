// Package catalog keeps agents encoded, and finds the page of a list in them:
// what matches, in which order, from where on, and what is still owed.
//
// Read it in this order: snapshot.go and detail.go (what is kept), filter.go and
// order.go (what is asked), walk.go (where a client stands), page.go (the rows
// that it gets), cursor.go (how it is told where to go on).
//
// It is pure: no network, no clock, no configuration. It must not know who asks,
// nor how an answer travels.
package catalog

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// Snapshot is all agents of one backend as one credential sees them: sorted,
// and each row encoded once. It is not changed after it was made, and safe for
// concurrent use.
type Snapshot struct {
	// ID tells it from every other snapshot of this process.
	ID uint64

	Agents []*normalize.Agent // by normalize.Compare of native ids
	rows   []normalize.Row    // of each agent
	byID   map[string]int     // whole ids, alternate ones too
	orders [orderFields]lazyOrder
	texts  func() []string
	// postings find what filters look for; nil where it is not worth it.
	postings *postings

	// Unavailable and NotLoaded are what most rows say; a row that differs
	// carries its own.
	Unavailable normalize.FieldSet
	NotLoaded   normalize.FieldSet
	lacks       normalize.FieldSet // what some row has not loaded

	Fetched time.Time
	// Partial is why this is not all of it; nil if it is.
	Partial *normalize.Error
	// Interrupted: it is partial because the rest could not be asked for.
	Interrupted bool

	size int64
}

var lastID atomic.Uint64

// NewSnapshot encodes a listing. Of two agents with one id the first is kept.
func NewSnapshot(info *adapters.Info, listing adapters.Listing, fetched time.Time) (*Snapshot, error) {
	agents := slices.Clone(listing.Agents)
	slices.SortStableFunc(agents, func(a, b *normalize.Agent) int { return normalize.Compare(a.NativeID, b.NativeID) })
	agents = slices.CompactFunc(agents, func(a, b *normalize.Agent) bool { return a.NativeID == b.NativeID })
	s := &Snapshot{
		ID: lastID.Add(1), Agents: agents,
		rows:    make([]normalize.Row, len(agents)),
		byID:    make(map[string]int, len(agents)),
		Fetched: fetched, Partial: listing.Partial, Interrupted: listing.Interrupted,
		postings: newPostings(),
	}
	for i, a := range agents {
		row, err := encode(info, adapters.OpList, a)
		if err != nil {
			return nil, err
		}
		s.rows[i] = row
		s.lacks |= a.NotLoaded
		s.byID[a.ID] = i
		s.size += sizeOf(a, row)
	}
	for i, a := range agents {
		for _, alternate := range a.AlternateIDs {
			if _, taken := s.byID[alternate]; !taken { // an agent's own id goes before another's alternate
				s.byID[alternate] = i
			}
		}
	}
	s.Unavailable, s.NotLoaded = CommonSets(agents, info.Unavailable(), info.NotLoaded(adapters.InList))
	s.texts = sync.OnceValue(s.searchable)
	return s, nil
}

// With is the snapshot with some agents read in full, by their index; the
// others, and those that are nil, stay as they are. Its ID and its rows are the
// old ones.
func (s *Snapshot) With(details map[int]*Detail) *Snapshot {
	w := &Snapshot{
		ID: s.ID, Agents: slices.Clone(s.Agents), rows: s.rows, byID: s.byID,
		Unavailable: s.Unavailable, NotLoaded: s.NotLoaded, lacks: s.lacks,
		Fetched: s.Fetched, Partial: s.Partial, Interrupted: s.Interrupted, size: s.size,
	}
	for i, d := range details {
		if d != nil {
			w.Agents[i] = d.Agent
		}
	}
	w.texts = sync.OnceValue(w.searchable)
	return w
}

func encode(info *adapters.Info, op adapters.Operation, a *normalize.Agent) (normalize.Row, error) {
	row, err := a.Row()
	if err != nil {
		return nil, &normalize.Error{Kind: normalize.KindInternal, Provider: info.Provider, Op: string(op), Message: "an agent cannot be encoded", Err: err}
	}
	return row, nil
}

// Row is the encoded row of the agent at that index.
func (s *Snapshot) Row(i int) normalize.Row { return s.rows[i] }

// Find is the index of the agent with that native id, its own or an alternate
// one; -1 if there is none.
func (s *Snapshot) Find(nativeID string) int {
	if len(s.Agents) == 0 {
		return -1
	}
	i, ok := s.byID[normalize.ID{Backend: s.Agents[0].Backend, Native: nativeID}.String()]
	if !ok {
		return -1
	}
	return i
}

// Full is the agent at that index in full view, for a backend whose list shows
// all that there is of it.
func (s *Snapshot) Full(i int) *Detail {
	full := *s.Agents[i]
	full.View = normalize.ViewFull
	return newDetail(&full, s.rows[i])
}

// Size is the memory that the snapshot takes, in bytes, by estimate:
// BenchmarkMemory holds it against the truth.
func (s *Snapshot) Size() int64 { return s.size + int64(unsafe.Sizeof(*s)) }

// Per agent: its struct; what the pointers in it and the maps and slices that
// find and order it take.
const overhead = int64(unsafe.Sizeof(normalize.Agent{})) + 650

// sizeOf: the agent's own strings are about as long as its raw JSON; what is
// searched is its name, description and id once more.
func sizeOf(a *normalize.Agent, row normalize.Row) int64 {
	size := overhead + int64(len(row)+2*(len(a.RawList)+len(a.RawDetail))+len(a.ID))
	for _, text := range []*string{a.Name, a.Description} {
		if text != nil {
			size += int64(len(*text))
		}
	}
	return size
}

// CommonSets is what most agents say of their fields; without agents, what is
// given.
func CommonSets(agents []*normalize.Agent, unavailable, notLoaded normalize.FieldSet) (normalize.FieldSet, normalize.FieldSet) {
	type sets struct{ unavailable, notLoaded normalize.FieldSet }
	best, most := sets{unavailable, notLoaded}, 0
	count := map[sets]int{}
	for _, a := range agents {
		s := sets{a.Unavailable, a.NotLoaded}
		if count[s]++; count[s] > most {
			best, most = s, count[s]
		}
	}
	return best.unavailable, best.notLoaded
}
