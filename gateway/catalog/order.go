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

// OrderField is what a list is ordered by.
type OrderField uint8

// What a list can be ordered by. Without a wish it is the native id, backend by
// backend.
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

// Order is the order of a list. Ties are in the order of ids, and values that
// are not there come last, whichever direction it has.
type Order struct {
	By         OrderField
	Descending bool
}

// Field is the field that it orders by.
func (o Order) Field() normalize.Field { return o.By.field() }

// OrderNames are the names that an order can be asked for by; each may have a -
// in front.
func OrderNames() []string {
	var names []string
	for f := ByID + 1; f < orderFields; f++ {
		names = append(names, f.field().Name())
	}
	return names
}

// ParseOrder reads "name" or "-name".
func ParseOrder(text string) (Order, bool) {
	name, descending := strings.CutPrefix(text, "-")
	for f := ByID + 1; f < orderFields; f++ {
		if f.field().Name() == name {
			return Order{f, descending}, true
		}
	}
	return Order{}, false
}

// key is what an agent is ordered by. The zero key is a value that is not there.
type key struct {
	present bool
	value   string
}

// maxKey bounds the value in a cursor, in bytes. Longer names are ordered by
// their beginning.
const maxKey = 128

// keyOf is what a value orders by.
func (f OrderField) keyOf(v *string) key {
	if v == nil {
		return key{}
	}
	if f == ByName {
		return key{true, beginning(*v)}
	}
	at, err := time.Parse(time.RFC3339, *v)
	if err != nil {
		return key{}
	}
	return key{true, at.UTC().Format(sortable)}
}

// beginning cuts a text to maxKey without cutting a character.
func beginning(s string) string {
	if len(s) <= maxKey {
		return s
	}
	n := maxKey
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// sortable is an instant whose texts are in the order of time.
const sortable = "2006-01-02T15:04:05.000000000"

// compare puts two keys in order; those that are not there are last.
func (o Order) compare(a, b key) int {
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

// lazyOrder is a snapshot in the order of one field, made when it is first
// asked for.
type lazyOrder struct {
	once     sync.Once
	keys     []key
	up, down direction
}

// direction is the rows of a snapshot in an order, and the place of each row in it.
type direction struct{ rows, places []int }

// ordered is a snapshot in an order. Without rows it is the snapshot's own.
type ordered struct {
	keys []key
	direction
}

func (s *Snapshot) order(o Order) ordered {
	if o.By == ByID {
		return ordered{}
	}
	l := &s.orders[o.By]
	l.once.Do(func() {
		l.keys = make([]key, s.Len())
		for i := range l.keys {
			of := s.shown(i)
			l.keys[i] = o.By.keyOf([orderFields]*string{ByName: of.Name, ByCreatedAt: of.CreatedAt, ByUpdatedAt: of.UpdatedAt}[o.By])
		}
		l.up, l.down = l.sorted(Order{By: o.By}), l.sorted(Order{By: o.By, Descending: true})
	})
	if o.Descending {
		return ordered{l.keys, l.down}
	}
	return ordered{l.keys, l.up}
}

func (l *lazyOrder) sorted(o Order) direction {
	rows := ordered{}.all(len(l.keys))
	// Stable: ties stay in the order of ids.
	slices.SortStableFunc(rows, func(a, b int) int { return o.compare(l.keys[a], l.keys[b]) })
	places := make([]int, len(rows))
	for place, row := range rows {
		places[row] = place
	}
	return direction{rows, places}
}

// all are the rows of n agents, in order.
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

// sort puts rows that are in the order of ids in order: a few by their places, and many by
// going through all.
func (o ordered) sort(rows []int) {
	switch {
	case o.rows == nil:
	case len(rows) < len(o.rows)/16:
		slices.SortFunc(rows, func(a, b int) int { return o.places[a] - o.places[b] })
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

func (o ordered) key(row int) key {
	if o.rows == nil {
		return key{}
	}
	return o.keys[row]
}
