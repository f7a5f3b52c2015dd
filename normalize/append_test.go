package normalize

import (
	"reflect"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// written is an agent as its row has it, for encoding by reflection.
type written struct {
	*Agent `json:",embed"`
	View   *View `json:"view,omitzero"` // takes the place of the agent's own
}

// draw fills every member that a row has, with what cannot be written among it if it is bad.
func draw(t *rapid.T, v reflect.Value, bad bool) {
	texts := []string{"", "plain", "<a>&\u2028\"\\\n\x00\x7f"}
	values := []jsontext.Value{nil, jsontext.Value("{}"), jsontext.Value(` { "a" : [ 1.0 , "\\u00e9 " ] , "b" : { } } `)}
	numbers := []string{"0", "-1.50", "1e400", "12345678901234567890"}
	if bad {
		texts = append(texts, "\xff")
		values = append(values, jsontext.Value{}, jsontext.Value(`{"a":1,"a":2}`), jsontext.Value("{\"a\":\"\xff\"}"), jsontext.Value("["))
		numbers = append(numbers, "x", "")
	}
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom(texts))
	switch v.Interface().(type) {
	case jsontext.Value:
		v.Set(reflect.ValueOf(rapid.SampledFrom(values).Draw(t, "value")))
		return
	case Number:
		v.SetString(rapid.SampledFrom(numbers).Draw(t, "number"))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text.Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "there") {
			v.Set(reflect.New(v.Type().Elem()))
			draw(t, v.Elem(), bad)
		}
	case reflect.Slice:
		if rapid.Bool().Draw(t, "there") {
			v.Set(reflect.MakeSlice(v.Type(), rapid.IntRange(0, 3).Draw(t, "length"), 3))
			for i := range v.Len() {
				draw(t, v.Index(i), bad)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("json") != "-" {
				draw(t, v.Field(i), bad)
			}
		}
	default:
		t.Fatalf("an agent has a %s", v.Type())
	}
}

// TestAppendRow: it is what encoding by reflection gives, to the byte, and fails where that
// does.
func TestAppendRow(t *testing.T) {
	good := 0
	rapid.Check(t, func(t *rapid.T) {
		a := &Agent{}
		draw(t, reflect.ValueOf(a).Elem(), rapid.IntRange(0, 3).Draw(t, "bad") == 0)
		by := written{Agent: a}
		if a.Extensions == nil {
			shallow := *a
			shallow.Extensions = jsontext.Value("{}")
			by.Agent = &shallow
		}
		want, failure := json.Marshal(by, encodeOptions)
		got, err := a.AppendRow([]byte("before"))
		if (err == nil) != (failure == nil) {
			t.Fatalf("%v, by reflection %v", err, failure)
		}
		if err == nil {
			good++
			if string(got) != "before"+string(want) {
				t.Fatalf("%s\nwant %s", got, want)
			}
		}
	})
	if good < 5 {
		t.Errorf("only %d agents were encoded", good)
	}
}
