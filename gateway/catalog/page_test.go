package catalog

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/normalize"
)

// TestPaginate_LongNames: long names are sorted by their beginning, so they fit into a
// cursor.
func TestPaginate_LongNames(t *testing.T) {
	long := strings.Repeat("é", 5000)
	s := snapshot(t, agent("1", long+"b", "", ""), agent("2", long+"a", "", ""), agent("3", "x"+long, "", ""))
	sealer, err := NewSealer(secret.New(""))
	if err != nil {
		t.Fatal(err)
	}
	q, cursor, got := Query{Order: Order{By: ByName}}, Cursor{}, ""
	for range 5 {
		page := Paginate(q, cursor, []string{"b"}, []Part{{Backend: "b", Snapshot: s}}, 1)
		got += s.NativeID(page.Rows[0].Index)
		if page.Next == nil {
			break
		}
		token, err := sealer.Seal(*page.Next)
		if err != nil || len(token) > 2000 {
			t.Fatalf("%v, %d bytes", err, len(token))
		}
		if cursor, err = sealer.Open(token); err != nil {
			t.Fatal(err)
		}
	}
	if got != "312" {
		t.Errorf("the pages have %s", got)
	}
}

// interrupted returns a snapshot of a list whose later pages could not be read.
func interrupted(t *testing.T, agents []*normalize.Agent) *Snapshot {
	t.Helper()
	s, err := NewSnapshot(someInfo, adapters.Listing{Agents: agents, Partial: &normalize.Error{}, Interrupted: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func many(n int) (agents []*normalize.Agent) {
	for i := range n {
		agents = append(agents, agent(fmt.Sprint(i), "n", "", ""))
	}
	return agents
}

// TestPaginate_InterruptedSource: rows that the cursor can track are returned, and the rest
// of the source is pending. More rows are returned too, and the source is uncertain.
func TestPaginate_InterruptedSource(t *testing.T) {
	page := func(cursor Cursor, s *Snapshot, limit int) Page {
		return Paginate(Query{}, cursor, []string{"b"}, []Part{{Backend: "b", Snapshot: s, Code: "upstream_timeout"}}, limit)
	}
	agents := many(1000)
	first := page(Cursor{}, interrupted(t, agents[:maxReturned]), 1000)
	if len(first.Rows) != maxReturned || first.Next != nil || first.Resume == nil {
		t.Fatalf("%d rows", len(first.Rows))
	}
	sealer, _ := NewSealer(secret.New(""))
	token, err := sealer.Seal(*first.Resume)
	if err != nil || len(token) > 6<<10 {
		t.Errorf("%v, a cursor of %d bytes", err, len(token))
	}
	if second := page(*first.Resume, snapshot(t, agents...), 1000); len(second.Rows) != 1000-maxReturned || second.Next != nil || second.Resume != nil {
		t.Errorf("%d rows, %v %v", len(second.Rows), second.Next, second.Resume)
	}
	if still := page(*first.Resume, interrupted(t, agents[:maxReturned]), 1000); len(still.Rows) != 0 || still.Next != nil || still.Resume == nil {
		t.Errorf("%d rows, %v %v", len(still.Rows), still.Next, still.Resume)
	}

	big := page(Cursor{}, interrupted(t, agents[:900]), 500)
	if len(big.Rows) != 500 || big.Parts[0].Count != 900 || big.Next == nil || big.Resume != nil {
		t.Fatalf("%d rows, count %d, %v %v", len(big.Rows), big.Parts[0].Count, big.Next, big.Resume)
	}
	rest := page(*big.Next, snapshot(t, agents...), 1000)
	if len(rest.Rows) != 500 || rest.Parts[0].EarlierCode != "upstream_timeout" || rest.Next != nil || rest.Resume != nil {
		t.Errorf("%d rows, %+v", len(rest.Rows), rest.Parts)
	}
}

// TestPaginate_StaleOrPartialSource: agents that a stale or partial source lacks are not
// pending, and the following pages report the source as incomplete.
func TestPaginate_StaleOrPartialSource(t *testing.T) {
	agents := many(4)
	partial, err := NewSnapshot(someInfo, adapters.Listing{Agents: agents, Partial: &normalize.Error{}})
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]Part{"partial": {Snapshot: partial}, "stale": {Snapshot: snapshot(t, agents...), Stale: true}} {
		part.Backend, part.Code = "b", "upstream_error"
		first := Paginate(Query{}, Cursor{}, []string{"b"}, []Part{part}, 2)
		if len(first.Rows) != 2 || first.Next == nil {
			t.Fatalf("%s: %+v", name, first)
		}
		second := Paginate(Query{}, *first.Next, []string{"b"}, []Part{{Backend: "b", Snapshot: snapshot(t, agents...)}}, 2)
		if len(second.Rows) != 2 || second.Next != nil || second.Resume != nil || second.Parts[0].EarlierCode != "upstream_error" {
			t.Errorf("%s: %+v", name, second)
		}
	}
}

// TestPaginate_UncertainSourceIsResumed: a source that was uncertain before it became pending
// is still reported after it was resumed.
func TestPaginate_UncertainSourceIsResumed(t *testing.T) {
	agents := many(4)
	part := func(s *Snapshot, stale bool) []Part {
		return []Part{{Backend: "b", Snapshot: s, Stale: stale, Code: "upstream_error"}}
	}
	first := Paginate(Query{}, Cursor{}, []string{"b"}, part(snapshot(t, agents[1:]...), true), 1)
	second := Paginate(Query{}, *first.Next, []string{"b"}, part(nil, false), 1)
	third := Paginate(Query{}, *second.Resume, []string{"b"}, part(snapshot(t, agents...), false), 9)
	if len(third.Rows) != 2 || third.Parts[0].EarlierCode == "" || third.Parts[0].Omitted {
		t.Errorf("%+v", third)
	}
}

// TestPaginate_SortKeyNotLoaded: an agent whose sort key is not loaded is pending.
func TestPaginate_SortKeyNotLoaded(t *testing.T) {
	unread := agent("2", "", "", "")
	unread.NotLoaded = normalize.Fields(normalize.FieldName)
	q := Query{Order: Order{By: ByName}}
	parts := func(second *normalize.Agent) []Part {
		return []Part{{Backend: "b", Snapshot: snapshot(t, agent("1", "b", "", ""), second, agent("3", "c", "", "")), Code: "upstream_error", Needed: q.Fields()}}
	}
	first := Paginate(q, Cursor{}, []string{"b"}, parts(unread), 1)
	if len(first.Rows) != 1 || first.Next != nil || first.Resume == nil {
		t.Fatalf("%+v", first)
	}
	rest := Paginate(q, *first.Resume, []string{"b"}, parts(agent("2", "a", "", "")), 5)
	var ids string
	for _, r := range rest.Rows {
		ids += parts(unread)[0].Snapshot.NativeID(r.Index)
	}
	if ids != "23" || rest.Next != nil || rest.Resume != nil {
		t.Errorf("%s, %+v", ids, rest)
	}
	// In basic view the value is never loaded: such agents come last.
	basic := Paginate(q, Cursor{}, []string{"b"}, []Part{{Backend: "b", Snapshot: parts(unread)[0].Snapshot}}, 5)
	if len(basic.Rows) != 3 || basic.Rows[2].Index != 1 || basic.Resume != nil {
		t.Errorf("%+v", basic)
	}
}

// TestPaginate_GoneAgents: agents that were deleted are neither returned nor counted.
func TestPaginate_GoneAgents(t *testing.T) {
	page := Paginate(Query{}, Cursor{}, []string{"b"}, []Part{{Backend: "b", Snapshot: snapshot(t, many(3)...), Gone: map[int]bool{1: true}}}, 5)
	if len(page.Rows) != 2 || page.Rows[1].Index != 2 || page.Parts[0].Count != 2 {
		t.Errorf("%+v", page)
	}
}

// TestPaginate_PendingSourceIsReported: a pending source is reported on every page, also when
// its backend has recovered, until it is resumed.
func TestPaginate_PendingSourceIsReported(t *testing.T) {
	a, b := snapshot(t, agent("1", "n", "", ""), agent("2", "n", "", "")), snapshot(t, agent("3", "n", "", ""), agent("4", "n", "", ""))
	f := func(cursor Cursor, first, second *Snapshot, limit int) Page {
		return Paginate(Query{}, cursor, []string{"a", "b"}, []Part{{Backend: "a", Snapshot: first, Code: "upstream_error"}, {Backend: "b", Snapshot: second, Code: "upstream_error"}}, limit)
	}
	one := f(Cursor{}, nil, b, 1)
	if one.Next == nil || one.Resume != nil || one.Parts[0].EarlierCode != "" {
		t.Fatalf("%+v", one)
	}
	two := f(*one.Next, a, b, 1)
	if two.Next != nil || two.Resume == nil || two.Parts[0].EarlierCode != "upstream_error" || two.Parts[0].Count != 2 || two.Parts[1].EarlierCode != "" {
		t.Errorf("%+v", two)
	}
	if got := two.Resume.Backends(); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("pending are %v", got)
	}
	// A backend whose agents come on a later page is not pending.
	if early := f(Cursor{}, a, nil, 1); early.Next == nil || early.Next.Pending != nil {
		t.Errorf("%+v", early)
	}
}

// TestSeal_LargeCursorFitsIntoURL seals a cursor with forty pending sources, each after an
// agent with a long name of characters that JSON escapes.
func TestSeal_LargeCursorFitsIntoURL(t *testing.T) {
	name := strings.Repeat("\x01\"é", 200)
	first := Paginate(Query{Order: Order{By: ByName}}, Cursor{}, []string{"first"}, []Part{{Backend: "first", Snapshot: snapshot(t, agent("1", name, "", ""), agent("2", name, "", ""))}}, 1)
	backends, parts := []string{"first"}, []Part{{Backend: "first", Snapshot: snapshot(t, agent("1", name, "", ""), agent("2", name, "", ""))}}
	for i := range 40 {
		backends = append(backends, fmt.Sprintf("a-backend-with-a-long-name-%d", i))
		parts = append(parts, Part{Backend: backends[i+1], Code: "upstream_unavailable"})
	}
	parts[1].Snapshot = interrupted(t, many(maxReturned-1))
	page := Paginate(Query{Order: Order{By: ByName}}, *first.Next, backends, parts, 1000)
	if page.Resume == nil || len(page.Resume.Resumed) != 40 || len(page.Resume.Resumed[0].Returned) < 6*(maxReturned-1) && len(page.Rows) < maxReturned {
		t.Fatalf("%d rows, %+v", len(page.Rows), page.Resume)
	}
	sealer, _ := NewSealer(secret.New(""))
	token, err := sealer.Seal(*page.Resume)
	if err != nil || len(token) > 7<<10 {
		t.Errorf("%v, %d bytes", err, len(token))
	}
	opened, err := sealer.Open(token)
	if err != nil || !reflect.DeepEqual(opened, *page.Resume) {
		t.Errorf("%v, %+v", err, opened)
	}
	for _, bad := range []string{strings.Replace(token, "c1.z.", "c1.", 1), token[:len(token)-1], token + "A", "c1.z.", "c1.z.AAAA"} {
		if _, err := sealer.Open(bad); err == nil {
			t.Errorf("%.20s… was accepted", bad)
		}
	}
}

// TestPaginate_TrackedAgentsAreBounded: agents that earlier pages returned count towards
// maxReturned.
func TestPaginate_TrackedAgentsAreBounded(t *testing.T) {
	cursor := Cursor{Resumed: []PendingSource{{Backend: "a", Returned: make([]byte, hashSize*(maxReturned-10)), Code: "c"}, {Backend: "b", Code: "c"}}}
	page := Paginate(Query{}, cursor, []string{"a", "b"}, []Part{{Backend: "a", Snapshot: snapshot(t)}, {Backend: "b", Snapshot: interrupted(t, many(20)), Code: "c"}}, 100)
	if len(page.Rows) != 20 || page.Resume != nil {
		t.Errorf("%d rows, %+v: more agents are tracked than allowed", len(page.Rows), page.Resume)
	}
	page = Paginate(Query{}, cursor, []string{"a", "b"}, []Part{{Backend: "a", Snapshot: snapshot(t)}, {Backend: "b", Snapshot: interrupted(t, many(10)), Code: "c"}}, 100)
	if page.Resume == nil || len(page.Resume.Resumed[0].Returned) != hashSize*10 {
		t.Errorf("%+v", page.Resume)
	}
}
