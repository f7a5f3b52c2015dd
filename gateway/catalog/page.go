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
	Code     string    // why it could not, or was interrupted
}

// lost reports whether agents of the part are missing that may be had later.
func (p Part) lost() bool { return p.Snapshot == nil || p.Snapshot.Interrupted }

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
	// Owed is why this part was left out of the walk earlier; empty if it was
	// not.
	Owed string
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
	more := p.fill(limit)
	p.settle(more)
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
	part     int
	snapshot *Snapshot
	ordered  ordered
	selected selection
	next     int
	// before are those that were given from behind the place where this part's
	// track begins; now are those that this page gives of an interrupted list.
	before given
	now    []byte
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
	owed := track(p.walk.Owed, part.Backend)
	if owed != nil {
		said.Owed = owed.Code
	}
	if part.Snapshot == nil {
		return
	}
	l := &lane{pager: p, part: i, snapshot: part.Snapshot, ordered: part.Snapshot.order(q.Order), selected: q.sel(part.Snapshot)}
	said.Count, said.Unfiltered = l.selected.len(part.Snapshot), l.selected.unfiltered
	if owed != nil {
		return
	}
	l.before = track(p.walk.Tracks, part.Backend).given()
	if floor := p.floor(part.Backend); floor != nil {
		l.next = sort.Search(said.Count, func(n int) bool { return p.compare(l.place(n), *floor) > 0 })
	}
	p.lanes = append(p.lanes, l)
}

func (l *lane) place(n int) Place {
	row := l.selected.at(n)
	k := l.ordered.key(row)
	return Place{Backend: l.pager.parts[l.part].Backend, Native: l.snapshot.Agents[row].NativeID, Present: k.present, Value: k.value}
}

// peek is the place of the lane's next row; false at its end.
func (l *lane) peek() (Place, bool) {
	for ; l.next < l.selected.len(l.snapshot); l.next++ {
		place := l.place(l.next)
		if len(l.before) > 0 && l.before[shortHash(place.Native)] {
			continue
		}
		if l.snapshot.Interrupted && l.pager.room <= 0 {
			break // what could not be remembered to have been given is owed
		}
		return place, true
	}
	return Place{}, false
}

// fill takes rows in order until the page is full, and reports whether there
// are more.
func (p *pager) fill(limit int) (more bool) {
	for {
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
			return false
		}
		if len(p.page.Rows) == limit {
			return true
		}
		p.page.Rows = append(p.page.Rows, Row{first.part, first.selected.at(first.next)})
		first.next++
		p.last = at
		if first.snapshot.Interrupted {
			hash := shortHash(at.Native)
			first.now = append(first.now, hash[:]...)
			p.room--
		}
	}
}

// settle says where the walk goes on, and what it owes.
func (p *pager) settle(more bool) {
	owed := slices.Clone(p.walk.Owed)
	for _, part := range p.parts {
		if part.lost() && track(owed, part.Backend) == nil && p.passes(part, more) {
			owed = append(owed, p.debt(part))
		}
	}
	switch {
	case more:
		p.page.Next = &Walk{List: p.walk.List, After: &p.last, Tracks: p.tracks(owed), Owed: owed}
	case len(owed) > 0:
		p.page.Resume = &Walk{List: p.walk.List, Tracks: owed}
	}
}

// passes reports whether the page goes over places where a part's agents can
// be: then those that could not be read are missed. Ordered by ids, a backend
// has its own stretch of the list; by anything else it may have agents anywhere.
func (p *pager) passes(part Part, more bool) bool {
	if p.order.By != ByID {
		return true
	}
	rank := p.rank[part.Backend]
	if p.walk.After != nil && rank < p.rank[p.walk.After.Backend] {
		return false // an earlier page did
	}
	return !more || rank <= p.rank[p.last.Backend]
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
func (p *pager) debt(part Part) Track {
	t := Track{Backend: part.Backend, After: p.floor(part.Backend), Code: part.Code}
	if earlier := track(p.walk.Tracks, part.Backend); earlier != nil {
		t.Given = slices.Clone(earlier.Given)
	}
	for _, l := range p.lanes {
		if p.parts[l.part].Backend == part.Backend {
			t.Given = append(t.Given, l.now...)
		}
	}
	return t
}
