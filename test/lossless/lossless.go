// Package lossless tests that an adapter loses nothing: every value of a provider's payload must
// be in exactly one place of the decoded agent. An adapter's test names the fields that its
// provider's members map to; all other members belong in extensions.
//
// It knows no provider.
package lossless

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/config/secret"
	"github.com/agentgw/agentgw/normalize"
)

// Place is the field of the normalized agent that a provider's value maps to.
type Place struct {
	Core string // JSON pointer into the agent
	// As converts the value. If it is nil, the value is kept.
	As func(jsontext.Value) jsontext.Value
}

// Mapping has the places of a provider's values by JSON pointers into the provider's agent. A
// pointer to an array or object covers everything in it.
type Mapping map[string]Place

// At returns the place of a value that is kept.
func At(core string) Place { return Place{Core: core} }

// Quoted returns the place of an integer that becomes a string.
func Quoted(core string) Place {
	return Place{Core: core, As: func(v jsontext.Value) jsontext.Value {
		if v.Kind() == 'n' {
			return v
		}
		return jsontext.Value(strconv.Quote(string(v)))
	}}
}

// Words returns the place of a text that is replaced by another. A text that is not listed is
// kept.
func Words(core string, words map[string]string) Place {
	return Place{Core: core, As: func(v jsontext.Value) jsontext.Value {
		if w, ok := words[string(v)]; ok {
			return jsontext.Value(w)
		}
		return v
	}}
}

// Check reports each value of the payload that is not in exactly one of the agent's core and
// its extensions.
func Check(t *testing.T, payload jsontext.Value, agent *normalize.Agent, mapping Mapping) {
	t.Helper()
	encoded, err := agent.Encode()
	if err != nil {
		t.Fatalf("the agent cannot be encoded: %v", err)
	}
	core := Leaves(encoded)
	extensions := Leaves(agent.Value(normalize.FieldExtensions))
	accounted := 0
	for pointer, value := range Leaves(payload) {
		var places []string
		if place, rest, ok := mapping.find(pointer); ok {
			want := value
			if place.As != nil {
				want = place.As(value)
			}
			if got, ok := core[place.Core+rest]; !ok || !Same(got, want) {
				t.Errorf("%s = %s: core has %s = %s, want %s", pointer, value, place.Core+rest, got, want)
			}
			places = append(places, "core")
		}
		if got, ok := extensions[pointer]; ok {
			if string(got) != string(value) {
				t.Errorf("%s = %s: extensions have %s, not the same bytes", pointer, value, got)
			}
			places = append(places, "extensions")
			accounted++
		}
		if len(places) != 1 {
			t.Errorf("%s = %s is in %d places: %v", pointer, value, len(places), places)
		}
	}
	if accounted != len(extensions) && !emptyObject(agent.Extensions) {
		t.Errorf("extensions hold %d values, %d of them from the payload: %s", len(extensions), accounted, agent.Extensions)
	}
}

func emptyObject(v jsontext.Value) bool { return len(normalize.Members(v)) == 0 }

// find returns the place of the longest pointer in the mapping that covers a value, and the rest
// of the pointer.
func (m Mapping) find(pointer string) (place Place, rest string, ok bool) {
	for at := pointer; at != ""; at = at[:strings.LastIndexByte(at, '/')] {
		if place, ok := m[at]; ok {
			return place, pointer[len(at):], true
		}
	}
	return Place{}, "", false
}

// Same reports whether two values are equal: numbers by their literals, strings by their
// characters.
func Same(a, b jsontext.Value) bool {
	if a.Kind() == '"' && b.Kind() == '"' {
		x, _ := jsontext.AppendUnquote(nil, a)
		y, _ := jsontext.AppendUnquote(nil, b)
		return string(x) == string(y)
	}
	return string(a) == string(b)
}

// Leaves returns every scalar and every empty array or object of a JSON text by its JSON
// pointer.
func Leaves(v jsontext.Value) map[string]jsontext.Value {
	leaves := map[string]jsontext.Value{}
	collect("", v, leaves)
	return leaves
}

