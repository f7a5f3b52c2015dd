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

// TestLongNamesFitIntoACursor: they are ordered by their beginning, which ends
// with a whole character.
func TestLongNamesFitIntoACursor(t *testing.T) {
	long := strings.Repeat("é", 5000)
	s := snapshot(t, agent("1", long+"b", "", ""), agent("2", long+"a", "", ""), agent("3", "x"+long, "", ""))
	sealer, err := NewSealer(secret.New(""))
	if err != nil {
		t.Fatal(err)
	}
	q, walk, got := Query{Order: Order{By: ByName}}, Walk{}, ""
	for range 5 {
		page := Paginate(q, walk, []string{"b"}, []Part{{Backend: "b", Snapshot: s}}, 1)
		got += s.NativeID(page.Rows[0].Index)
		if page.Next == nil {
			break
		}
		cursor, err := sealer.Seal(*page.Next)
		if err != nil || len(cursor) > 2000 {
			t.Fatalf("%v, %d bytes", err, len(cursor))
		}
		if walk, err = sealer.Open(cursor); err != nil {
			t.Fatal(err)
		}
	}
	if got != "312" {
		t.Errorf("the walk saw %s", got)
	}
}

// some is a snapshot of a list that broke off.
func some(t *testing.T, agents []*normalize.Agent) *Snapshot {
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

// TestInterruptedLists: what the walk can remember to have given is given, and
// the rest is owed. What is too much for that is given all the same, and the
// walk remembers that it may have missed something.
func TestInterruptedLists(t *testing.T) {
	page := func(walk Walk, s *Snapshot, limit int) Page {
		return Paginate(Query{}, walk, []string{"b"}, []Part{{Backend: "b", Snapshot: s, Code: "upstream_timeout"}}, limit)
	}
	agents := many(1000)
	first := page(Walk{}, some(t, agents[:maxGiven]), 1000)
	if len(first.Rows) != maxGiven || first.Next != nil || first.Resume == nil {
		t.Fatalf("%d rows", len(first.Rows))
	}
	sealer, _ := NewSealer(secret.New(""))
	cursor, err := sealer.Seal(*first.Resume)
	if err != nil || len(cursor) > 6<<10 {
		t.Errorf("%v, a cursor of %d bytes", err, len(cursor))
	}
	if second := page(*first.Resume, snapshot(t, agents...), 1000); len(second.Rows) != 1000-maxGiven || second.Next != nil || second.Resume != nil {
		t.Errorf("%d rows, %v %v", len(second.Rows), second.Next, second.Resume)
	}
	if still := page(*first.Resume, some(t, agents[:maxGiven]), 1000); len(still.Rows) != 0 || still.Next != nil || still.Resume == nil {
		t.Errorf("%d rows, %v %v", len(still.Rows), still.Next, still.Resume)
	}

	big := page(Walk{}, some(t, agents[:900]), 500)
	if len(big.Rows) != 500 || big.Parts[0].Count != 900 || big.Next == nil || big.Resume != nil {
		t.Fatalf("%d rows, count %d, %v %v", len(big.Rows), big.Parts[0].Count, big.Next, big.Resume)
	}
	rest := page(*big.Next, snapshot(t, agents...), 1000)
	if len(rest.Rows) != 500 || rest.Parts[0].Trouble != "upstream_timeout" || rest.Next != nil || rest.Resume != nil {
		t.Errorf("%d rows, %+v", len(rest.Rows), rest.Parts)
	}
}

// TestOldAndOddListsAreRemembered: what they lack is not owed, and the rest of
// the walk does not say that it is complete.
func TestOldAndOddListsAreRemembered(t *testing.T) {
	agents := many(4)
	odd, err := NewSnapshot(someInfo, adapters.Listing{Agents: agents, Partial: &normalize.Error{}})
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]Part{"odd": {Snapshot: odd}, "stale": {Snapshot: snapshot(t, agents...), Stale: true}} {
		part.Backend, part.Code = "b", "upstream_error"
		first := Paginate(Query{}, Walk{}, []string{"b"}, []Part{part}, 2)
		if len(first.Rows) != 2 || first.Next == nil {
			t.Fatalf("%s: %+v", name, first)
		}
		second := Paginate(Query{}, *first.Next, []string{"b"}, []Part{{Backend: "b", Snapshot: snapshot(t, agents...)}}, 2)
		if len(second.Rows) != 2 || second.Next != nil || second.Resume != nil || second.Parts[0].Trouble != "upstream_error" {
			t.Errorf("%s: %+v", name, second)
		}
	}
}

// TestDoubtIsResumedToo: what was missed of a backend before it was owed is not
// forgotten with its debt.
func TestDoubtIsResumedToo(t *testing.T) {
	agents := many(4)
	part := func(s *Snapshot, stale bool) []Part {
		return []Part{{Backend: "b", Snapshot: s, Stale: stale, Code: "upstream_error"}}
	}
	first := Paginate(Query{}, Walk{}, []string{"b"}, part(snapshot(t, agents[1:]...), true), 1)
	second := Paginate(Query{}, *first.Next, []string{"b"}, part(nil, false), 1)
	third := Paginate(Query{}, *second.Resume, []string{"b"}, part(snapshot(t, agents...), false), 9)
	if len(third.Rows) != 2 || third.Parts[0].Trouble == "" || third.Parts[0].LeftOut {
		t.Errorf("%+v", third)
	}
}

