package catalog

import (
	"slices"
	"sort"

	"github.com/agentgw/agentgw/normalize"
)

// Part is one backend's part of a list.
type Part struct {
	Backend  string
	Snapshot *Snapshot // nil if it could not be read
	Code     string    // why it could not, or why it is not as it should be
	Stale    bool      // it is an older one, because the backend cannot be asked
	// Needed are fields without which an agent cannot be filtered or placed, and
	// which can be had later.
	Needed normalize.FieldSet
	// Gone are agents, by index, that are not there after all.
	Gone map[int]bool
}

// lost reports whether agents of the part are missing, or not in their place,
// that may be had later. Those that a filter excludes anyway are not.
func (p Part) lost(q Query) bool {
	if p.Snapshot == nil || p.Snapshot.Interrupted {
		return true
	}
	if p.Snapshot.lacks&p.Needed == 0 {
		return false
	}
	for i := range p.Snapshot.listed {
		if p.Snapshot.listed[i].NotLoaded&p.Needed != 0 && !p.Gone[i] && !q.ExcludesAt(p.Snapshot, i) {
			return true
		}
	}
	return false
}

// odd reports whether agents may be missing that another reading would not give
// back to this walk.
func (p Part) odd() bool { return p.Snapshot != nil && (p.Stale || p.Snapshot.Partial != nil) }

// Page is one page of a list.
type Page struct {
	Rows  []Row
	Parts []PagePart // of each part, in order
	// Next goes on behind the page; nil if there is nothing more. Resume, on
	// the last page only, goes over what the walk had to leave out.
	Next, Resume *Walk
}

// Row is an agent of the page: its part, and its index in the part's snapshot.
type Row struct{ Part, Index int }

// PagePart is what the page says of one part.
type PagePart struct {
	Count int // how many match, on all pages
	// Unfiltered are the fields that a filter could not be applied to.
	Unfiltered normalize.FieldSet
	// Trouble is why an earlier page of the walk did not have all of it; empty
	// if it had. LeftOut: this one has nothing of it, for that reason.
	Trouble string
	LeftOut bool
}

// Paginate finds the page of at most limit rows where the walk stands. The
// backends are all that the list is of, in the order of the configuration; the
// parts, in the same order, are of those that the walk goes over.
func Paginate(q Query, w Walk, backends []string, parts []Part, limit int) Page {
	p := &pager{
		walk: w, parts: parts, room: maxGiven,
		places: places{q.Order, map[string]int{}},
		page:   Page{Parts: make([]PagePart, len(parts))},
	}
	for i, backend := range backends {
		p.rank[backend] = i
	}
	for _, t := range slices.Concat(w.Tracks, w.Owed) {
		p.room -= len(t.Given) / hashSize
	}
	for i := range parts {
		p.open(q, i)
	}
	room := 0
	for _, said := range p.page.Parts {
		room += said.Count
	}
	p.page.Rows = make([]Row, 0, min(room, limit))
	p.fill(limit)
	p.settle()
	return p.page
}

type pager struct {
	places
	walk  Walk
	parts []Part
	lanes []*lane // of the parts that have rows to give
	room  int     // how many agents more the walk can remember to have given
	last  Place   // of the page's last row, if it has one
	page  Page
}

// lane is what of one part is still to be given.
type lane struct {
	pager    *pager
	part     Part
	index    int // of the part
	ordered  ordered
	selected selection
	next     int
	// lost is the part's; remembered, that what is given of it is remembered, so
	// that the rest can be owed.
	lost, remembered bool
	// before are those that were given from behind the place where this part's
	// track begins; now are those that this page gives.
	before given
	now    []byte
	// unplaced are the fields without which an agent is not given.
	unplaced normalize.FieldSet
}

// floor is the place behind which a part's rows are to be given.
func (p *pager) floor(backend string) *Place {
	if t := track(p.walk.Tracks, backend); t != nil {
		return p.later(p.walk.After, t.After)
	}
	return p.walk.After
}

// open counts a part and, unless it is owed already, makes its lane.
func (p *pager) open(q Query, i int) {
	part, said := p.parts[i], &p.page.Parts[i]
	said.Trouble = p.walk.trouble(part.Backend)
	if part.Snapshot == nil {
		return
	}
	l := &lane{pager: p, part: part, index: i, ordered: part.Snapshot.order(q.Order), selected: q.sel(part)}
	said.Count, said.Unfiltered = l.selected.len(part.Snapshot), l.selected.unfiltered
	if track(p.walk.Owed, part.Backend) != nil {
		said.LeftOut = true
		return
	}
	l.before = track(p.walk.Tracks, part.Backend).given()
	if floor := p.floor(part.Backend); floor != nil {
		// What cannot be placed may have been given before, at its place.
		l.unplaced = part.Needed & normalize.Fields(q.Order.Field())
		l.next = sort.Search(said.Count, func(n int) bool { return p.compare(l.place(n), *floor) > 0 })
	}
	if l.lost = part.lost(q); l.lost {
		left := l.left()
		if l.remembered = left <= p.room; l.remembered {
			p.room -= left
		}
	}
	p.lanes = append(p.lanes, l)
}

