package catalog

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// agent returns an agent of backend b; empty values are null.
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

func snapshot(t testing.TB, agents ...*normalize.Agent) *Snapshot {
	t.Helper()
	s, err := NewSnapshot(someInfo, adapters.Listing{Agents: agents})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSnapshot_SortAndFind(t *testing.T) {
	second := agent("2", "two", "", "")
	second.AlternateIDs = []string{"b:10", "b:assistant"}
	s := snapshot(t, agent("10", "ten", "", ""), second, agent("9", "nine", "", ""), agent("2", "another two", "", ""))
	var names []string
	for i := range s.Len() {
		a := s.Agent(i)
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
		t.Errorf("an empty snapshot finds it at %d", got)
	}
}

// selected returns the native ids that a query selects, and the unfiltered fields.
func selected(q Query, s *Snapshot) (ids []string, unfiltered []string) {
	ids = []string{}
	found := q.selectRows(Part{Snapshot: s})
	for i := range found.len(s) {
		ids = append(ids, s.NativeID(found.at(i)))
	}
	return ids, found.unfiltered.Names()
}

func TestQuery_Filters(t *testing.T) {
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
	f(is(normalize.FieldDirection, "inbound"), "", "") // known to be null for all agents
	f(Query{Text: "STRASSE"}, "1", "description")
	f(Query{Text: "hilf"}, "1", "description")
	f(Query{Text: "five"}, "5", "") // matches without the field that is not loaded
	f(Query{Text: "b:4"}, "4", "description")
	f(Query{Text: "1hilft"}, "", "description") // spans two fields
	f(Query{Text: "hilft\x00b"}, "1", "description")
	// A field is unfiltered only if nothing else excludes the agent: 4 may be active, 5 is not.
	f(Query{Filters: []Filter{{normalize.FieldStatus, []string{"active"}}}, Text: "o"}, "", "status")
	f(Query{Filters: []Filter{{normalize.FieldStatus, []string{"active"}}}, Text: "two"}, "", "")
	f(Query{Filters: []Filter{{normalize.FieldLanguage, []string{"en"}}}, Text: "ive"}, "", "language")
	f(Query{Order: Order{By: ByName, Descending: true}}, "2 4 5 1 3", "")
	f(Query{Filters: []Filter{{normalize.FieldStatus, []string{"active", "inactive"}}}, Order: Order{By: ByName}}, "1 2", "status")
}

func TestQuery_Orders(t *testing.T) {
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
			t.Fatalf("%q is not an order", text)
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

func TestDetail_ETagAndJoin(t *testing.T) {
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

	encoded, err := same.Agent.Encode()
	if err != nil || string(same.Body().Plain()) != string(encoded) {
		t.Errorf("the body is %s", same.Body().Plain())
	}
	row := agent("1", "n", "d", "active")
	row.Avatar = &normalize.Avatar{Name: &now}
	s := snapshot(t, row)
	joined, err := same.Join(someInfo, s.At(0))
	if err != nil || joined.Agent.Avatar == nil {
		t.Fatal(err)
	}
	if again, _ := same.Join(someInfo, s.At(0)); again != joined {
		t.Error("the same join was computed twice")
	}
	if other, _ := same.Join(someInfo, snapshot(t, row).At(0)); other == joined {
		t.Error("joins with two lists are the same")
	}
	if alone, _ := same.Join(someInfo, RowRef{}); alone != same {
		t.Error("a join without a row returns another detail")
	}
}

// TestSnapshot_RowsInBothViews: one row is the beginning of the agent in both views.
func TestSnapshot_RowsInBothViews(t *testing.T) {
	s := snapshot(t, agent("1", "n", "", "active"))
	if s.Full(0).Agent.View != normalize.ViewFull || s.Agent(0).View != normalize.ViewBasic {
		t.Error("the full view changed the row")
	}
	var basic, full map[string]any
	if err := json.Unmarshal(normalize.Row(s.Rows()(0)).Append(nil, normalize.NewEnding(normalize.ViewBasic)), &basic); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(s.Full(0).Body().Plain(), &full); err != nil {
		t.Fatal(err)
	}
	if basic["view"] != "basic" || full["view"] != "full" || full["unavailable"] == nil || basic["unavailable"] != nil {
		t.Errorf("%v %v", basic["view"], full)
	}
}

func TestQuery_Fields(t *testing.T) {
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

// TestSnapshot_WithDetails: searches, filters and orders use the details.
func TestSnapshot_WithDetails(t *testing.T) {
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
		t.Errorf("the original snapshot has changed: %v", ids)
	}
}

// TestQuery_UnfilteredFieldsOfSeveralAgents: the unfiltered fields of all agents are named.
func TestQuery_UnfilteredFieldsOfSeveralAgents(t *testing.T) {
	a, b := agent("1", "", "", "active"), agent("2", "", "", "active")
	inbound, english := "inbound", "en"
	a.Direction, b.Language = &inbound, &english
	a.Unavailable, b.NotLoaded = normalize.Fields(normalize.FieldLanguage), normalize.Fields(normalize.FieldDirection)
	q := Query{Filters: []Filter{{normalize.FieldLanguage, []string{"en"}}, {normalize.FieldDirection, []string{"inbound"}}}}
	if _, unfiltered := selected(q, snapshot(t, a, b)); fmt.Sprint(unfiltered) != "[direction language]" {
		t.Errorf("%v", unfiltered)
	}
}
