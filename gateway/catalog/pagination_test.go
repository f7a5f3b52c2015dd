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

// simulation is a few backends whose agents are created, deleted and changed while a client
// requests page after page.
type simulation struct {
	rand    *rand.Rand
	agents  []map[string]*normalize.Agent // of each backend, by native id
	created int
	// unchanged are the agents that have existed, matched and kept their position since
	// the first page.
	unchanged map[string]bool
	moved     map[string]bool // changed their position, and may be returned at both
	query     Query
	next      Page // the last page
}

func backendName(i int) string { return fmt.Sprintf("b%d", i) }

// create adds an agent at a random position.
func (sim *simulation) create(backend int) {
	sim.created++
	id := fmt.Sprint(sim.rand.IntN(10_000), "-", sim.created)
	if sim.rand.IntN(2) == 0 {
		id = strings.Repeat("x", sim.rand.IntN(5)) + id
	}
	a := normalize.New("p", backendName(backend), id, normalize.ViewBasic)
	sim.change(a)
	sim.agents[backend][id] = a
}

// change gives an agent random values, some of which are missing.
func (sim *simulation) change(a *normalize.Agent) {
	a.Name, a.CreatedAt, a.Status = nil, nil, nil
	if sim.rand.IntN(5) > 0 {
		name := fmt.Sprint("name ", sim.rand.IntN(8)) // ties
		a.Name = &name
	}
	if sim.rand.IntN(5) > 0 {
		at := time.Unix(int64(sim.rand.IntN(100)), 0).In(time.FixedZone("", 3600*sim.rand.IntN(5))).Format(time.RFC3339)
		a.CreatedAt = &at
	}
	if sim.rand.IntN(3) > 0 {
		status := []string{normalize.StatusActive, normalize.StatusInactive}[sim.rand.IntN(2)]
		a.Status = &status
	}
}

func (sim *simulation) matches(a *normalize.Agent) bool {
	of := rowFieldsOf(a)
	for _, f := range sim.query.Filters {
		if _, match := f.apply(&of); !match {
			return false
		}
	}
	return true
}

// mutate creates, deletes and changes agents between two pages.
func (sim *simulation) mutate() {
	for range sim.rand.IntN(6) {
		backend := sim.rand.IntN(len(sim.agents))
		ids := slices.Sorted(func(yield func(string) bool) {
			for id := range sim.agents[backend] {
				if !yield(id) {
					return
				}
			}
		})
		switch n := sim.rand.IntN(3); {
		case n == 0 || len(ids) == 0:
			sim.create(backend)
		case n == 1:
			id := ids[sim.rand.IntN(len(ids))]
			delete(sim.unchanged, sim.agents[backend][id].ID)
			delete(sim.agents[backend], id)
		default:
			old := sim.agents[backend][ids[sim.rand.IntN(len(ids))]]
			changed := *old
			sim.change(&changed)
			sim.agents[backend][old.NativeID] = &changed
			if sim.query.Order.By.sortKey(old.Text(sim.query.Order.Field())) != sim.query.Order.By.sortKey(changed.Text(sim.query.Order.Field())) {
				sim.moved[old.ID] = true
				delete(sim.unchanged, old.ID)
			}
			if !sim.matches(&changed) {
				delete(sim.unchanged, old.ID)
			}
		}
	}
}

var someInfo = &adapters.Info{Provider: "p"}

