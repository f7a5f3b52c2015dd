package catalog

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/agentgw/agentgw/normalize"
)

// OrderField is a field that a list can be ordered by.
type OrderField uint8

// The order fields. The default, ByID, is the order of backends in the configuration, then
// of native ids.
const (
	ByID OrderField = iota
	ByName
	ByCreatedAt
	ByUpdatedAt
	orderFields
)

func (f OrderField) field() normalize.Field {
	return [...]normalize.Field{normalize.FieldID, normalize.FieldName, normalize.FieldCreatedAt, normalize.FieldUpdatedAt}[f]
}

// Order is the order of a list. Agents with equal values are in the order of ids; agents
// without a value come last in both directions.
type Order struct {
	By         OrderField
	Descending bool
}

// Field returns the field that the list is ordered by.
func (o Order) Field() normalize.Field { return o.By.field() }

// OrderNames returns the names that ParseOrder accepts, without the prefix "-".
func OrderNames() []string {
	var names []string
	for f := ByID + 1; f < orderFields; f++ {
		names = append(names, f.field().Name())
	}
	return names
}

// ParseOrder parses a field name, with the prefix "-" for descending order.
func ParseOrder(text string) (Order, bool) {
	name, descending := strings.CutPrefix(text, "-")
	for f := ByID + 1; f < orderFields; f++ {
		if f.field().Name() == name {
			return Order{f, descending}, true
		}
	}
	return Order{}, false
}

// sortKey is the value that an agent is sorted by. The zero sortKey is a missing value.
type sortKey struct {
	present bool
	value   string
}

// maxSortKey bounds the size in bytes of the value in a cursor. Longer names are sorted by
// their first maxSortKey bytes.
const maxSortKey = 128

// sortKey returns the sort key of a field's value. A time that cannot be parsed is missing.
func (f OrderField) sortKey(v *string) sortKey {
	if v == nil {
		return sortKey{}
	}
	if f == ByName {
		return sortKey{true, truncate(*v)}
	}
	at, err := time.Parse(time.RFC3339, *v)
	if err != nil {
		return sortKey{}
	}
	return sortKey{true, at.UTC().Format(sortableTime)}
}

// truncate cuts a text to at most maxSortKey bytes at a character boundary.
func truncate(s string) string {
	if len(s) <= maxSortKey {
		return s
	}
	n := maxSortKey
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// sortableTime is a time layout whose texts sort by time.
const sortableTime = "2006-01-02T15:04:05.000000000"

// compare compares two sort keys; missing ones come last.
func (o Order) compare(a, b sortKey) int {
	switch {
	case a.present != b.present:
		if a.present {
			return -1
		}
		return 1
	case o.Descending:
		return cmp.Compare(b.value, a.value)
	}
	return cmp.Compare(a.value, b.value)
}

// lazyOrder is a snapshot sorted by one field, computed on first use.
type lazyOrder struct {
	once                  sync.Once
	keys                  []sortKey
	ascending, descending permutation
}

// permutation is the rows of a snapshot in an order, and the rank of each row in it.
type permutation struct{ rows, ranks []int }

// ordered is a snapshot in an order. Without rows it is the order of the snapshot itself.
type ordered struct {
	keys []sortKey
	permutation
}

func (s *Snapshot) order(o Order) ordered {
	if o.By == ByID {
		return ordered{}
	}
	l := &s.orders[o.By]
	l.once.Do(func() {
		l.keys = make([]sortKey, s.Len())
		for i := range l.keys {
			fields := s.queryFields(i)
			l.keys[i] = o.By.sortKey([orderFields]*string{ByName: fields.Name, ByCreatedAt: fields.CreatedAt, ByUpdatedAt: fields.UpdatedAt}[o.By])
		}
		l.ascending, l.descending = l.sort(Order{By: o.By}), l.sort(Order{By: o.By, Descending: true})
	})
	if o.Descending {
		return ordered{l.keys, l.descending}
	}
	return ordered{l.keys, l.ascending}
}

func (l *lazyOrder) sort(o Order) permutation {
	rows := ordered{}.all(len(l.keys))
	// A stable sort keeps rows with equal keys in the order of ids.
	slices.SortStableFunc(rows, func(a, b int) int { return o.compare(l.keys[a], l.keys[b]) })
	ranks := make([]int, len(rows))
	for rank, row := range rows {
		ranks[row] = rank
	}
	return permutation{rows, ranks}
}

// all returns the rows of a snapshot with n agents in order.
func (o ordered) all(n int) []int {
	if o.rows != nil {
		return o.rows
	}
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// sort sorts rows in place, which are in the order of ids. It sorts a small share of all
// rows by rank, and filters the sorted rows for a larger one.
func (o ordered) sort(rows []int) {
	switch {
	case o.rows == nil:
	case len(rows) < len(o.rows)/16:
		slices.SortFunc(rows, func(a, b int) int { return o.ranks[a] - o.ranks[b] })
	default:
		wanted := make([]bool, len(o.rows))
		for _, row := range rows {
			wanted[row] = true
		}
		rows = rows[:0]
		for _, row := range o.rows {
			if wanted[row] {
				rows = append(rows, row)
			}
		}
	}
}

func (o ordered) key(row int) sortKey {
	if o.rows == nil {
		return sortKey{}
	}
	return o.keys[row]
}
