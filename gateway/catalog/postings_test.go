package catalog

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/agentgw/agentgw/normalize"
)

// TestPostings_MatchScan holds the invariant of postings: with and without the index a query
// selects the same rows in the same order.
func TestPostings_MatchScan(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.SampledFrom([]string{"", "a", "b", "c"})
		fields := rapid.SampledFrom(FilterFields())
		var agents []*normalize.Agent
		for i := range rapid.IntRange(0, 40).Draw(rt, "agents") {
			a := agent(fmt.Sprintf("%03d", i), value.Draw(rt, "name"), "", value.Draw(rt, "status"))
			language := value.Draw(rt, "language")
			a.Language = &language
			for range rapid.IntRange(0, 2).Draw(rt, "unknown") {
				if f := fields.Draw(rt, "field"); rapid.Bool().Draw(rt, "unavailable") {
					a.Unavailable = a.Unavailable.With(f)
				} else {
					a.NotLoaded = a.NotLoaded.With(f)
				}
			}
			agents = append(agents, a)
		}
		s := snapshot(t, agents...)
		scanned := snapshot(t, agents...)
		scanned.postings = nil
		for range 4 {
			q := Query{Order: rapid.SampledFrom([]Order{{}, {By: ByName}, {By: ByName, Descending: true}}).Draw(rt, "order")}
			for _, f := range rapid.SliceOfNDistinct(fields, 1, 3, rapid.ID).Draw(rt, "filters") {
				q.Filters = append(q.Filters, Filter{f, rapid.SliceOfNDistinct(value, 1, 3, rapid.ID).Draw(rt, "values")})
			}
			if rapid.Bool().Draw(rt, "searched") {
				q.Text = "a"
			}
			part := Part{Snapshot: s}
			if rapid.Bool().Draw(rt, "gone") {
				part.Gone = map[int]bool{3: true}
			}
			want := q.selectRows(Part{Snapshot: scanned, Gone: part.Gone})
			for range 2 { // the index is used from the second time on
				if got := q.selectRows(part); !reflect.DeepEqual(got, want) {
					rt.Fatalf("%+v: %+v, want %+v", q, got, want)
				}
			}
		}
	})
}

// BenchmarkFilter selects a hundred matching agents out of n, with the index and with a scan.
// With the index the time does not grow with n.
//
//	go test -run '^$' -bench Filter ./gateway/catalog
func BenchmarkFilter(b *testing.B) {
	for _, there := range []int{100, 1000, 10_000} {
		var agents []*normalize.Agent
		for i := range there {
			status := "active"
			if i%(there/100) == 0 {
				status = "inactive" // a hundred of them
			}
			agents = append(agents, agent(fmt.Sprintf("%05d", i), fmt.Sprint("n", i%37), "", status))
		}
		for _, order := range []Order{{}, {By: ByName}} {
			q := Query{Filters: []Filter{{normalize.FieldStatus, []string{"inactive"}}}, Order: order}
			for name, indexed := range map[string]bool{"postings": true, "scan": false} {
				s := snapshot(b, agents...)
				if !indexed {
					s.postings = nil
				}
				parts := []Part{{Backend: "b", Snapshot: s}}
				b.Run(fmt.Sprintf("%s/agents=%d/by=%d", name, there, order.By), func(b *testing.B) {
					for b.Loop() {
						if page := Paginate(q, Cursor{}, []string{"b"}, parts, 100); len(page.Rows) != 100 {
							b.Fatal(len(page.Rows))
						}
					}
				})
			}
		}
	}
}
