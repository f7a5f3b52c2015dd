package catalog

import (
	"cmp"
	"crypto/sha256"
	"slices"

	"github.com/agentgw/agentgw/normalize"
)

// Cursor is a position in a paginated list, and what a client's opaque cursor contains. The
// zero Cursor is the start of the list.
//
// A cursor is a position behind an agent in the query's order, never an offset, so agents
// that are created or deleted between pages shift nothing. A source (a backend) that cannot
// be read when its agents are due becomes pending at that position, and the following pages
// omit it, so that no agent is returned twice. After the last page, a resumed cursor
// iterates over the pending sources only. If that is impossible because the data read was
// stale, incomplete, or too much to track, the cursor records that the source is uncertain.
type Cursor struct {
	// List is the hash of the query and the caller's key.
	List [32]byte `json:"l"`
	// After is the position of the last returned agent.
	After *Position `json:"a,omitzero"`
	// Resumed are the sources that a resumed cursor iterates over; nil means all.
	Resumed []PendingSource `json:"t,omitzero"`
	// Pending are the sources that could not be read, and are to be resumed.
	Pending []PendingSource `json:"o,omitzero"`
	// Uncertain are the sources that may have agents that no page returns.
	Uncertain []UncertainSource `json:"d,omitzero"`
}

// UncertainSource is a source that may have agents which no page returns.
type UncertainSource struct {
	Backend string `json:"b"`
	Code    string `json:"c"` // the reason
}

// PendingSource is the part of a source that is still to be returned: the agents after a
// position, except those that were returned already.
type PendingSource struct {
	Backend  string    `json:"b"`
	After    *Position `json:"a,omitzero"`
	Returned []byte    `json:"g,omitzero"` // short hashes of native ids
	Code     string    `json:"c"`          // why it could not be read
}

// Position is the position of one agent in a list.
type Position struct {
	Backend string `json:"b"`
	Native  string `json:"n"`
	Present bool   `json:"p,omitzero"` // whether the agent has a value of the order's field
	Value   string `json:"v,omitzero"`
}

// Backends returns the backends that the cursor iterates over, nil for all of the query.
func (c *Cursor) Backends() []string {
	var names []string
	for _, s := range c.Resumed {
		names = append(names, s.Backend)
	}
	return names
}

// earlierCode returns the reason why an earlier page lacks agents of a backend, empty if
// none does.
func (c *Cursor) earlierCode(backend string) string {
	if s := findSource(c.Pending, backend); s != nil {
		return s.Code
	}
	for _, u := range c.Uncertain {
		if u.Backend == backend {
			return u.Code
		}
	}
	return ""
}

// findSource returns the source of a backend, nil if there is none.
func findSource(sources []PendingSource, backend string) *PendingSource {
	for i := range sources {
		if sources[i].Backend == backend {
			return &sources[i]
		}
	}
	return nil
}

// positionOrder compares positions: by the order's field, then by the backend's rank in the
// configuration, then by native id.
type positionOrder struct {
	order Order
	rank  map[string]int
}

func (o positionOrder) compare(a, b Position) int {
	if c := o.order.compare(sortKey{a.Present, a.Value}, sortKey{b.Present, b.Value}); c != 0 {
		return c
	}
	if c := cmp.Compare(o.rank[a.Backend], o.rank[b.Backend]); c != 0 {
		return c
	}
	return normalize.Compare(a.Native, b.Native)
}

// later returns the later of two positions; nil is the start of the list.
func (o positionOrder) later(a, b *Position) *Position {
	if a == nil || b != nil && o.compare(*a, *b) < 0 {
		return b
	}
	return a
}

// maxReturned bounds how many returned agents of incomplete sources a cursor tracks: their
// hashes are part of the cursor, which has to fit into a URL.
const maxReturned = 512

const hashSize = 6

// returnedSet has the short hashes of the agents that were returned.
type returnedSet map[[hashSize]byte]bool

func (s *PendingSource) returned() returnedSet {
	if s == nil {
		return nil
	}
	set := returnedSet{}
	for chunk := range slices.Chunk(s.Returned, hashSize) {
		if len(chunk) == hashSize {
			set[[hashSize]byte(chunk)] = true
		}
	}
	return set
}

func shortHash(native string) [hashSize]byte {
	sum := sha256.Sum256([]byte(native))
	return [hashSize]byte(sum[:hashSize])
}
