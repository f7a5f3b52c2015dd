package normalize

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// TestRevision: agents that mean the same have the same revision, however they are written; usage and
// timestamps are not in it, and all else is.
func TestRevision(t *testing.T) {
	text := func(s string) *string { return &s }
	number := func(s string) *Number { n := Number(s); return &n }
	agent := func(change func(*Agent)) string {
		t.Helper()
		a := Agent{
			ID: "klen:1", Object: "agent", Backend: "klen", Provider: "klen", NativeID: "1", Name: text("A"),
			Model: Model{Temperature: number("0.7")}, Usage: Usage{Calls: number("1")}, CreatedAt: text("2026-01-01T00:00:00Z"),
			Extensions: jsontext.Value(`{"a":{"b":1.50,"c":[1,2]},"d":12345678901234567890,"e":"é"}`),
		}
		change(&a)
		before := string(a.Extensions)
		revision, err := a.Revision()
		if err != nil || string(a.Extensions) != before {
			t.Fatalf("%v, or the agent is changed", err)
		}
		return revision
	}
	plain := agent(func(*Agent) {})
	for name, change := range map[string]func(*Agent){
		"members in another order": func(a *Agent) {
			a.Extensions = jsontext.Value(` {"e": "\u00e9", "d": 12345678901234567890, "a": {"c": [1, 2], "b": 1.5}}`)
		},
		"a number otherwise": func(a *Agent) { a.Model.Temperature = number("7.0e-1") },
		"usage":              func(a *Agent) { a.Usage = Usage{Calls: number("2"), LastUsedAt: text("2026-02-01T00:00:00Z")} },
		"timestamps":         func(a *Agent) { a.CreatedAt, a.UpdatedAt = nil, text("2026-02-01T00:00:00Z") },
		"the provider's own": func(a *Agent) { a.RawDetail = jsontext.Value(`{}`) },
	} {
		if agent(change) != plain {
			t.Errorf("%s: another revision", name)
		}
	}
	seen := map[string]string{plain: "unchanged"}
	for name, change := range map[string]func(*Agent){
		"name":           func(a *Agent) { a.Name = text("B") },
		"no name":        func(a *Agent) { a.Name = nil },
		"temperature":    func(a *Agent) { a.Model.Temperature = number("0.71") },
		"no temperature": func(a *Agent) { a.Model.Temperature = nil },
		"extension": func(a *Agent) {
			a.Extensions = jsontext.Value(`{"a":{"b":1.5,"c":[2,1]},"d":12345678901234567890,"e":"é"}`)
		},
		"a large integer": func(a *Agent) {
			a.Extensions = jsontext.Value(`{"a":{"b":1.5,"c":[1,2]},"d":12345678901234567891,"e":"é"}`)
		},
		"no extensions":    func(a *Agent) { a.Extensions = nil },
		"an agent's other": func(a *Agent) { a.ID, a.NativeID = "klen:2", "2" },
	} {
		revision := agent(change)
		if other, twice := seen[revision]; twice {
			t.Errorf("%s and %s have the same revision", name, other)
		}
		seen[revision] = name
	}
}
