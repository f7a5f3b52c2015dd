package catalog

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/agentgw/agentgw/normalize"
)

// postings are the rows of a snapshot by the values of the fields that lists are filtered
// by, so that a filter costs what it finds and not what there is. From the second filtered
// list of a snapshot on, each field's are made when it is first filtered by: the first look
// is often the last. A nil one has none, ever.
type postings struct {
	asked  atomic.Bool
	fields map[normalize.Field]*posting // of FilterFields; only what they point to changes
}

// posting is the rows of one field, each in the order of ids.
type posting struct {
	once    sync.Once
	byValue map[string][]int32
	unknown []int32 // whose value is not known
}

func newPostings() *postings {
	p := &postings{fields: map[normalize.Field]*posting{}}
	for _, f := range FilterFields() {
		p.fields[f] = &posting{}
	}
	return p
}

// ready reports whether rows are to be found by them.
func (p *postings) ready() bool { return p != nil && p.asked.Swap(true) }

func (p *postings) of(s *Snapshot, f normalize.Field) *posting {
	of := p.fields[f]
	of.once.Do(func() {
		of.byValue = map[string][]int32{}
		for i := range s.listed {
			switch v := s.listed[i].value(f); {
			case !s.listed[i].knows(f):
				of.unknown = append(of.unknown, int32(i))
			case v != nil:
				of.byValue[*v] = append(of.byValue[*v], int32(i))
			}
		}
	})
	return of
}

// candidates are the rows that no filter excludes, in the order of ids; all of them match
// if it is certain, because every value is known.
func (p *postings) candidates(s *Snapshot, filters []Filter) (rows []int32, certain bool) {
	certain = true
	for i, f := range filters {
		of := p.of(s, f.Field)
		certain = certain && len(of.unknown) == 0
		these := of.unknown
		for _, v := range f.Values { // which differ, so that no row comes twice
			these = merged(these, of.byValue[v])
		}
		if i > 0 {
			these = both(rows, these)
		}
		rows = these
	}
	return rows, certain
}

// merged are the rows of both; none is in both.
func merged(a, b []int32) []int32 {
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

// both are the rows that are in a and in b.
func both(a, b []int32) []int32 {
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
