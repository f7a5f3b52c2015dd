package catalog

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/agentgw/agentgw/normalize"
)

// postings is an inverted index of a snapshot: for each filter field and value the rows that
// have it. With it a filter costs as much as it finds, not as much as there is.
//
// Invariant: selecting rows with the index and testing every row give the same result. The
// index of a field is built when the second filtered list of the snapshot uses the field,
// because many snapshots are filtered once only. A nil index is never used.
type postings struct {
	used   atomic.Bool
	fields map[normalize.Field]*fieldPostings // has all FilterFields; the map never changes
}

// fieldPostings is the index of one field. Its row lists are in the order of ids.
type fieldPostings struct {
	once    sync.Once
	byValue map[string][]int32
	unknown []int32 // the rows whose value is not known
}

func newPostings() *postings {
	p := &postings{fields: map[normalize.Field]*fieldPostings{}}
	for _, f := range FilterFields() {
		p.fields[f] = &fieldPostings{}
	}
	return p
}

// ready reports whether to use the index: false the first time, true from then on.
func (p *postings) ready() bool { return p != nil && p.used.Swap(true) }

// field returns the index of a field, which the first call builds.
func (p *postings) field(s *Snapshot, f normalize.Field) *fieldPostings {
	field := p.fields[f]
	field.once.Do(func() {
		field.byValue = map[string][]int32{}
		for i := range s.listed {
			switch v := s.listed[i].value(f); {
			case !s.listed[i].isKnown(f):
				field.unknown = append(field.unknown, int32(i))
			case v != nil:
				field.byValue[*v] = append(field.byValue[*v], int32(i))
			}
		}
	})
	return field
}

// candidates returns the rows that no filter excludes, in the order of ids. If certain, all
// of them match, because every value is known.
func (p *postings) candidates(s *Snapshot, filters []Filter) (rows []int32, certain bool) {
	certain = true
	for i, f := range filters {
		field := p.field(s, f.Field)
		certain = certain && len(field.unknown) == 0
		matching := field.unknown
		for _, v := range f.Values { // distinct, so no row is added twice
			matching = union(matching, field.byValue[v])
		}
		if i > 0 {
			matching = intersection(rows, matching)
		}
		rows = matching
	}
	return rows, certain
}

// union returns the rows of two sorted lists without common rows.
func union(a, b []int32) []int32 {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	rows := slices.Concat(a, b)
	slices.Sort(rows)
	return rows
}

// intersection returns the rows that are in both sorted lists.
func intersection(a, b []int32) []int32 {
	if len(a) > len(b) {
		a, b = b, a
	}
	rows := make([]int32, 0, len(a))
	for _, row := range a {
		at, found := slices.BinarySearch(b, row)
		if found {
			rows = append(rows, row)
		}
		b = b[at:]
	}
	return rows
}
