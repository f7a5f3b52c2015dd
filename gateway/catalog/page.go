package catalog

import (
	"slices"
	"sort"

	"github.com/agentgw/agentgw/normalize"
)

// Part is one backend's part of a list.
type Part struct {
	Backend  string
	Snapshot *Snapshot // nil if the backend could not be read
	Code     string    // why it could not be read, or why the snapshot is stale or incomplete
	Stale    bool      // the snapshot is an earlier one, because the backend cannot be read
	// Needed are the fields of the query. An agent that has not loaded one of them cannot
	// be filtered or sorted yet.
	Needed normalize.FieldSet
	// Gone are the indexes of agents that turned out to have been deleted.
	Gone map[int]bool
}

// incomplete reports whether agents that a later request may return are missing from the
// part or cannot be sorted. Agents that a filter excludes do not count.
func (p Part) incomplete(q Query) bool {
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

// uncertain reports whether agents may be missing that no later request of the same
// pagination would return.
func (p Part) uncertain() bool {
	return p.Snapshot != nil && (p.Stale || p.Snapshot.Partial != nil)
}

// Page is one page of a list. At most one of Next and Resume is set.
type Page struct {
	Rows  []Row
	Parts []PagePart // in the order of the parts
	// Next is the cursor of the next page; nil after the last one. Resume is set on the
	// last page only: the cursor that iterates over the pending sources.
	Next, Resume *Cursor
}

// Row is an agent of the page: the index of its part, and its index in the part's snapshot.
type Row struct{ Part, Index int }

// PagePart is a page's information about one part.
type PagePart struct {
	Count int // the number of matching agents on all pages
	// Unfiltered are the fields by which some agents could not be filtered.
	Unfiltered normalize.FieldSet
	// EarlierCode is the reason why an earlier page lacks agents of the part; empty if
	// none does. Omitted reports that this page omits the part for that reason.
	EarlierCode string
	Omitted     bool
}

// Paginate returns the page of at most limit rows after a cursor. The backends are all that
// the list covers, in the order of the configuration. The parts, in the same order, are
// those of the cursor's backends.
func Paginate(q Query, c Cursor, backends []string, parts []Part, limit int) Page {
	p := &pager{
		cursor: c, parts: parts, capacity: maxReturned,
		positionOrder: positionOrder{q.Order, map[string]int{}},
		page:          Page{Parts: make([]PagePart, len(parts))},
	}
	for i, backend := range backends {
		p.rank[backend] = i
	}
	for _, s := range slices.Concat(c.Resumed, c.Pending) {
		p.capacity -= len(s.Returned) / hashSize
	}
	for i := range parts {
		p.open(q, i)
	}
	matching := 0
	for _, part := range p.page.Parts {
		matching += part.Count
	}
	p.page.Rows = make([]Row, 0, min(matching, limit))
	p.fill(limit)
	p.setCursors()
	return p.page
}

// pager builds one page by merging the sorted rows of its sources.
type pager struct {
	positionOrder
	cursor   Cursor
	parts    []Part
	sources  []*sourceCursor // of the parts that can have rows on this page
	capacity int             // how many more returned agents the cursor can track
	last     Position        // of the page's last row, if it has one
	page     Page
}

// sourceCursor iterates over the rows of one part that are still to be returned.
type sourceCursor struct {
	part     Part
	index    int // of the part
	ordered  ordered
	selected selection
	next     int // in selected
	// incomplete is Part.incomplete. tracked reports that the cursor tracks which agents
	// of the part were returned, so that the part can be resumed.
	incomplete, tracked bool
	// returnedBefore are agents after the cursor's position that earlier pages returned;
	// returnedNow are the hashes of those on this page.
	returnedBefore returnedSet
	returnedNow    []byte
	// required are the fields without which an agent is not returned.
	required normalize.FieldSet
}

// start returns the position after which a backend's agents are to be returned.
func (p *pager) start(backend string) *Position {
	if s := findSource(p.cursor.Resumed, backend); s != nil {
		return p.later(p.cursor.After, s.After)
	}
	return p.cursor.After
}

// open counts the rows of a part and, unless the part is pending, adds its sourceCursor.
func (p *pager) open(q Query, i int) {
	part, result := p.parts[i], &p.page.Parts[i]
	result.EarlierCode = p.cursor.earlierCode(part.Backend)
	if part.Snapshot == nil {
		return
	}
	s := &sourceCursor{part: part, index: i, ordered: part.Snapshot.order(q.Order), selected: q.selectRows(part)}
	result.Count, result.Unfiltered = s.selected.len(part.Snapshot), s.selected.unfiltered
	if findSource(p.cursor.Pending, part.Backend) != nil {
		result.Omitted = true
		return
	}
	s.returnedBefore = findSource(p.cursor.Resumed, part.Backend).returned()
	if start := p.start(part.Backend); start != nil {
		// An agent without a known sort key may have been returned at its real position.
		s.required = part.Needed & normalize.Fields(q.Order.Field())
		s.next = sort.Search(result.Count, func(n int) bool { return p.compare(s.position(n), *start) > 0 })
	}
	if s.incomplete = part.incomplete(q); s.incomplete {
		remaining := s.remaining()
		if s.tracked = remaining <= p.capacity; s.tracked {
			p.capacity -= remaining
		}
	}
	p.sources = append(p.sources, s)
}

// position returns the position of the n-th selected row.
func (s *sourceCursor) position(n int) Position {
	row := s.selected.at(n)
	k := s.ordered.key(row)
	return Position{Backend: s.part.Backend, Native: s.part.Snapshot.listed[row].native, Present: k.present, Value: k.value}
}

// remaining returns how many rows are still to be returned.
func (s *sourceCursor) remaining() int {
	count := 0
	for n := s.next; n < s.selected.len(s.part.Snapshot); n++ {
		if s.isDue(n) {
			count++
		}
	}
	return count
}

// isDue reports whether the n-th selected row is to be returned on this or a later page.
func (s *sourceCursor) isDue(n int) bool {
	a := &s.part.Snapshot.listed[s.selected.at(n)]
	return a.NotLoaded&s.required == 0 && (len(s.returnedBefore) == 0 || !s.returnedBefore[shortHash(a.native)])
}

// peek returns the position of the next row, false at the end.
func (s *sourceCursor) peek() (Position, bool) {
	for ; s.next < s.selected.len(s.part.Snapshot); s.next++ {
		if s.isDue(s.next) {
			return s.position(s.next), true
		}
	}
	return Position{}, false
}

// fill adds rows in the list's order until the page is full.
func (p *pager) fill(limit int) {
	for len(p.page.Rows) < limit {
		var first *sourceCursor
		var at Position
		for _, s := range p.sources {
			if position, ok := s.peek(); ok && (first == nil || p.compare(position, at) < 0) {
				first, at = s, position
				if p.order.By == ByID {
					break // the sources are in this order
				}
			}
		}
		if first == nil {
			return
		}
		p.page.Rows = append(p.page.Rows, Row{first.index, first.selected.at(first.next)})
		first.next++
		p.last = at
		if first.tracked {
			hash := shortHash(at.Native)
			first.returnedNow = append(first.returnedNow, hash[:]...)
		}
	}
}

// setCursors sets the page's Next or Resume.
func (p *pager) setCursors() {
	more := p.hasMore()
	pending, uncertain := slices.Clone(p.cursor.Pending), slices.Clone(p.cursor.Uncertain)
	for i, part := range p.parts {
		if findSource(pending, part.Backend) != nil || !p.covers(part, more) {
			continue
		}
		s := p.source(i)
		switch {
		case s == nil || s.tracked:
			pending = append(pending, p.pendingSource(part, s))
		case (part.uncertain() || s.incomplete) && p.cursor.earlierCode(part.Backend) == "":
			uncertain = append(uncertain, UncertainSource{part.Backend, part.Code})
		}
	}
	switch {
	case more:
		last := p.last
		p.page.Next = &Cursor{List: p.cursor.List, After: &last, Resumed: p.resumed(pending), Pending: pending, Uncertain: uncertain}
	case len(pending) > 0:
		p.page.Resume = &Cursor{List: p.cursor.List, Resumed: pending, Uncertain: uncertain}
	}
}

// source returns the sourceCursor of a part, nil if it has none.
func (p *pager) source(part int) *sourceCursor {
	for _, s := range p.sources {
		if s.index == part {
			return s
		}
	}
	return nil
}

// hasMore reports whether there is a next page. Sources that become pending on this page do
// not count: the following pages omit them.
func (p *pager) hasMore() bool {
	for _, s := range p.sources {
		if _, ok := s.peek(); ok && !(s.tracked && p.reached(s.part)) {
			return true
		}
	}
	return false
}

// reached reports whether the page extends to positions at or after a part's agents. In the
// order of ids each backend has its own range; in other orders its agents can be anywhere.
func (p *pager) reached(part Part) bool {
	return p.order.By != ByID || len(p.page.Rows) > 0 && p.rank[part.Backend] <= p.rank[p.last.Backend]
}

// covers reports whether the page extends over positions where a part can have agents.
// Those that could not be read are then missing.
func (p *pager) covers(part Part, more bool) bool {
	if p.order.By == ByID && p.cursor.After != nil && p.rank[part.Backend] < p.rank[p.cursor.After.Backend] {
		return false // an earlier page covered them
	}
	return !more || p.reached(part)
}

// resumed returns the cursor's resumed sources. A source that is pending again returns no
// more rows in this iteration, so it needs no returned hashes.
func (p *pager) resumed(pending []PendingSource) []PendingSource {
	sources := slices.Clone(p.cursor.Resumed)
	for i, s := range sources {
		if findSource(pending, s.Backend) != nil {
			sources[i] = PendingSource{Backend: s.Backend}
		}
	}
	return sources
}

// pendingSource returns what remains of a part after this page. The sourceCursor is nil if
// the part could not be read.
func (p *pager) pendingSource(part Part, s *sourceCursor) PendingSource {
	pending := PendingSource{Backend: part.Backend, After: p.start(part.Backend), Code: part.Code}
	if earlier := findSource(p.cursor.Resumed, part.Backend); earlier != nil {
		pending.Returned = slices.Clone(earlier.Returned)
	}
	if s != nil {
		pending.Returned = append(pending.Returned, s.returnedNow...)
	}
	return pending
}
