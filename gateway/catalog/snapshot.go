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
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// Snapshot is all agents of one backend as one credential sees them: sorted, and each row
// encoded once. Of an agent only its row is kept, and what lists are filtered by; the rest
// is read out of the row when it is needed. It is not changed after it was made, and safe
// for concurrent use.
type Snapshot struct {
	// ID tells it from every other snapshot of this process.
	ID uint64

	backend    string
	listed     []facts // by normalize.Compare of native ids
	rows       archive
	raw        archive        // the vendor's own JSON; seldom asked for
	alternates map[string]int // by whole alternate ids
	orders     [orderFields]lazyOrder
	texts      func() []string
	// postings find what filters look for; nil where it is not worth it.
	postings *postings
	// details take the place of rows, by index; nil outside of With.
	details map[int]*Detail

	// Unavailable and NotLoaded are what most rows say; a row that differs
	// carries its own.
	Unavailable normalize.FieldSet
	NotLoaded   normalize.FieldSet
	lacks       normalize.FieldSet // what some row has not loaded

	// Partial is why this is not all of it; nil if it is.
	Partial *normalize.Error
	// Interrupted: it is partial because the rest could not be asked for.
	Interrupted bool

	size int64
}

var lastID atomic.Uint64

// NewSnapshot encodes a listing. Of two agents with one id the first is kept. It keeps
// nothing of the listing itself.
func NewSnapshot(info *adapters.Info, listing adapters.Listing) (*Snapshot, error) {
	agents := sorted(listing.Agents)
	s := &Snapshot{
		ID: lastID.Add(1), listed: make([]facts, len(agents)),
		Partial: listing.Partial, Interrupted: listing.Interrupted,
		postings: newPostings(),
	}
	ends, sets := make([]int, len(agents)), make([]Sets, len(agents))
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	rows := normalize.Row((*buffer)[:0])
	same := shared{}
	for i, a := range agents {
		var err error
		if rows, err = a.AppendRow(rows); err != nil {
			return nil, notEncoded(info, adapters.OpList, err)
		}
		s.listed[i] = factsOf(a).shared(same)
		ends[i] = len(rows)
		s.backend = a.Backend
		s.lacks |= s.listed[i].NotLoaded
		sets[i] = s.listed[i].Sets
		for _, alternate := range a.AlternateIDs {
			if _, taken := s.alternates[alternate]; taken {
				continue
			}
			if s.alternates == nil {
				s.alternates = make(map[string]int, len(agents))
			}
			s.alternates[alternate] = i
		}
	}
	*buffer = rows
	s.rows = newArchive(len(agents), func(i int) []byte {
		if i == 0 {
			return rows[:ends[0]]
		}
		return rows[ends[i-1]:ends[i]]
	})
	s.raw = newArchive(len(agents), func(i int) []byte { return agents[i].RawList })
	s.Unavailable, s.NotLoaded = CommonSets(sets, Sets{info.Unavailable(), info.NotLoaded(adapters.InList)})
	s.texts = sync.OnceValue(s.searchable)
	s.size = int64(unsafe.Sizeof(*s)) + s.rows.size() + s.raw.size() + overhead*int64(len(agents))
	return s, nil
}

// With is the snapshot with some agents read in full, by their index; the
// others, and those that are nil, stay as they are. Its ID and its rows are the
// old ones.
func (s *Snapshot) With(details map[int]*Detail) *Snapshot {
	w := &Snapshot{
		ID: s.ID, backend: s.backend, listed: slices.Clone(s.listed), rows: s.rows, raw: s.raw, alternates: s.alternates, details: details,
		Unavailable: s.Unavailable, NotLoaded: s.NotLoaded, lacks: s.lacks,
		Partial: s.Partial, Interrupted: s.Interrupted, size: s.size,
	}
	for i, d := range details {
		if d != nil {
			w.listed[i] = factsOf(d.Agent)
		}
	}
	w.texts = sync.OnceValue(w.searchable)
	return w
}

// sorted returns the agents by native id. Of several with one id the first is kept.
func sorted(listed []*normalize.Agent) []*normalize.Agent {
	agents := slices.Clone(listed)
	slices.SortStableFunc(agents, func(a, b *normalize.Agent) int { return normalize.Compare(a.NativeID, b.NativeID) })
	return slices.CompactFunc(agents, func(a, b *normalize.Agent) bool { return a.NativeID == b.NativeID })
}

