package adapters

import (
	"bytes"
	"crypto/rand"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/normalize"
)

// Earlier is a list that was read before, of the same backend with the same credential.
type Earlier interface {
	Len() int
	// Row is the JSON of a row, in the order in which they came; it is over when the next
	// one is asked for.
	Row(i int) []byte
	// Stand has an empty agent stand for a row: normalize.Agent.Earlier and its ids are set.
	Stand(a *normalize.Agent, i int)
}

// KnownRows are rows of a reply that are the very same as before: of a list that is asked
// again most are, and what was made of them is, too. They are left out of the reply that is
// decoded, and a mark stands in the place of each: a JSON string that no vendor can know.
type KnownRows struct {
	earlier Earlier
	places  []int            // of those that were left out, in Earlier
	rows    []jsontext.Value // the same, as they came
	agents  []normalize.Agent
	taken   int    // how many of them were found where rows are
	whole   []byte // the reply as it came
}

const (
	// worthLeavingOut is how long a row is, at least, in bytes: a mark takes some.
	worthLeavingOut = 64
	// rowReach is how far behind the one before a row is looked for, in bytes beside its own
	// length: others may have come or changed in between.
	rowReach = 4 << 10
	// rowMisses is how many are looked for in vain before the first is found.
	rowMisses = 16
)

// knownMark is what marks begin with: 128 bits of chance, so that no reply has one.
var knownMark = `"` + rand.Text() + `:`

// LeaveOut is a reply without the rows that are as they were, those that come from a place of
// the earlier list on, and the place behind the last of them; known is nil if there are none.
// Whoever decodes the reply is to ask All then whether it is as good as the whole.
func LeaveOut(reply []byte, earlier Earlier, from int) (less []byte, known *KnownRows, next int) {
	k := &KnownRows{earlier: earlier, whole: reply}
	at, misses := 0, 0
	next = from
	for i := from; i < earlier.Len() && (len(k.places) > 0 || misses < rowMisses); i++ {
		row := earlier.Row(i)
		found := -1
		if len(row) >= worthLeavingOut {
			found = bytes.Index(reply[at:min(len(reply), at+len(row)+rowReach)], row)
		}
		if found < 0 {
			misses++
			continue
		}
		if less == nil {
			less = make([]byte, 0, len(reply)/4)
		}
		less = append(append(less, reply[at:at+found]...), knownMark...)
		less = append(strconv.AppendInt(less, int64(len(k.places)), 10), '"')
		at += found
		k.places = append(k.places, i)
		k.rows = append(k.rows, reply[at:at+len(row):at+len(row)])
		at += len(row)
		next = i + 1
	}
	if len(k.places) == 0 {
		return reply, nil, from
	}
	k.agents = make([]normalize.Agent, len(k.places))
	return append(less, reply[at:]...), k, next
}

// Agent stands for a row if that is the mark of one that was left out.
func (k *KnownRows) Agent(row jsontext.Value) (*normalize.Agent, bool) {
	if k == nil || len(row) <= len(knownMark) || string(row[:len(knownMark)]) != knownMark {
		return nil, false
	}
	n, err := strconv.Atoi(string(row[len(knownMark) : len(row)-1]))
	if err != nil || n != k.taken || n >= len(k.places) {
		return nil, false
	}
	k.taken++
	a := &k.agents[n]
	k.earlier.Stand(a, k.places[n])
	a.RawList = k.rows[n]
	return a, true
}

// All reports whether each row that was left out was one of the list's: then what was made of
// the shorter reply is what would have been made of the whole. A row that stands elsewhere, in
// another value or a text, was taken for one of them.
func (k *KnownRows) All() bool { return k.taken == len(k.places) }