// TestAgentsThatCannotBePlaced: without the value that they are ordered or
// filtered by, and which can be had later, they are owed.
func TestAgentsThatCannotBePlaced(t *testing.T) {
	unread := agent("2", "", "", "")
	unread.NotLoaded = normalize.Fields(normalize.FieldName)
	q := Query{Order: Order{By: ByName}}
	parts := func(second *normalize.Agent) []Part {
		return []Part{{Backend: "b", Snapshot: snapshot(t, agent("1", "b", "", ""), second, agent("3", "c", "", "")), Code: "upstream_error", Needed: q.Fields()}}
	}
	first := Paginate(q, Walk{}, []string{"b"}, parts(unread), 1)
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
	// In basic view the value is not to be had: they come last.
	basic := Paginate(q, Walk{}, []string{"b"}, []Part{{Backend: "b", Snapshot: parts(unread)[0].Snapshot}}, 5)
	if len(basic.Rows) != 3 || basic.Rows[2].Index != 1 || basic.Resume != nil {
		t.Errorf("%+v", basic)
	}
}

// TestGoneAgentsAreNotGiven: nor counted.
func TestGoneAgentsAreNotGiven(t *testing.T) {
	page := Paginate(Query{}, Walk{}, []string{"b"}, []Part{{Backend: "b", Snapshot: snapshot(t, many(3)...), Gone: map[int]bool{1: true}}}, 5)
	if len(page.Rows) != 2 || page.Rows[1].Index != 2 || page.Parts[0].Count != 2 {
		t.Errorf("%+v", page)
	}
}

// TestOwedIsSaid: also when the backend is back, until the resumed walk.
func TestOwedIsSaid(t *testing.T) {
	a, b := snapshot(t, agent("1", "n", "", ""), agent("2", "n", "", "")), snapshot(t, agent("3", "n", "", ""), agent("4", "n", "", ""))
	f := func(walk Walk, first, second *Snapshot, limit int) Page {
		return Paginate(Query{}, walk, []string{"a", "b"}, []Part{{Backend: "a", Snapshot: first, Code: "upstream_error"}, {Backend: "b", Snapshot: second, Code: "upstream_error"}}, limit)
	}
	one := f(Walk{}, nil, b, 1)
	if one.Next == nil || one.Resume != nil || one.Parts[0].Trouble != "" {
		t.Fatalf("%+v", one)
	}
	two := f(*one.Next, a, b, 1)
	if two.Next != nil || two.Resume == nil || two.Parts[0].Trouble != "upstream_error" || two.Parts[0].Count != 2 || two.Parts[1].Trouble != "" {
		t.Errorf("%+v", two)
	}
	if got := two.Resume.Backends(); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("what is owed is %v", got)
	}
	// A backend whose turn has not come yet is not owed.
	if early := f(Walk{}, a, nil, 1); early.Next == nil || early.Next.Owed != nil {
		t.Errorf("%+v", early)
	}
}

// TestCursorsFitIntoURLs: with forty backends owed, each from behind an agent
// with a long name of characters that JSON escapes.
func TestCursorsFitIntoURLs(t *testing.T) {
	name := strings.Repeat("\x01\"é", 200)
	whole := Paginate(Query{Order: Order{By: ByName}}, Walk{}, []string{"first"}, []Part{{Backend: "first", Snapshot: snapshot(t, agent("1", name, "", ""), agent("2", name, "", ""))}}, 1)
	backends, parts := []string{"first"}, []Part{{Backend: "first", Snapshot: snapshot(t, agent("1", name, "", ""), agent("2", name, "", ""))}}
	for i := range 40 {
		backends = append(backends, fmt.Sprintf("a-backend-with-a-long-name-%d", i))
		parts = append(parts, Part{Backend: backends[i+1], Code: "upstream_unavailable"})
	}
	parts[1].Snapshot = some(t, many(maxGiven-1))
	page := Paginate(Query{Order: Order{By: ByName}}, *whole.Next, backends, parts, 1000)
	if page.Resume == nil || len(page.Resume.Tracks) != 40 || len(page.Resume.Tracks[0].Given) < 6*(maxGiven-1) && len(page.Rows) < maxGiven {
		t.Fatalf("%d rows, %+v", len(page.Rows), page.Resume)
	}
	sealer, _ := NewSealer(secret.New(""))
	cursor, err := sealer.Seal(*page.Resume)
	if err != nil || len(cursor) > 7<<10 {
		t.Errorf("%v, %d bytes", err, len(cursor))
	}
	opened, err := sealer.Open(cursor)
	if err != nil || !reflect.DeepEqual(opened, *page.Resume) {
		t.Errorf("%v, %+v", err, opened)
	}
	for _, bad := range []string{strings.Replace(cursor, "c1.z.", "c1.", 1), cursor[:len(cursor)-1], cursor + "A", "c1.z.", "c1.z.AAAA"} {
		if _, err := sealer.Open(bad); err == nil {
			t.Errorf("%.20s… was opened", bad)
		}
	}
}

// TestMemoryOfAWalkIsBounded: what was given before counts.
func TestMemoryOfAWalkIsBounded(t *testing.T) {
	walk := Walk{Tracks: []Track{{Backend: "a", Given: make([]byte, hashSize*(maxGiven-10)), Code: "c"}, {Backend: "b", Code: "c"}}}
	page := Paginate(Query{}, walk, []string{"a", "b"}, []Part{{Backend: "a", Snapshot: snapshot(t)}, {Backend: "b", Snapshot: some(t, many(20)), Code: "c"}}, 100)
	if len(page.Rows) != 20 || page.Resume != nil {
		t.Errorf("%d rows, %+v: more is remembered than there is room for", len(page.Rows), page.Resume)
	}
	page = Paginate(Query{}, walk, []string{"a", "b"}, []Part{{Backend: "a", Snapshot: snapshot(t)}, {Backend: "b", Snapshot: some(t, many(10)), Code: "c"}}, 100)
	if page.Resume == nil || len(page.Resume.Tracks[0].Given) != hashSize*10 {
		t.Errorf("%+v", page.Resume)
	}
}
