package catalog

import (
	"slices"
	"strings"

	"golang.org/x/text/cases"

	"github.com/agentgw/agentgw/normalize"
)

// Filter selects agents by a field: its value must be one of Values.
type Filter struct {
	Field  normalize.Field
	Values []string
}

// Query selects and orders the agents of a list.
type Query struct {
	Filters []Filter
	Text    string // a substring of name, description or id, ignoring case; empty: any
	Order   Order
}

// Fields returns the fields whose values the query needs of every agent.
func (q Query) Fields() normalize.FieldSet {
	var s normalize.FieldSet
	for _, f := range q.Filters {
		s = s.With(f.Field)
	}
	if q.Text != "" {
		s |= searchFields
	}
	if q.Order.By != ByID {
		s = s.With(q.Order.Field())
	}
	return s
}

// selection is the rows of a snapshot that match a query.
type selection struct {
	rows []int // indexes in the query's order; nil: every row, in the order of ids
	// unfiltered are the fields by which some rows could not be filtered, because their
	// value is not known.
	unfiltered normalize.FieldSet
}

func (s selection) len(snapshot *Snapshot) int {
	if s.rows == nil {
		return snapshot.Len()
	}
	return len(s.rows)
}

func (s selection) at(i int) int {
	if s.rows == nil {
		return i
	}
	return s.rows[i]
}

// selectRows returns the rows of a part that match, in the query's order. A row whose value
// of a filter field is not known does not match; the field is then unfiltered unless
// something else excludes the row.
func (q Query) selectRows(p Part) selection {
	s := p.Snapshot
	order := s.order(q.Order)
	if len(q.Filters) == 0 && q.Text == "" && len(p.Gone) == 0 {
		return selection{rows: order.rows}
	}
	rows, certain := q.candidates(s, order)
	if certain && q.Text == "" && len(p.Gone) == 0 {
		return selection{rows: rows}
	}
	result := selection{rows: make([]int, 0, len(rows))}
	folded := foldCase(q.Text)
	for _, row := range rows {
		if p.Gone[row] {
			continue
		}
		unknown, excluded := q.apply(&s.listed[row])
		if folded != "" && !strings.Contains(s.texts()[row], folded) {
			// A field that is not loaded may contain the text; one that the provider
			// does not have cannot.
			missing := s.listed[row].NotLoaded & searchFields
			unknown |= missing
			excluded = excluded || missing == 0
		}
		switch {
		case excluded: // whatever the unknown values are
		case unknown != 0:
			result.unfiltered |= unknown
		default:
			result.rows = append(result.rows, row)
		}
	}
	return result
}

// candidates returns the rows that may match the filters, in the query's order. If certain,
// all of them match.
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

// apply applies the filters to an agent. Unknown are the filter fields whose value is not
// known; excluded reports whether a known value does not match.
func (q Query) apply(a *rowFields) (unknown normalize.FieldSet, excluded bool) {
	for _, f := range q.Filters {
		known, match := f.apply(a)
		if !known {
			unknown = unknown.With(f.Field)
		}
		excluded = excluded || known && !match
	}
	return unknown, excluded
}

// Excludes reports whether a known value of the agent does not match a filter.
func (q Query) Excludes(a *normalize.Agent) bool {
	fields := rowFieldsOf(a)
	return q.excludes(&fields)
}

// ExcludesAt is Excludes for the agent at an index of a snapshot.
func (q Query) ExcludesAt(s *Snapshot, i int) bool { return q.excludes(&s.listed[i]) }

func (q Query) excludes(a *rowFields) bool {
	_, excluded := q.apply(a)
	return excluded
}

// searchFields are the fields that Query.Text is searched in, besides the ids.
var searchFields = normalize.Fields(normalize.FieldName, normalize.FieldDescription)

// apply reports whether the agent's value is known and whether it matches.
func (f Filter) apply(a *rowFields) (known, match bool) {
	if !a.isKnown(f.Field) {
		return false, false
	}
	v := a.value(f.Field)
	return true, v != nil && slices.Contains(f.Values, *v)
}

// searchTexts returns for each agent the text that Query.Text is searched in.
func (s *Snapshot) searchTexts() []string {
	texts := make([]string, s.Len())
	for i := range texts {
		fields := s.queryFields(i)
		var parts []string
		for _, v := range []*string{fields.Name, fields.Description} {
			if v != nil {
				parts = append(parts, *v)
			}
		}
		// No query contains the separator, so no match spans two parts.
		id := normalize.ID{Backend: s.backend, Native: s.listed[i].native}.String()
		texts[i] = foldCase(strings.Join(append(append(parts, id), fields.AlternateIDs...), separator))
	}
	return texts
}

const separator = "\x00"

// foldCase maps texts that differ in case only to the same text (Unicode full case folding).
func foldCase(s string) string { return cases.Fold().String(s) }
