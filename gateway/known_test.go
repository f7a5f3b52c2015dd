package gateway

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/normalize"
)

// readings reads lists as a backend's endpoint does; the replies are what it is given.
type readings struct {
	info    *adapters.Info
	adapter adapters.Adapter
	replies [][]byte
}

func newReadings(p adapters.Provider) *readings {
	r := &readings{info: p.Info}
	asked := 0
	r.adapter = p.New(adapters.Settings{Backend: "b", Exchange: recognise(func(_ context.Context, req *adapters.Request) error {
		reply := r.replies[min(asked, len(r.replies)-1)]
		asked++
		if asked == len(r.replies) {
			asked = 0
		}
		decode := req.Decode
		return decode(adapters.Response{Status: 200, Header: adapters.Header{{Name: "Content-Type", Value: "application/json"}}, Body: bytes.Clone(reply)})
	})})
	return r
}

func (r *readings) read(previous *Result, replies ...[]byte) (Result, error) {
	r.replies = replies
	var got Result
	err := got.read(withRead(), r.adapter, r.info, Call{Op: adapters.OpList, Credential: adapters.NewCredential(secret.New("c")), Previous: previous})
	return got, err
}

// content is all that a snapshot says.
func content(s *catalog.Snapshot) string {
	var b strings.Builder
	fmt.Fprintln(&b, s.Len(), s.Unavailable, s.NotLoaded, s.Partial, s.Interrupted)
	rows, raw := s.Rows(), s.Raw()
	for i := range s.Len() {
		a := s.Agent(i)
		fmt.Fprintf(&b, "%s\n%s\n%s\n%v %v\n", s.NativeID(i), rows(i), raw(i), s.Sets(i), a.AlternateIDs)
		for _, id := range append(a.AlternateIDs, a.ID) {
			parsed, err := normalize.ParseID(id)
			fmt.Fprintln(&b, id, err, s.Find(parsed.Native))
		}
	}
	for _, f := range catalog.FilterFields() {
		seen := map[string]bool{}
		for i := range s.Len() {
			if v := s.Agent(i).Text(f); v != nil && !seen[*v] {
				seen[*v] = true
				page := catalog.Paginate(catalog.Query{Filters: []catalog.Filter{{Field: f, Values: []string{*v}}}}, catalog.Walk{}, []string{"b"}, []catalog.Part{{Backend: "b", Snapshot: s}}, 1000)
				fmt.Fprintln(&b, f, *v, page.Parts[0].Count)
			}
		}
	}
	return b.String()
}

// damage changes a list's rows, their order, and what is around and in them.
func damage(r *rand.Rand, rows []string, envelope string) []byte {
	rows = append([]string{}, rows...)
	for range r.IntN(4) {
		if len(rows) == 0 {
			break
		}
		i, j := r.IntN(len(rows)), r.IntN(len(rows))
		switch r.IntN(10) {
		case 0, 1, 2:
			rows[i] = strings.Replace(rows[i], `"Agent`, fmt.Sprintf(`"Other %d`, r.IntN(100)), 1)
		case 3:
			rows = append(rows[:i], rows[i+1:]...)
		case 4:
			rows[i], rows[j] = rows[j], rows[i]
		case 5:
			rows = append(rows, rows[i]) // twice
		case 6:
			rows[i] = strings.Replace(rows[i], `{`, `{"more": [`+rows[j]+`, `+rows[j]+`], `, 1)
		case 7:
			rows[i] += " "
		case 8:
			rows[i] = strings.Replace(rows[i], `{`, fmt.Sprintf(`{"text": %q, `, rows[j]), 1)
		case 9:
			if r.IntN(4) == 0 {
				rows[i] = rows[i][:r.IntN(len(rows[i]))] // no JSON
			}
		}
	}
	return fmt.Appendf(nil, envelope, strings.Join(rows, []string{",", ", ", ",\n"}[min(2, r.IntN(8))]))
}