func collect(pointer string, v jsontext.Value, leaves map[string]jsontext.Value) {
	before := len(leaves)
	switch v.Kind() {
	case '{':
		for name, member := range normalize.Members(v) {
			collect(pointer+"/"+strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1"), member, leaves)
		}
	case '[':
		var items []jsontext.Value
		if err := json.Unmarshal(v, &items); err != nil {
			panic(err)
		}
		for i, item := range items {
			collect(fmt.Sprintf("%s/%d", pointer, i), item, leaves)
		}
	}
	if len(leaves) == before {
		leaves[pointer] = v
	}
}

// Answering returns an adapter whose provider sends the same response to every request.
func Answering(p adapters.Provider, status int, body []byte) adapters.Adapter {
	return p.New(adapters.Settings{Backend: "b", RoundTrip: func(_ context.Context, req *adapters.Request) error {
		return req.Receive(adapters.Response{Status: status, Body: append([]byte(nil), body...)})
	}})
}

// List decodes the body of a list.
func List(t testing.TB, p adapters.Provider, body []byte) []*normalize.Agent {
	t.Helper()
	listing, err := Answering(p, 200, body).List(context.Background(), Credential())
	if err != nil {
		t.Fatal(err)
	}
	return listing.Agents
}

// Get decodes the body of a get.
func Get(t testing.TB, p adapters.Provider, body []byte) *normalize.Agent {
	t.Helper()
	agent, err := Answering(p, 200, body).Get(context.Background(), Credential(), "1")
	if err != nil {
		t.Fatal(err)
	}
	return agent
}

// Created decodes the body of the response to a create.
func Created(t testing.TB, p adapters.Provider, body []byte) *normalize.Agent {
	t.Helper()
	agent, err := Answering(p, 201, body).Create(context.Background(), Credential(), normalize.Change{})
	if err != nil {
		t.Fatal(err)
	}
	return agent
}

// Recording is like Answering, and records the last request.
func Recording(p adapters.Provider, status int, body []byte) (adapters.Adapter, *adapters.Request) {
	last := &adapters.Request{}
	return p.New(adapters.Settings{Backend: "b", RoundTrip: func(_ context.Context, req *adapters.Request) error {
		*last = *req
		return req.Receive(adapters.Response{Status: status, Body: append([]byte(nil), body...)})
	}}), last
}

// Credential returns some credential.
func Credential() adapters.Credential { return adapters.NewCredential(secret.New("credential")) }

// File reads a file of testdata.
func File(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// EveryFile tests that a table names every file of testdata and how it is used.
func EveryFile(t *testing.T, used map[string]string) {
	t.Helper()
	seen := map[string]bool{}
	err := fs.WalkDir(os.DirFS("testdata"), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(path, "fuzz/") {
			return err
		}
		if used[path] == "" {
			t.Errorf("the sample %s is not accounted for", path)
		}
		seen[path] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path := range used {
		if !seen[path] {
			t.Errorf("there is no sample %s", path)
		}
	}
}

// Uses of a sample.
const (
	Agents   = "its agents are decoded, by Check"
	Envelope = "an envelope without an agent"
	Request  = "what is sent, by TestRequests"
	NotOurs  = "another endpoint's, or a request of the description that writes do not follow"
)

// Part returns the value at a JSON pointer.
func Part(t testing.TB, data []byte, pointer string) jsontext.Value {
	t.Helper()
	v := jsontext.Value(data)
	for _, name := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		if name == "" {
			continue
		}
		if v.Kind() == '[' {
			var items []jsontext.Value
			if err := json.Unmarshal(v, &items); err != nil {
				t.Fatal(err)
			}
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(items) {
				t.Fatalf("there is no %s", pointer)
			}
			v = items[i]
			continue
		}
		v = normalize.Members(v)[name]
	}
	if v == nil {
		t.Fatalf("there is no %s", pointer)
	}
	return v
}

// Wrap replaces the text AGENT in the envelope of a response by an agent.
func Wrap(envelope string, agent jsontext.Value) []byte {
	return []byte(strings.Replace(envelope, "AGENT", string(agent), 1))
}

// Additions are members that no provider documents. A provider may add such members, and a
// careless decoder loses parts of them.
var Additions = map[string]string{
	"integer above 2^53": `{"big": 9007199254740993, "bigger": 123456789012345678901234567890}`,
	"decimals":           `{"price": 345.50, "tiny": 1e-7, "large": 1.0E+2, "zero": -0}`,
	"deep":               `{"a": {"b": [{"c": {"d": [[], {}, [null, true, "x"]]}}]}}`,
	"odd key case":       `{"ID": 1, "Name": "other", "NAME": 2, "Agent_Id": 3, "systemprompt": "s", "SYSTEM_PROMPT": null}`,
	"odd keys":           `{"": 0, "a/b": 1, "~": 2, "a b": 3, "\u00e9": 4, "quote\"": 5, "\u2028": 6}`,
	"nulls and empties":  `{"n": null, "e": "", "o": {}, "l": []}`,
	"strings":            `{"s": "\u00e9\ud83d\ude00 \\ \" \u0000", "html": "<a href='x'>&</a>"}`,
}

// With returns an agent with members added.
func With(t testing.TB, agent jsontext.Value, members string) jsontext.Value {
	t.Helper()
	out := agent.Clone()
	for name, value := range normalize.Members(jsontext.Value(members)) {
		out = normalize.AppendMember(out, name, value)
	}
	if !out.IsValid() {
		t.Fatalf("not valid: %s", out)
	}
	return out
}

// Replace returns an agent with another value of a member.
func Replace(t testing.TB, agent jsontext.Value, name, value string) jsontext.Value {
	t.Helper()
	members := normalize.Members(agent)
	if members[name] == nil {
		t.Fatalf("there is no member %q", name)
	}
	members[name] = jsontext.Value(value)
	out, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return out
}
