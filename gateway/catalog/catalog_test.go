package catalog

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/normalize"
)

// agent makes one; what is empty is null.
func agent(id, name, description, status string) *normalize.Agent {
	a := normalize.New("p", "b", id, normalize.ViewBasic)
	for _, f := range []struct {
		to    **string
		value string
	}{{&a.Name, name}, {&a.Description, description}, {&a.Status, status}} {
		if f.value != "" {
			*f.to = &f.value
		}
	}
	return a
}

func snapshot(t *testing.T, agents ...*normalize.Agent) *Snapshot {
	t.Helper()
	s, err := NewSnapshot(someInfo, adapters.Listing{Agents: agents}, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSnapshotIsSortedAndFound(t *testing.T) {
	second := agent("2", "two", "", "")
	second.AlternateIDs = []string{"b:10", "b:assistant"}
	s := snapshot(t, agent("10", "ten", "", ""), second, agent("9", "nine", "", ""), agent("2", "another two", "", ""))
	var names []string
	for _, a := range s.Agents {
		names = append(names, *a.Name)
	}
	if want := []string{"two", "nine", "ten"}; !reflect.DeepEqual(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	for native, want := range map[string]int{"2": 0, "assistant": 0, "10": 2, "nobody": -1, "": -1} {
		if got := s.Find(native); got != want {
			t.Errorf("%q is at %d, want %d", native, got, want)
		}
	}
	if got := snapshot(t).Find("2"); got != -1 {
		t.Errorf("an empty snapshot has it at %d", got)
	}
}

// selected are the native ids that a query finds.
func selected(q Query, s *Snapshot) (ids []string, unfiltered []string) {
	ids = []string{}
	found := q.sel(Part{Snapshot: s})
	for i := range found.len(s) {
		ids = append(ids, s.Agents[found.at(i)].NativeID)
	}
	return ids, found.unfiltered.Names()
}

func TestFilters(t *testing.T) {
	hidden := agent("4", "four", "", "")
	hidden.Unavailable = normalize.Fields(normalize.FieldStatus)
	summary := agent("5", "five", "", "")
	summary.NotLoaded = normalize.Fields(normalize.FieldLanguage, normalize.FieldDescription)
	s := snapshot(t, agent("1", "Straße 1", "Hilft", "active"), agent("2", "two", "", "inactive"), agent("3", "", "", ""), hidden, summary)
	f := func(q Query, wantIDs, wantUnfiltered string) {
		t.Helper()
		ids, unfiltered := selected(q, s)
		if got := strings.Join(ids, " "); got != wantIDs || strings.Join(unfiltered, " ") != wantUnfiltered {
			t.Errorf("%+v: %q %v, want %q %q", q, got, unfiltered, wantIDs, wantUnfiltered)
		}
	}
	is := func(f normalize.Field, values ...string) Query { return Query{Filters: []Filter{{f, values}}} }
	f(Query{}, "1 2 3 4 5", "")
	f(is(normalize.FieldStatus, "active"), "1", "status")
	f(is(normalize.FieldStatus, "active", "inactive"), "1 2", "status")
	f(is(normalize.FieldStatus, "Active"), "", "status")
	f(is(normalize.FieldLanguage, "en"), "", "language")
	f(is(normalize.FieldDirection, "inbound"), "", "") // all show it, and it is empty
	f(Query{Text: "STRASSE"}, "1", "description")
	f(Query{Text: "hilf"}, "1", "description")
	f(Query{Text: "five"}, "5", "") // found without what was not loaded
	f(Query{Text: "b:4"}, "4", "description")
	f(Query{Text: "1hilft"}, "", "description") // across two parts
	f(Query{Text: "hilft\x00b"}, "1", "description")
	// Only agents that nothing else excludes are in doubt: 4 may be active, 5 is not.
	f(Query{Filters: []Filter{{normalize.FieldStatus, []string{"active"}}}, Text: "o"}, "", "status")
	f(Query{Filters: []Filter{{normalize.FieldStatus, []string{"active"}}}, Text: "two"}, "", "")
	f(Query{Filters: []Filter{{normalize.FieldLanguage, []string{"en"}}}, Text: "ive"}, "", "language")
	f(Query{Order: Order{By: ByName, Descending: true}}, "2 4 5 1 3", "")
	f(Query{Filters: []Filter{{normalize.FieldStatus, []string{"active", "inactive"}}}, Order: Order{By: ByName}}, "1 2", "status")
}

func TestOrders(t *testing.T) {
	at := func(id, created string) *normalize.Agent {
		a := agent(id, "same", "", "")
		if created != "" {
			a.CreatedAt = &created
		}
		return a
	}
	s := snapshot(t, at("1", "2024-01-01T12:00:00+05:00"), at("2", "2024-01-01T08:00:00Z"), at("3", ""), at("4", "2024-01-01T07:00:00.000000001Z"), at("5", "yesterday"), at("6", "2024-01-01T08:00:00Z"))
	f := func(text, want string) {
		t.Helper()
		order, ok := ParseOrder(text)
		if !ok {
			t.Fatalf("%q is no order", text)
		}
		if ids, _ := selected(Query{Order: order}, s); strings.Join(ids, " ") != want {
			t.Errorf("%s: %v, want %s", text, ids, want)
		}
	}
	f("created_at", "1 4 2 6 3 5")
	f("-created_at", "2 6 4 1 3 5")
	f("name", "1 2 3 4 5 6")
	f("-name", "1 2 3 4 5 6")
	f("updated_at", "1 2 3 4 5 6")
	for _, text := range []string{"", "-", "id", "--name", "name ", "Name", "usage.calls"} {
		if _, ok := ParseOrder(text); ok {
			t.Errorf("%q is an order", text)
		}
	}
	if got := OrderNames(); !reflect.DeepEqual(got, []string{"name", "created_at", "updated_at"}) {
		t.Errorf("%v", got)
	}
}

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
		got += s.Agents[page.Rows[0].Index].NativeID
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
	s, err := NewSnapshot(someInfo, adapters.Listing{Agents: agents, Partial: &normalize.Error{}, Interrupted: true}, time.Time{})
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
	odd, err := NewSnapshot(someInfo, adapters.Listing{Agents: agents, Partial: &normalize.Error{}}, time.Time{})
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
		ids += parts(unread)[0].Snapshot.Agents[r.Index].NativeID
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

func TestDetails(t *testing.T) {
	made := func(change func(*normalize.Agent)) *Detail {
		a := agent("1", "n", "d", "active")
		a.View = normalize.ViewFull
		change(a)
		d, err := NewDetail(someInfo, a)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	now, calls := "2024-01-01T00:00:00Z", normalize.Number("5")
	same := made(func(*normalize.Agent) {})
	if tag := same.ETag(); !strings.HasPrefix(tag, `"`) || !strings.HasSuffix(tag, `"`) || len(tag) < 20 {
		t.Errorf("%s is not a strong tag", tag)
	}
	for name, change := range map[string]func(*normalize.Agent){
		"usage": func(a *normalize.Agent) { a.Usage.Calls = &calls }, "created_at": func(a *normalize.Agent) { a.CreatedAt = &now }, "updated_at": func(a *normalize.Agent) { a.UpdatedAt = &now },
	} {
		if made(change).ETag() != same.ETag() {
			t.Errorf("%s changes the tag", name)
		}
	}
	for name, change := range map[string]func(*normalize.Agent){
		"name": func(a *normalize.Agent) { a.Name = &now }, "status": func(a *normalize.Agent) { a.Status = nil }, "extensions": func(a *normalize.Agent) { a.Extensions = []byte(`{"x":1}`) },
		"voice": func(a *normalize.Agent) { a.Voice.ID = &now }, "tools": func(a *normalize.Agent) { a.Tools.Custom = []string{} },
	} {
		if made(change).ETag() == same.ETag() {
			t.Errorf("%s does not change the tag", name)
		}
	}
	ordered, reordered := made(func(a *normalize.Agent) { a.Extensions = []byte(`{"x":1.0,"y":[2]}`) }), made(func(a *normalize.Agent) { a.Extensions = []byte(`{ "y":[2], "x":1 }`) })
	if ordered.ETag() != reordered.ETag() {
		t.Error("the order of members changes the tag")
	}

	encoded, err := same.Agent.Encode(normalize.Form{WithSets: true})
	if err != nil || string(same.Answer().Plain()) != string(encoded) {
		t.Errorf("the answer is %s", same.Answer().Plain())
	}
	row := agent("1", "n", "d", "active")
	row.Avatar = &normalize.Avatar{Name: &now}
	joined, err := same.Join(someInfo, row)
	if err != nil || joined.Agent.Avatar == nil {
		t.Fatal(err)
	}
	if again, _ := same.Join(someInfo, row); again != joined {
		t.Error("a join was made twice")
	}
	if alone, _ := same.Join(someInfo, nil); alone != same {
		t.Error("a detail without a row is another one")
	}
}

// TestRowsAreTheAgentsWithoutTheirView: whichever ending they get.
func TestRowsAreTheAgentsWithoutTheirView(t *testing.T) {
	s := snapshot(t, agent("1", "n", "", "active"))
	if s.Full(0).Agent.View != normalize.ViewFull || s.Agents[0].View != normalize.ViewBasic {
		t.Error("the full view changed the row")
	}
	var basic, full map[string]any
	if err := json.Unmarshal(s.Row(0).Append(nil, normalize.NewEnding(normalize.ViewBasic)), &basic); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(s.Full(0).Answer().Plain(), &full); err != nil {
		t.Fatal(err)
	}
	if basic["view"] != "basic" || full["view"] != "full" || full["unavailable"] == nil || basic["unavailable"] != nil {
		t.Errorf("%v %v", basic["view"], full)
	}
}

// TestFieldsOfAQuery: what has to be known of every agent for it.
func TestFieldsOfAQuery(t *testing.T) {
	f := func(q Query, want ...normalize.Field) {
		t.Helper()
		if got := q.Fields(); got != normalize.Fields(want...) {
			t.Errorf("%+v needs %v", q, got.Names())
		}
	}
	f(Query{})
	f(Query{Text: "x"}, normalize.FieldName, normalize.FieldDescription)
	f(Query{Order: Order{By: ByUpdatedAt}}, normalize.FieldUpdatedAt)
	f(Query{Filters: []Filter{{Field: normalize.FieldStatus}, {Field: normalize.FieldLanguage}}}, normalize.FieldStatus, normalize.FieldLanguage)
}

// TestWithDetails: what is searched, filtered and ordered is what was read.
func TestWithDetails(t *testing.T) {
	s := snapshot(t, agent("1", "b", "", ""), agent("2", "c", "", ""), agent("3", "d", "", ""))
	q := Query{Text: "found", Order: Order{By: ByName}}
	if ids, _ := selected(q, s); len(ids) != 0 {
		t.Fatalf("%v", ids)
	}
	detail, err := NewDetail(someInfo, agent("3", "a", "to be found", ""))
	if err != nil {
		t.Fatal(err)
	}
	w := s.With(map[int]*Detail{2: detail, 1: nil})
	if ids, _ := selected(q, w); fmt.Sprint(ids) != "[3]" {
		t.Errorf("found %v", ids)
	}
	if ids, _ := selected(Query{Order: q.Order}, w); fmt.Sprint(ids) != "[3 1 2]" {
		t.Errorf("ordered %v", ids)
	}
	if ids, _ := selected(Query{Order: q.Order}, s); fmt.Sprint(ids) != "[1 2 3]" || w.ID != s.ID {
		t.Errorf("the snapshot itself is now %v", ids)
	}
}

// TestEachUnfilteredFieldIsNamed: whichever agent lacks it.
func TestEachUnfilteredFieldIsNamed(t *testing.T) {
	a, b := agent("1", "", "", "active"), agent("2", "", "", "active")
	inbound, english := "inbound", "en"
	a.Direction, b.Language = &inbound, &english
	a.Unavailable, b.NotLoaded = normalize.Fields(normalize.FieldLanguage), normalize.Fields(normalize.FieldDirection)
	q := Query{Filters: []Filter{{normalize.FieldLanguage, []string{"en"}}, {normalize.FieldDirection, []string{"inbound"}}}}
	if _, unfiltered := selected(q, snapshot(t, a, b)); fmt.Sprint(unfiltered) != "[direction language]" {
		t.Errorf("%v", unfiltered)
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
