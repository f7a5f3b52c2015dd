package catalog

import (
	"cmp"
	"crypto/sha256"
	"slices"

	"github.com/agentgw/agentgw/normalize"
)

// Walk is where a client stands in a list: what a cursor seals. The zero Walk is
// its beginning.
//
// A walk goes over the agents of its backends in the query's order and stands
// behind an agent, never at an offset: what comes and goes moves nothing. A
// backend that cannot be read when its agents' turn comes is owed from there on
// and left out of the rest of the walk, so that nothing of it is seen twice;
// once the walk has come to its end, another one goes over what is owed. Where
// that cannot be (what was given is old, odd, or too much to remember) the walk
// remembers at least that it may have missed something.
type Walk struct {
	// List is the hash of what was asked for, and whose key it is.
	List [32]byte `json:"l"`
	// After is the last agent that was given.
	After *Place `json:"a,omitzero"`
	// Tracks are the backends that a resumed walk goes over; none means all.
	Tracks []Track `json:"t,omitzero"`
	// Owed are the backends that the walk had to leave out.
	Owed []Track `json:"o,omitzero"`
	// Doubtful are the backends of which it may have missed something that is
	// not owed.
	Doubtful []Doubt `json:"d,omitzero"`
}

// Doubt is why something of a backend may have been missed.
type Doubt struct {
	Backend string `json:"b"`
	Code    string `json:"c"`
}

// Track is what is owed of one backend: what comes after a place, except what
// was given all the same.
type Track struct {
	Backend string `json:"b"`
	After   *Place `json:"a,omitzero"`
	Given   []byte `json:"g,omitzero"` // short hashes of native ids
	Code    string `json:"c"`          // why it could not be read
}

// Place is the place of one agent in a list.
type Place struct {
	Backend string `json:"b"`
	Native  string `json:"n"`
	Present bool   `json:"p,omitzero"` // whether it has a value of the order's field
	Value   string `json:"v,omitzero"`
}

// Backends are those that the walk goes over; nil for all that are asked for.
func (w *Walk) Backends() []string {
	var names []string
	for _, t := range w.Tracks {
		names = append(names, t.Backend)
	}
	return names
}

func track(tracks []Track, backend string) *Track {
	for i := range tracks {
		if tracks[i].Backend == backend {
			return &tracks[i]
		}
	}
	return nil
}

// places compares places of a list whose backends come in an order.
type places struct {
	order Order
	rank  map[string]int
}

func (p places) compare(a, b Place) int {
	if c := p.order.compare(key{a.Present, a.Value}, key{b.Present, b.Value}); c != 0 {
		return c
	}
	if c := cmp.Compare(p.rank[a.Backend], p.rank[b.Backend]); c != 0 {
		return c
	}
	return normalize.Compare(a.Native, b.Native)
}

// later is the one of two places that comes later; nil is before all.
func (p places) later(a, b *Place) *Place {
	if a == nil || b != nil && p.compare(*a, *b) < 0 {
		return b
	}
	return a
}

// trouble is why an earlier page did not have all of a backend; empty if it had.
func (w *Walk) trouble(backend string) string {
	if t := track(w.Owed, backend); t != nil {
		return t.Code
	}
	for _, d := range w.Doubtful {
		if d.Backend == backend {
			return d.Code
		}
	}
	return ""
}

// maxGiven bounds how many agents of incomplete lists one walk remembers to have
// given: their hashes travel in the cursor, which has to fit into a URL.
const maxGiven = 512

const hashSize = 6

// given are the short hashes of agents that were given.
type given map[[hashSize]byte]bool

func (t *Track) given() given {
	if t == nil {
		return nil
	}
	g := given{}
	for chunk := range slices.Chunk(t.Given, hashSize) {
		if len(chunk) == hashSize {
			g[[hashSize]byte(chunk)] = true
		}
	}
	return g
}

func shortHash(native string) [hashSize]byte {
	sum := sha256.Sum256([]byte(native))
	return [hashSize]byte(sum[:hashSize])
}
