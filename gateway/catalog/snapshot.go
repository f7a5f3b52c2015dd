// Package catalog stores the agents of a backend in encoded form, and finds the rows of a
// page in them: filtered, sorted and paginated over several backends.
//
// It is pure: it has no network, clock or configuration, and knows neither callers nor
// HTTP. Of this module it imports adapters, normalize, gateway/payload (encoded bodies) and
// config/secret (the secret of cursors).
//
// Begin reading at Snapshot and Detail, then Paginate. filter.go and order.go select and
// sort rows, cursor.go is the position of a client, and sealer.go encrypts it. archive.go
// and postings.go save memory and time and do not change any result.
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

// Snapshot is all agents of one backend that one credential can see, sorted by native id.
// Each agent is encoded once, as a row. Besides the row only the fields that lists are
// filtered by are kept; others are decoded from the row when needed. It is immutable and
// safe for concurrent use.
type Snapshot struct {
	// ID is unique among the snapshots of this process.
	ID uint64

	backend    string
	listed     []rowFields // in the order of native ids (normalize.Compare)
	rows       archive
	raw        archive        // the provider's own JSON of each agent
	alternates map[string]int // index by alternate id, with its backend
	orders     [orderFields]lazyOrder
	texts      func() []string
	// postings is the index of filter fields; nil in the result of With.
	postings *postings
	// details replace rows, by index; nil except in the result of With.
	details map[int]*Detail

	// Unavailable and NotLoaded are the field sets of most rows. A row with other sets
	// contains them.
	Unavailable normalize.FieldSet
	NotLoaded   normalize.FieldSet
	lacks       normalize.FieldSet // the fields that some row has not loaded

	// Partial is why the snapshot is incomplete; nil if it is complete.
	Partial *normalize.Error
	// Warnings say what of the list is not as the provider documents, by row.
	Warnings []RowWarning
	// Interrupted reports that it is incomplete because the rest could not be requested.
	Interrupted bool

	size int64
}

var lastID atomic.Uint64

