package catalog

import (
	"slices"
	"strings"

	"golang.org/x/text/cases"

	"github.com/agentgw/agentgw/normalize"
)

// Filter is the values that a field may have; any one of them will do.
type Filter struct {
	Field  normalize.Field
	Values []string
}

// Query says which agents a list has, and in which order.
type Query struct {
	Filters []Filter
	Text    string // a substring of name, description or id, whatever its case; empty: any
	Order   Order
}

// Fields are those whose values the query needs of every agent.
func (q Query) Fields() normalize.FieldSet {
	var s normalize.FieldSet
	for _, f := range q.Filters {
		s = s.With(f.Field)
	}
	if q.Text != "" {
		s |= searched
	}
	if q.Order.By != ByID {
		s = s.With(q.Order.Field())
	}
	return s
}

// selection is what of a snapshot matches.
type selection struct {
	rows []int // indexes, in the query's order; nil: every row, in the order of ids
	// unfiltered are the fields that a filter could not be applied to, because
	// some row does not show its value.
	unfiltered normalize.FieldSet
}

func (s selection) len(of *Snapshot) int {
	if s.rows == nil {
		return of.Len()
	}
	return len(s.rows)
}

func (s selection) at(i int) int {
	if s.rows == nil {
		return i
	}
	return s.rows[i]
}

// sel finds what matches of a part, in the query's order.
func (q Query) sel(p Part) selection {
	s := p.Snapshot
	order := s.order(q.Order)
	if len(q.Filters) == 0 && q.Text == "" && len(p.Gone) == 0 {
		return selection{rows: order.rows}
	}
	rows, certain := q.candidates(s, order)
	if certain && q.Text == "" && len(p.Gone) == 0 {
		return selection{rows: rows}
	}
	found := selection{rows: make([]int, 0, len(rows))}
	folded := fold(q.Text)
	for _, row := range rows {
		if p.Gone[row] {
			continue
		}
		unknown, excluded := q.apply(&s.listed[row])
		if folded != "" && !strings.Contains(s.texts()[row], folded) {
			// What the vendor does not have cannot be meant; what was only not
			// loaded may be.
			missing := s.listed[row].NotLoaded & searched
			unknown |= missing
			excluded = excluded || missing == 0
		}
		switch {
		case excluded: // whatever else it may have
		case unknown != 0:
			found.unfiltered |= unknown
		default:
			found.rows = append(found.rows, row)
		}
	}
	return found
}

// candidates are rows that may match, in the query's order; the others do not. If that is
// certain, they all do, by the filters.
func (q Query) candidates(s *Snapshot, order ordered) (candidates []int, certain bool) {
	if len(q.Filters) == 0 || !s.postings.ready() {
		return order.all(s.Len()), false
	}
	found, certain := s.postings.candidates(s, q.Filters)
	rows := make([]int, len(found))
	for i, row := range found {
		rows[i] = int(row)
	}
	order.sort(rows)
	return rows, certain
}

// apply holds an agent against the filters: which cannot be applied to it, and
// whether another excludes it anyway.
func (q Query) apply(a *facts) (unknown normalize.FieldSet, excluded bool) {
	for _, f := range q.Filters {
		known, match := f.apply(a)
		if !known {
			unknown = unknown.With(f.Field)
		}
		excluded = excluded || known && !match
	}
	return unknown, excluded
}

// Excludes reports whether what is known of an agent does not match.
func (q Query) Excludes(a *normalize.Agent) bool {
	of := factsOf(a)
	return q.excludes(&of)
}

// ExcludesAt is the same of the agent at an index.
func (q Query) ExcludesAt(s *Snapshot, i int) bool { return q.excludes(&s.listed[i]) }

func (q Query) excludes(of *facts) bool {
	_, excluded := q.apply(of)
	return excluded
}

var searched = normalize.Fields(normalize.FieldName, normalize.FieldDescription)

// apply reports whether the agent's value is known, and is one of the filter's.
func (f Filter) apply(a *facts) (known, match bool) {
	if !a.knows(f.Field) {
		return false, false
	}
	v := a.value(f.Field)
	return true, v != nil && slices.Contains(f.Values, *v)
}

// searchable is what the text of a query is looked for in, of each agent.
func (s *Snapshot) searchable() []string {
	texts := make([]string, s.Len())
	for i := range texts {
		of := s.shown(i)
		var parts []string
		for _, v := range []*string{of.Name, of.Description} {
			if v != nil {
				parts = append(parts, *v)
			}
		}
		// No query has the separator in it: nothing matches across two parts.
		id := normalize.ID{Backend: s.backend, Native: s.listed[i].native}.String()
		texts[i] = fold(strings.Join(append(append(parts, id), of.AlternateIDs...), separator))
	}
	return texts
}

const separator = "\x00"

// fold makes texts equal that differ in case only (Unicode's full case folding).
func fold(s string) string { return cases.Fold().String(s) }