// TestKnownRowsAreAsGoodAsDecoded: whatever becomes of a list, what is made of it with the
// help of the one before is what is made of it alone; so are failures. The race detector has
// nothing to find here, and takes long.
func TestKnownRowsAreAsGoodAsDecoded(t *testing.T) {
	rounds := 100
	if raceDetector {
		rounds = 10
	}
	for _, p := range all.Providers() {
		t.Run(p.Info.Provider, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			r := rand.New(rand.NewPCG(seed, 0))
			t.Logf("seed %d", seed)
			helped := 0
			for round := range rounds {
				var rows []string
				most := 20
				if round%10 == 0 { // large lists are kept compressed
					most = 150
				}
				for i := range 1 + r.IntN(most) {
					rows = append(rows, fmt.Sprintf(vendorAgents[p.Info.Provider], i))
				}
				if r.IntN(3) == 0 {
					r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
				}
				reader := newReadings(p)
				var before *Result
				for range 3 {
					body := damage(r, rows, vendorEnvelopes[p.Info.Provider])
					got, err := reader.read(before, body)
					want, wantErr := newReadings(p).read(nil, body)
					if fmt.Sprint(err) != fmt.Sprint(wantErr) {
						t.Fatalf("%v, alone %v: %s", err, wantErr, body)
					}
					if err != nil {
						continue
					}
					if before != nil && got.Snapshot != before.Snapshot {
						if earlier := before.Snapshot.Earlier(); earlier != nil {
							if _, known, _ := adapters.LeaveOut(body, earlier, 0); known != nil {
								helped++
							}
						}
					}
					if g, w := content(got.Snapshot), content(want.Snapshot); g != w {
						t.Fatalf("with what was before\n%s\nalone\n%s", g, w)
					}
					if !reflect.DeepEqual(got.reply, want.reply) {
						t.Fatal("the reply has another hash")
					}
					before = &got
				}
			}
			if helped < rounds/2 {
				t.Errorf("only %d lists had known rows", helped)
			}
		})
	}
}

// TestKnownRowsAreNotDecoded: of a list in which one agent changed that one is, and no other.
func TestKnownRowsAreNotDecoded(t *testing.T) {
	for _, p := range all.Providers() {
		name := p.Info.Provider
		body := vendorReply(name, 100)
		first, err := newReadings(p).read(nil, body)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Replace(body, []byte(`"Agent`), []byte(`"Other`), 1)
		if bytes.Equal(changed, body) {
			t.Fatalf("%s: nothing to change in %.300s", name, body)
		}
		less, known, place := adapters.LeaveOut(changed, first.Snapshot.Earlier(), 0)
		if known == nil || len(less) > len(body)/4 || place != 100 {
			t.Errorf("%s: %d bytes of %d are left to decode, up to row %d", name, len(less), len(body), place)
		}
	}
}

// TestContestedAlternates: where an alternate id is of two agents, what is kept does not say
// that it is the second one's, too, so nothing of the list is taken over.
func TestContestedAlternates(t *testing.T) {
	var klen adapters.Provider
	for _, p := range all.Providers() {
		if p.Info.Provider == "klen" {
			klen = p
		}
	}
	row := func(id, assistant, name string) string {
		return fmt.Sprintf(`{"id": %s, "assistant_id": %q, "name": %q, "role": "inbound agent", "phone_number": "+15551234567"}`, id, assistant, name)
	}
	list := func(rows ...string) []byte {
		return fmt.Appendf(nil, `{"success": true, "agents": [%s]}`, strings.Join(rows, ","))
	}
	r := newReadings(klen)
	before, err := r.read(nil, list(row("1", "a", "One"), row("2", "a", "Two")))
	if err != nil {
		t.Fatal(err)
	}
	after, err := r.read(&before, list(row("1", "b", "One"), row("2", "a", "Two")))
	if err != nil || after.Snapshot.Find("a") != 1 || after.Snapshot.Find("b") != 0 {
		t.Errorf("%v: a is %d, b is %d", err, after.Snapshot.Find("a"), after.Snapshot.Find("b"))
	}
}

func withRead() context.Context {
	ctx, _ := withReading(context.Background())
	return ctx
}