// NewSnapshot encodes the agents of a listing. Of agents with the same id the first is kept.
// The snapshot does not keep the memory of the listing alive.
func NewSnapshot(info *adapters.Info, listing adapters.Listing) (*Snapshot, error) {
	agents := sorted(listing.Agents)
	s := &Snapshot{
		ID: lastID.Add(1), listed: make([]rowFields, len(agents)),
		Partial: listing.Partial, Interrupted: listing.Interrupted,
		postings: newPostings(),
	}
	ends, sets := make([]int, len(agents)), make([]FieldSets, len(agents))
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	rows := normalize.Row((*buffer)[:0])
	values := interned{}
	for i, a := range agents {
		var err error
		if rows, err = a.AppendRow(rows); err != nil {
			return nil, notEncoded(info, adapters.OpList, err)
		}
		s.listed[i] = rowFieldsOf(a).intern(values)
		ends[i] = len(rows)
		s.backend = a.Backend
		s.lacks |= s.listed[i].NotLoaded
		sets[i] = s.listed[i].FieldSets
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
	s.Warnings = rowWarnings(listing, agents)
	s.rows = newArchive(len(agents), func(i int) []byte {
		if i == 0 {
			return rows[:ends[0]]
		}
		return rows[ends[i-1]:ends[i]]
	})
	s.raw = newArchive(len(agents), func(i int) []byte { return agents[i].RawList })
	s.Unavailable, s.NotLoaded = MostCommonFieldSets(sets, FieldSets{info.Unavailable(), info.NotLoaded(adapters.InList)})
	s.texts = sync.OnceValue(s.searchTexts)
	s.size = int64(unsafe.Sizeof(*s)) + s.rows.size() + s.raw.size() + overhead*int64(len(agents)) + warningsSize(s.Warnings)
	return s, nil
}

// With returns a copy of the snapshot in which details replace agents, by index; nil details
// replace nothing. Filters, orders and searches use the details. The ID and the rows stay
// the same.
func (s *Snapshot) With(details map[int]*Detail) *Snapshot {
	w := &Snapshot{
		ID: s.ID, backend: s.backend, listed: slices.Clone(s.listed), rows: s.rows, raw: s.raw, alternates: s.alternates, details: details,
		Unavailable: s.Unavailable, NotLoaded: s.NotLoaded, lacks: s.lacks,
		Partial: s.Partial, Warnings: s.Warnings, Interrupted: s.Interrupted, size: s.size,
	}
	for i, d := range details {
		if d != nil {
			w.listed[i] = rowFieldsOf(d.Agent)
		}
	}
	w.replaceWarnings(details)
	w.texts = sync.OnceValue(w.searchTexts)
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

// Len returns the number of agents.
func (s *Snapshot) Len() int { return len(s.listed) }

// NativeID returns the native id of the agent at an index.
func (s *Snapshot) NativeID(i int) string { return s.listed[i].native }

// FieldSets returns the field sets of the agent at an index.
func (s *Snapshot) FieldSets(i int) FieldSets { return s.listed[i].FieldSets }

// Rows returns a function that returns the row of the agent at an index. Each row is valid
// until the next call.
func (s *Snapshot) Rows() func(i int) []byte { return s.rows.reader() }

// RowLen returns the length in bytes of the row of the agent at an index.
func (s *Snapshot) RowLen(i int) int { return s.rows.len(i) }

// Raw returns a function that returns the provider's own JSON of the agent at an index, nil
// for none. Each result is valid until the next call.
func (s *Snapshot) Raw() func(i int) []byte { return s.raw.reader() }

// Summary is what identifies an agent to people and programs.
type Summary struct {
	ID, NativeID    string
	Name, CreatedAt *string
}

// Summary returns the summary of the agent at an index, without decoding all of it.
func (s *Snapshot) Summary(i int) Summary {
	fields, native := s.queryFields(i), s.listed[i].native
	return Summary{normalize.ID{Backend: s.backend, Native: native}.String(), native, fields.Name, fields.CreatedAt}
}

// Agent decodes the agent at an index. The caller owns the result.
func (s *Snapshot) Agent(i int) *normalize.Agent {
	if d := s.details[i]; d != nil {
		agent := *d.Agent
		return &agent
	}
	a, err := normalize.Row(s.rows.get(i, nil)).Agent()
	if err != nil { // impossible: NewSnapshot encoded it
		panic(err)
	}
	a.View, a.RawList = normalize.ViewBasic, bytes.Clone(s.raw.get(i, nil))
	a.Unavailable, a.NotLoaded, a.Warnings = s.listed[i].Unavailable, s.listed[i].NotLoaded, s.warningsOf(i)
	return a
}

// At returns a reference to the agent at an index, which costs no decoding.
func (s *Snapshot) At(i int) RowRef { return RowRef{s, i} }

// RowRef refers to an agent of a snapshot. The zero RowRef refers to none.
type RowRef struct {
	snapshot *Snapshot
	index    int
}

// IsZero reports whether the RowRef refers to no agent.
func (r RowRef) IsZero() bool { return r.snapshot == nil }

// rowID is unique among the rows of this process.
type rowID struct {
	snapshot uint64
	index    int
}

// Find returns the index of the agent with a native id or alternate native id, -1 if there
// is none.
func (s *Snapshot) Find(nativeID string) int {
	i, found := slices.BinarySearchFunc(s.listed, nativeID, func(f rowFields, id string) int { return normalize.Compare(f.native, id) })
	if found {
		return i
	}
	if i, found = s.alternates[normalize.ID{Backend: s.backend, Native: nativeID}.String()]; found {
		return i
	}
	return -1
}

// Full returns the detail of the agent at an index, for a backend whose lists show all
// fields.
func (s *Snapshot) Full(i int) *Detail {
	full := s.Agent(i)
	full.View = normalize.ViewFull
	return newDetail(full, s.rows.get(i, nil))
}

// Size returns an estimate of the snapshot's memory in bytes. BenchmarkMemory compares it
// with the actual memory.
func (s *Snapshot) Size() int64 { return s.size }

// overhead is the memory in bytes that an agent takes besides its row and raw JSON: its
// fields and ids, and its share of the index and the orders.
const overhead = int64(unsafe.Sizeof(rowFields{})) + 345
