package wire

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// sample has members of several types; the other members are Rest.
type sample struct {
	ID   *IntegerOrText `json:"id"`
	Name *string        `json:"name"`
	A    *string        `json:"a"`
	B    *string        `json:"b"`
	Rest jsontext.Value `json:",embed"`
}

func build(t *testing.T, data string) *normalize.Agent {
	t.Helper()
	w, payload, err := ReadPayload[sample]("/0", jsontext.Value(data))
	if err != nil {
		t.Fatal(err)
	}
	id, err := payload.ID("id", w.ID, TextID)
	if err != nil {
		t.Fatal(err)
	}
	b := NewBuilder(normalize.New("p", "b", id, normalize.ViewBasic), payload, w.Rest)
	b.Name = w.Name
	return b.Build(0, 0)
}

func TestReadPayload(t *testing.T) {
	for data, want := range map[string]string{
		`{"id":"1","name":7}`:                                  `{"name":7} /0/name unexpected_type`,
		`{"id":1,"name":"n"}`:                                  ` /0/id unexpected_type`,
		`{"id":"1","x":1,"x":2}`:                               `{"x":2} /0/x duplicate_member`,
		`{"id":"1","x":{"y":1,"y":[{"z":1,"z":2}]}}`:           `{"x":{"y":[{"z":2}]}} /0/x/y duplicate_member /0/x/y/z duplicate_member`,
		`{"id":"1","x":"a` + "\xff" + `"}`:                     `{"x":"a\ufffd"} /0/x unexpected_type`,
		`{"id":"1","x":["\ud800"]}`:                            `{"x":["\ufffd"]} /0/x unexpected_type`,
		`{"id":"1","name":["\ud800"],"a":1,"b":{"q":1,"q":1}}`: `{"a":1,"b":{"q":1},"name":["\ufffd"]} /0/name unexpected_type /0/b/q duplicate_member /0/name unexpected_type /0/a unexpected_type /0/b unexpected_type`,
		`{"id":"1","x":[],"y":{}}`:                             `{"x":[],"y":{}}`,
	} {
		agent := build(t, data)
		got := string(agent.Extensions)
		for _, w := range agent.Warnings {
			got += fmt.Sprintf(" %s %s", w.Pointer, w.Code)
		}
		want = strings.ReplaceAll(want, `\ufffd`, "\ufffd")
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", data, got, want)
		}
	}
	for _, data := range []string{`null`, `7`, `[]`, `"x"`, strings.Repeat(`{"a":`, adapters.MaxDepth+1) + `1` + strings.Repeat(`}`, adapters.MaxDepth+1)} {
		if _, _, err := ReadPayload[sample]("/0", jsontext.Value(data)); err == nil {
			t.Errorf("%.40s: no error", data)
		}
	}
}

// TestReadPayload_IsLinear: the memory that odd values, duplicates and deep values take grows with
// the size of the payload, not with its square.
func TestReadPayload_IsLinear(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":%[1]d`, i)
		}
		return b.String()
	}
	for name, payload := range map[string]func(n int) string{
		"an odd value": func(n int) string { return `{"id":"1","name":7,"a":1,"b":2` + many(n) + `}` },
		"a duplicate":  func(n int) string { return `{"id":"1","x":1,"x":2` + many(n) + `}` },
		"no Unicode":   func(n int) string { return `{"id":"1","name":"\ud800"` + many(n) + `}` },
		"a deep value": func(n int) string {
			return `{"id":"1","x":1,"x":` + strings.Repeat("[", 90) + strings.Repeat(`"yyyyyyy",`, n) + `1` + strings.Repeat("]", 90) + `}`
		},
		"many the same": func(n int) string { return `{"id":"1"` + strings.Repeat(`,"x":1`, n) + `}` },
	} {
		allocated := func(n int) uint64 {
			data := payload(n)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			build(t, data)
			runtime.ReadMemStats(&after)
			return after.TotalAlloc - before.TotalAlloc
		}
		small, large := allocated(2_000), allocated(16_000)
		if large > 16*small { // eight times as much; the square would be 64 times
			t.Errorf("%s: %d KiB for 2,000 members, %d KiB for 16,000", name, small>>10, large>>10)
		}
	}
}
