package catalog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/normalize"
)

// world is a few backends whose agents come, go and change while a client walks
// over them.
type world struct {
	rand   *rand.Rand
	agents []map[string]*normalize.Agent // of each backend, by native id
	born   int
	// stayed are the agents that have been there since the walk began, and have
	// matched and kept their place in its order.
	stayed map[string]bool
	moved  map[string]bool // changed their place, and may be seen at both
	query  Query
	next   Page // the last page
}

func backendName(i int) string { return fmt.Sprintf("b%d", i) }

// create adds an agent anywhere in the order.
func (w *world) create(backend int) {
	w.born++
	id := fmt.Sprint(w.rand.IntN(10_000), "-", w.born)
	if w.rand.IntN(2) == 0 {
		id = strings.Repeat("x", w.rand.IntN(5)) + id
	}
	a := normalize.New("p", backendName(backend), id, normalize.ViewBasic)
	w.change(a)
	w.agents[backend][id] = a
}

// change gives an agent other values, some of which are not there.
func (w *world) change(a *normalize.Agent) {
	a.Name, a.CreatedAt, a.Status = nil, nil, nil
	if w.rand.IntN(5) > 0 {
		name := fmt.Sprint("name ", w.rand.IntN(8)) // ties
		a.Name = &name
	}
	if w.rand.IntN(5) > 0 {
		at := time.Unix(int64(w.rand.IntN(100)), 0).In(time.FixedZone("", 3600*w.rand.IntN(5))).Format(time.RFC3339)
		a.CreatedAt = &at
	}
	if w.rand.IntN(3) > 0 {
		status := []string{normalize.StatusActive, normalize.StatusInactive}[w.rand.IntN(2)]
		a.Status = &status
	}
}

func (w *world) matches(a *normalize.Agent) bool {
	of := factsOf(a)
	for _, f := range w.query.Filters {
		if _, match := f.apply(&of); !match {
			return false
		}
	}
	return true
}

// turn is what happens between two pages.
func (w *world) turn() {
	for range w.rand.IntN(6) {
		backend := w.rand.IntN(len(w.agents))
		ids := slices.Sorted(func(yield func(string) bool) {
			for id := range w.agents[backend] {
				if !yield(id) {
					return
				}
			}
		})
		switch n := w.rand.IntN(3); {
		case n == 0 || len(ids) == 0:
			w.create(backend)
		case n == 1:
			id := ids[w.rand.IntN(len(ids))]
			delete(w.stayed, w.agents[backend][id].ID)
			delete(w.agents[backend], id)
		default:
			old := w.agents[backend][ids[w.rand.IntN(len(ids))]]
			changed := *old
			w.change(&changed)
			w.agents[backend][old.NativeID] = &changed
			if w.query.Order.By.keyOf(old.Text(w.query.Order.Field())) != w.query.Order.By.keyOf(changed.Text(w.query.Order.Field())) {
				w.moved[old.ID] = true
				delete(w.stayed, old.ID)
			}
			if !w.matches(&changed) {
				delete(w.stayed, old.ID)
			}
		}
	}
}

var someInfo = &adapters.Info{Provider: "p"}

// part is a backend as it answers now: whole, not at all, interrupted, or with
// details that could not be read.
func (w *world) part(t *testing.T, backend int, trouble float64) Part {
	p := Part{Backend: backendName(backend)}
	var listing adapters.Listing
	for _, a := range w.agents[backend] {
		listing.Agents = append(listing.Agents, a)
	}
	switch r := w.rand.Float64(); {
	case r < trouble/4:
		p.Code, p.Needed = "upstream_error", w.query.Fields()
		for i, a := range listing.Agents {
			if w.rand.IntN(4) == 0 {
				unread := *a
				unread.Name, unread.CreatedAt, unread.Status = nil, nil, nil
				unread.NotLoaded = p.Needed
				listing.Agents[i] = &unread
			}
		}
	case r < trouble/2:
		p.Code = "upstream_error"
		return p
	case r < trouble:
		w.rand.Shuffle(len(listing.Agents), func(i, j int) {
			listing.Agents[i], listing.Agents[j] = listing.Agents[j], listing.Agents[i]
		})
		listing.Agents = listing.Agents[:w.rand.IntN(len(listing.Agents)+1)]
		listing.Partial, listing.Interrupted = &normalize.Error{Kind: normalize.KindTimeout}, true
		p.Code = "upstream_timeout"
	}
	s, err := NewSnapshot(someInfo, listing)
	if err != nil {
		t.Fatal(err)
	}
	p.Snapshot = s
	return p
}