// part is a backend's current response: complete, missing, interrupted, or with details that
// could not be read. The failure rate is between 0 and 1.
func (sim *simulation) part(t *testing.T, backend int, failureRate float64) Part {
	p := Part{Backend: backendName(backend)}
	var listing adapters.Listing
	for _, a := range sim.agents[backend] {
		listing.Agents = append(listing.Agents, a)
	}
	switch r := sim.rand.Float64(); {
	case r < failureRate/4:
		p.Code, p.Needed = "upstream_error", sim.query.Fields()
		for i, a := range listing.Agents {
			if sim.rand.IntN(4) == 0 {
				unread := *a
				unread.Name, unread.CreatedAt, unread.Status = nil, nil, nil
				unread.NotLoaded = p.Needed
				listing.Agents[i] = &unread
			}
		}
	case r < failureRate/2:
		p.Code = "upstream_error"
		return p
	case r < failureRate:
		sim.rand.Shuffle(len(listing.Agents), func(i, j int) {
			listing.Agents[i], listing.Agents[j] = listing.Agents[j], listing.Agents[i]
		})
		listing.Agents = listing.Agents[:sim.rand.IntN(len(listing.Agents)+1)]
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

// TestPaginate_ChangesAndFailuresBetweenPages: whatever is created, changed and deleted
// between pages, whichever backends fail and recover, and however the limit changes, an
// agent that exists all the time is returned exactly once, and the cursors are right about
// whether there is more.
func TestPaginate_ChangesAndFailuresBetweenPages(t *testing.T) {
	runs := 400
	if testing.Short() || raceDetector { // make test runs all of them without the race detector
		runs = 100
	}
	for seed := range uint64(runs) {
		paginateOnce(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func paginateOnce(t *testing.T, seed uint64) {
	sim := &simulation{rand: rand.New(rand.NewPCG(seed, 1)), unchanged: map[string]bool{}, moved: map[string]bool{}}
	sim.query.Order = Order{By: OrderField(sim.rand.IntN(int(ByUpdatedAt))), Descending: sim.rand.IntN(2) == 0}
	if sim.query.Order.By == ByID {
		sim.query.Order.Descending = false
	}
	if sim.rand.IntN(3) == 0 {
		sim.query.Filters = []Filter{{normalize.FieldStatus, []string{normalize.StatusActive}}}
	}
	for range 1 + sim.rand.IntN(4) {
		sim.agents = append(sim.agents, map[string]*normalize.Agent{})
	}
	for range sim.rand.IntN(60) {
		sim.create(sim.rand.IntN(len(sim.agents)))
	}
	for _, agents := range sim.agents {
		for _, a := range agents {
			if sim.matches(a) {
				sim.unchanged[a.ID] = true
			}
		}
	}
	sealer, err := NewSealer(secret.New("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	returned := map[string]int{}
	cursor := Cursor{List: [32]byte{1}}
	failureRate := sim.rand.Float64() * 0.9
	noFailure := true
	for pages := 0; ; pages++ {
		if pages > 2000 {
			t.Fatal("the pagination does not end")
		}
		if pages > 200 {
			failureRate = 0 // every backend recovers in the end
		}
		limit := 1 + sim.rand.IntN(8)
		page, failed, ok := sim.page(t, cursor, limit, failureRate)
		if !ok {
			continue // all sources failed: the client repeats the request
		}
		noFailure = noFailure && !failed
		for _, id := range page {
			returned[id]++
		}
		next := sim.next
		if len(page) > limit {
			t.Errorf("%d rows, the limit is %d", len(page), limit)
		}
		if next.Next != nil && next.Resume != nil {
			t.Error("both Next and Resume are set")
		}
		if next.Next != nil && len(page) == 0 {
			t.Error("an empty page has a next page")
		}
		following := next.Next
		if following == nil {
			following = next.Resume
		}
		if next.Resume != nil && noFailure {
			t.Error("nothing failed, and Resume is set")
		}
		if following == nil {
			break
		}
		token, err := sealer.Seal(*following)
		if err != nil {
			t.Fatal(err)
		}
		if len(token) > 6<<10 {
			t.Errorf("a cursor of %d bytes does not fit into a URL", len(token))
		}
		if cursor, err = sealer.Open(token); err != nil {
			t.Fatal(err)
		}
		sim.mutate()
	}
	for id, n := range returned {
		if n > 1 && !sim.moved[id] {
			t.Errorf("%s was returned %d times", id, n)
		}
	}
	for id := range sim.unchanged {
		if returned[id] != 1 {
			t.Errorf("%s existed all the time and was returned %d times (%+v)", id, returned[id], sim.query.Order)
		}
	}
}

// page requests a page. It is not ok if no source can be read.
func (sim *simulation) page(t *testing.T, cursor Cursor, limit int, failureRate float64) (ids []string, failed, ok bool) {
	var parts []Part
	var backends []string
	for i := range sim.agents {
		backends = append(backends, backendName(i))
		if only := cursor.Backends(); only == nil || slices.Contains(only, backendName(i)) {
			p := sim.part(t, i, failureRate)
			parts = append(parts, p)
			ok = ok || p.Snapshot != nil
			failed = failed || p.incomplete(sim.query)
		}
	}
	found := Paginate(sim.query, cursor, backends, parts, limit)
	sim.next = found
	for _, r := range found.Rows {
		ids = append(ids, parts[r.Part].Snapshot.Agent(r.Index).ID)
	}
	sim.checkOrder(t, parts, found)
	return ids, failed, ok
}

// checkOrder compares the order of a page's rows with the documented order.
func (sim *simulation) checkOrder(t *testing.T, parts []Part, found Page) {
	for n := 1; n < len(found.Rows); n++ {
		a, b := found.Rows[n-1], found.Rows[n]
		x, y := parts[a.Part].Snapshot.Agent(a.Index), parts[b.Part].Snapshot.Agent(b.Index)
		kx, ky := sim.query.Order.By.sortKey(x.Text(sim.query.Order.Field())), sim.query.Order.By.sortKey(y.Text(sim.query.Order.Field()))
		var wrong bool
		switch {
		case kx == ky:
			wrong = a.Part > b.Part || a.Part == b.Part && normalize.Compare(x.NativeID, y.NativeID) >= 0
		case !kx.present || !ky.present:
			wrong = !kx.present
		case sim.query.Order.Descending:
			wrong = kx.value < ky.value
		default:
			wrong = kx.value > ky.value
		}
		if wrong {
			t.Errorf("%s %+v comes before %s %+v", x.ID, kx, y.ID, ky)
		}
	}
}
