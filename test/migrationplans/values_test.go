package migrationplans

import (
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/normalize"
)

// leaves are the values of a JSON text that hold no others, by their pointers.
func leaves(t *testing.T, v jsontext.Value) map[string]jsontext.Value {
	t.Helper()
	found := map[string]jsontext.Value{}
	var walk func(pointer string, v jsontext.Value)
	walk = func(pointer string, v jsontext.Value) {
		switch v.Kind() {
		case '{':
			members := map[string]jsontext.Value{}
			if err := json.Unmarshal(v, &members); err != nil {
				t.Fatal(err)
			}
			for name, value := range members {
				walk(pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), value)
			}
			if len(members) > 0 {
				return
			}
		case '[':
			var items []jsontext.Value
			if err := json.Unmarshal(v, &items); err != nil {
				t.Fatal(err)
			}
			for i, value := range items {
				walk(pointer+"/"+strconv.Itoa(i), value)
			}
			if len(items) > 0 {
				return
			}
		}
		found[pointer] = v
	}
	walk("", v)
	return found
}

// with is a JSON text with another value at a pointer.
func with(t *testing.T, v jsontext.Value, pointer string, to jsontext.Value) jsontext.Value {
	t.Helper()
	if pointer == "" {
		return to
	}
	name, rest, deeper := strings.Cut(pointer[1:], "/")
	if deeper {
		rest = "/" + rest
	}
	name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	var out any
	if v.Kind() == '[' {
		var items []jsontext.Value
		if err := json.Unmarshal(v, &items); err != nil {
			t.Fatal(err)
		}
		i, err := strconv.Atoi(name)
		if err != nil {
			t.Fatal(err)
		}
		items[i] = with(t, items[i], rest, to)
		out = items
	} else {
		members := map[string]jsontext.Value{}
		if err := json.Unmarshal(v, &members); err != nil {
			t.Fatal(err)
		}
		members[name] = with(t, members[name], rest, to)
		out = members
	}
	encoded, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// others are values that differ from one, the likeliest first.
func others(v jsontext.Value) []jsontext.Value {
	switch v.Kind() {
	case '"':
		if strings.Contains(string(v), ":") && strings.Contains(string(v), "-") { // a time stays one
			return []jsontext.Value{jsontext.Value(`"2031-01-01T00:00:00Z"`), jsontext.Value(`"other"`)}
		}
		return []jsontext.Value{jsontext.Value(strings.TrimSuffix(string(v), `"`) + `7"`), jsontext.Value(`"2031-01-01T00:00:00Z"`)}
	case '0':
		return []jsontext.Value{jsontext.Value("77771")}
	case 't':
		return []jsontext.Value{jsontext.Value("false")}
	case 'f':
		return []jsontext.Value{jsontext.Value("true")}
	}
	var values []jsontext.Value
	for _, text := range []string{`"other"`, `77771`, `true`, `["other"]`, `[77771]`, `{"other": 1}`, `"2031-01-01T00:00:00Z"`} {
		values = append(values, jsontext.Value(text))
	}
	return values
}

// derived are pointers that the gateway makes of what other pointers say.
var derived = []string{"/id", "/object", "/backend", "/provider", "/modality", "/view", "/unavailable", "/not_loaded"}

// encoded is the agent's own values, by their pointers.
func encoded(t *testing.T, a *normalize.Agent) map[string]jsontext.Value {
	t.Helper()
	text, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	values := leaves(t, text)
	for pointer := range values {
		for _, d := range derived {
			if pointer == d || strings.HasPrefix(pointer, d+"/") {
				delete(values, pointer)
			}
		}
	}
	return values
}

// changed are the pointers at which two agents differ.
func changed(t *testing.T, a, b *normalize.Agent) (pointers []string) {
	t.Helper()
	before, after := encoded(t, a), encoded(t, b)
	for pointer, value := range after {
		if was, ok := before[pointer]; !ok || string(was) != string(value) {
			pointers = append(pointers, pointer)
		}
	}
	for pointer := range before {
		if _, ok := after[pointer]; !ok {
			pointers = append(pointers, pointer)
		}
	}
	return pointers
}