func notEncoded(info *adapters.Info, op adapters.Operation, err error) error {
	return &normalize.Error{Kind: normalize.KindInternal, Provider: info.Provider, Op: string(op), Message: "an agent cannot be encoded", Err: err}
}

// Len is how many agents there are.
func (s *Snapshot) Len() int { return len(s.listed) }

// NativeID is that of the agent at an index.
func (s *Snapshot) NativeID(i int) string { return s.listed[i].native }

// Sets are those of the agent at an index.
func (s *Snapshot) Sets(i int) Sets { return s.listed[i].Sets }

// Rows gives the encoded row of the agent at an index; each is over when the next one is read.
func (s *Snapshot) Rows() func(i int) []byte { return s.rows.reader() }

// RowLen is how long the row of the agent at an index is, in bytes.
func (s *Snapshot) RowLen(i int) int { return s.rows.len(i) }

// Raw gives the vendor's own JSON of the agent at an index; nil for none. Each is over when
// the next one is read.
func (s *Snapshot) Raw() func(i int) []byte { return s.raw.reader() }

// Brief is what tells agents apart.
type Brief struct {
	ID, NativeID    string
	Name, CreatedAt *string
}

// Brief is that of the agent at an index, without the rest of it.
func (s *Snapshot) Brief(i int) Brief {
	of, native := s.shown(i), s.listed[i].native
	return Brief{normalize.ID{Backend: s.backend, Native: native}.String(), native, of.Name, of.CreatedAt}
}

// Agent is the agent at an index, read out of its row. Nobody else has it.
func (s *Snapshot) Agent(i int) *normalize.Agent {
	if d := s.details[i]; d != nil {
		whole := *d.Agent
		return &whole
	}
	a, err := normalize.Row(s.rows.get(i, nil)).Agent()
	if err != nil { // we have encoded it
		panic(err)
	}
	a.View, a.RawList = normalize.ViewBasic, bytes.Clone(s.raw.get(i, nil))
	a.Unavailable, a.NotLoaded = s.listed[i].Unavailable, s.listed[i].NotLoaded
	return a
}

// At is the agent at an index, for whoever may not need it.
func (s *Snapshot) At(i int) Listed { return Listed{s, i} }

// Listed is an agent as a list shows it. The zero value is none.
type Listed struct {
	of    *Snapshot
	index int
}

// IsZero reports whether it is none.
func (l Listed) IsZero() bool { return l.of == nil }

// rowID tells a row from every other one.
type rowID struct {
	snapshot uint64
	index    int
}

// Find is the index of the agent with that native id, its own or an alternate
// one; -1 if there is none.
func (s *Snapshot) Find(nativeID string) int {
	i, found := slices.BinarySearchFunc(s.listed, nativeID, func(f facts, id string) int { return normalize.Compare(f.native, id) })
	if found {
		return i
	}
	if i, found = s.alternates[normalize.ID{Backend: s.backend, Native: nativeID}.String()]; found {
		return i
	}
	return -1
}

// Full is the agent at that index in full view, for a backend whose list shows
// all that there is of it.
func (s *Snapshot) Full(i int) *Detail {
	full := s.Agent(i)
	full.View = normalize.ViewFull
	return newDetail(full, s.rows.get(i, nil))
}

// Size is the memory that the snapshot takes, in bytes, by estimate:
// BenchmarkMemory holds it against the truth.
func (s *Snapshot) Size() int64 { return s.size }

// overhead is what an agent takes beside its row and raw JSON, in bytes: its facts, its
// ids, and what finds and orders it.
const overhead = int64(unsafe.Sizeof(facts{})) + 345

// Sets are what an agent says of its fields.
type Sets struct{ Unavailable, NotLoaded normalize.FieldSet }

// CommonSets is what most agents say of their fields; without agents, what is
// given.
func CommonSets(agents []Sets, given Sets) (unavailable, notLoaded normalize.FieldSet) {
	best, most := given, 0
	count := map[Sets]int{}
	for _, s := range agents {
		if count[s]++; count[s] > most {
			best, most = s, count[s]
		}
	}
	return best.Unavailable, best.NotLoaded
}