// TestWalks: whatever is created, changed and deleted between pages, whichever
// backends fail and come back, and however the limit changes, an agent that is
// there all the time is seen exactly once, and the cursors say truly whether
// there is more.
func TestWalks(t *testing.T) {
	runs := 400
	if testing.Short() || raceDetector { // make test runs them without it, too
		runs = 100
	}
	for seed := range uint64(runs) {
		walkOnce(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func walkOnce(t *testing.T, seed uint64) {
	w := &world{rand: rand.New(rand.NewPCG(seed, 1)), stayed: map[string]bool{}, moved: map[string]bool{}}
	w.query.Order = Order{By: OrderField(w.rand.IntN(int(ByUpdatedAt))), Descending: w.rand.IntN(2) == 0}
	if w.query.Order.By == ByID {
		w.query.Order.Descending = false
	}
	if w.rand.IntN(3) == 0 {
		w.query.Filters = []Filter{{normalize.FieldStatus, []string{normalize.StatusActive}}}
	}
	for range 1 + w.rand.IntN(4) {
		w.agents = append(w.agents, map[string]*normalize.Agent{})
	}
	for range w.rand.IntN(60) {
		w.create(w.rand.IntN(len(w.agents)))
	}
	for _, agents := range w.agents {
		for _, a := range agents {
			if w.matches(a) {
				w.stayed[a.ID] = true
			}
		}
	}
	sealer, err := NewSealer(secret.New("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	walk := Walk{List: [32]byte{1}}
	trouble := w.rand.Float64() * 0.9
	sound := true // nothing has failed so far
	for pages := 0; ; pages++ {
		if pages > 2000 {
			t.Fatal("the walk does not end")
		}
		if pages > 200 {
			trouble = 0 // every backend is back in the end
		}
		limit := 1 + w.rand.IntN(8)
		page, failed, ok := w.page(t, walk, limit, trouble)
		if !ok {
			continue // all that was asked for failed: the client asks again
		}
		sound = sound && !failed
		for _, id := range page {
			seen[id]++
		}
		next := w.next
		if len(page) > limit {
			t.Errorf("%d rows, the limit is %d", len(page), limit)
		}
		if next.Next != nil && next.Resume != nil {
			t.Error("a page leads two ways")
		}
		if next.Next != nil && len(page) == 0 {
			t.Error("an empty page says that there is more")
		}
		goOn := next.Next
		if goOn == nil {
			goOn = next.Resume
		}
		if next.Resume != nil && sound {
			t.Error("nothing failed, yet there is something to resume")
		}
		if goOn == nil {
			break
		}
		cursor, err := sealer.Seal(*goOn)
		if err != nil {
			t.Fatal(err)
		}
		if len(cursor) > 6<<10 {
			t.Errorf("a cursor of %d bytes does not fit into a URL", len(cursor))
		}
		if walk, err = sealer.Open(cursor); err != nil {
			t.Fatal(err)
		}
		w.turn()
	}
	for id, n := range seen {
		if n > 1 && !w.moved[id] {
			t.Errorf("%s was seen %d times", id, n)
		}
	}
	for id := range w.stayed {
		if seen[id] != 1 {
			t.Errorf("%s was there all the time and seen %d times (%+v)", id, seen[id], w.query.Order)
		}
	}
}

// page asks the walk's backends. It is not ok if none of them answers.
func (w *world) page(t *testing.T, walk Walk, limit int, trouble float64) (ids []string, failed, ok bool) {
	var parts []Part
	var backends []string
	for i := range w.agents {
		backends = append(backends, backendName(i))
		if only := walk.Backends(); only == nil || slices.Contains(only, backendName(i)) {
			p := w.part(t, i, trouble)
			parts = append(parts, p)
			ok = ok || p.Snapshot != nil
			failed = failed || p.lost(w.query)
		}
	}
	found := Paginate(w.query, walk, backends, parts, limit)
	w.next = found
	for _, r := range found.Rows {
		ids = append(ids, parts[r.Part].Snapshot.Agent(r.Index).ID)
	}
	w.inOrder(t, parts, found)
	return ids, failed, ok
}

// inOrder holds a page against the order that the documentation gives.
func (w *world) inOrder(t *testing.T, parts []Part, found Page) {
	for n := 1; n < len(found.Rows); n++ {
		a, b := found.Rows[n-1], found.Rows[n]
		x, y := parts[a.Part].Snapshot.Agent(a.Index), parts[b.Part].Snapshot.Agent(b.Index)
		kx, ky := w.query.Order.By.keyOf(x.Text(w.query.Order.Field())), w.query.Order.By.keyOf(y.Text(w.query.Order.Field()))
		var wrong bool
		switch {
		case kx == ky:
			wrong = a.Part > b.Part || a.Part == b.Part && normalize.Compare(x.NativeID, y.NativeID) >= 0
		case !kx.present || !ky.present:
			wrong = !kx.present
		case w.query.Order.Descending:
			wrong = kx.value < ky.value
		default:
			wrong = kx.value > ky.value
		}
		if wrong {
			t.Errorf("%s %+v comes before %s %+v", x.ID, kx, y.ID, ky)
		}
	}
}