func (l *lane) place(n int) Place {
	row := l.selected.at(n)
	k := l.ordered.key(row)
	return Place{Backend: l.part.Backend, Native: l.part.Snapshot.listed[row].native, Present: k.present, Value: k.value}
}

// left is how many rows the lane has.
func (l *lane) left() int {
	n := 0
	for i := l.next; i < l.selected.len(l.part.Snapshot); i++ {
		if l.gives(i) {
			n++
		}
	}
	return n
}

// gives reports whether the row is to be given, now or later.
func (l *lane) gives(n int) bool {
	a := &l.part.Snapshot.listed[l.selected.at(n)]
	return a.NotLoaded&l.unplaced == 0 && (len(l.before) == 0 || !l.before[shortHash(a.native)])
}

// peek is the place of the lane's next row; false at its end.
func (l *lane) peek() (Place, bool) {
	for ; l.next < l.selected.len(l.part.Snapshot); l.next++ {
		if l.gives(l.next) {
			return l.place(l.next), true
		}
	}
	return Place{}, false
}

// fill takes rows in order until the page is full.
func (p *pager) fill(limit int) {
	for len(p.page.Rows) < limit {
		var first *lane
		var at Place
		for _, l := range p.lanes {
			if place, ok := l.peek(); ok && (first == nil || p.compare(place, at) < 0) {
				first, at = l, place
				if p.order.By == ByID {
					break // the lanes are in this order
				}
			}
		}
		if first == nil {
			return
		}
		p.page.Rows = append(p.page.Rows, Row{first.index, first.selected.at(first.next)})
		first.next++
		p.last = at
		if first.remembered {
			hash := shortHash(at.Native)
			first.now = append(first.now, hash[:]...)
		}
	}
}

// settle says where the walk goes on, what it owes, and what it may have missed.
func (p *pager) settle() {
	more := p.more()
	owed, doubtful := slices.Clone(p.walk.Owed), slices.Clone(p.walk.Doubtful)
	for i, part := range p.parts {
		if track(owed, part.Backend) != nil || !p.passes(part, more) {
			continue
		}
		l := p.lane(i)
		switch {
		case l == nil || l.remembered:
			owed = append(owed, p.debt(part, l))
		case (part.odd() || l.lost) && p.walk.trouble(part.Backend) == "":
			doubtful = append(doubtful, Doubt{part.Backend, part.Code})
		}
	}
	switch {
	case more:
		last := p.last
		p.page.Next = &Walk{List: p.walk.List, After: &last, Tracks: p.tracks(owed), Owed: owed, Doubtful: doubtful}
	case len(owed) > 0:
		p.page.Resume = &Walk{List: p.walk.List, Tracks: owed, Doubtful: doubtful}
	}
}

// lane is that of a part; nil if it has none.
func (p *pager) lane(part int) *lane {
	for _, l := range p.lanes {
		if l.index == part {
			return l
		}
	}
	return nil
}

// more reports whether the walk goes on behind the page. What will be owed does
// not count: it is left out from here on.
func (p *pager) more() bool {
	for _, l := range p.lanes {
		if _, ok := l.peek(); ok && !(l.remembered && p.reached(l.part)) {
			return true
		}
	}
	return false
}

// reached reports whether the page's rows come to a part's stretch of the list,
// or behind it. Ordered by ids, a backend has its own; by anything else it may
// have agents anywhere.
func (p *pager) reached(part Part) bool {
	return p.order.By != ByID || len(p.page.Rows) > 0 && p.rank[part.Backend] <= p.rank[p.last.Backend]
}

// passes reports whether the page goes over places where a part's agents can
// be: then those that could not be read are missed.
func (p *pager) passes(part Part, more bool) bool {
	if p.order.By == ByID && p.walk.After != nil && p.rank[part.Backend] < p.rank[p.walk.After.Backend] {
		return false // an earlier page did
	}
	return !more || p.reached(part)
}

// tracks are those of the walk. One that is owed again gives nothing more, and
// need not remember what it gave.
func (p *pager) tracks(owed []Track) []Track {
	tracks := slices.Clone(p.walk.Tracks)
	for i, t := range tracks {
		if track(owed, t.Backend) != nil {
			tracks[i] = Track{Backend: t.Backend}
		}
	}
	return tracks
}

// debt is what the walk owes of a part from this page on.
func (p *pager) debt(part Part, l *lane) Track {
	t := Track{Backend: part.Backend, After: p.floor(part.Backend), Code: part.Code}
	if earlier := track(p.walk.Tracks, part.Backend); earlier != nil {
		t.Given = slices.Clone(earlier.Given)
	}
	if l != nil {
		t.Given = append(t.Given, l.now...)
	}
	return t
}
