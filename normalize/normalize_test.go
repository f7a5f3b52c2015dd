package normalize

import (
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

func TestID_RoundTrip(t *testing.T) {
	f := func(backend, native, want string) {
		t.Helper()
		id := ID{backend, native}
		if got := id.String(); got != want {
			t.Errorf("%+v is %q, want %q", id, got, want)
		}
		if parsed, err := ParseID(want); err != nil || parsed != id {
			t.Errorf("%q is %+v, %v", want, parsed, err)
		}
		if parsed, err := ParseID(strings.Replace(want, ":", "%3A", 1)); err != nil || parsed != id {
			t.Errorf("%q with %%3A is %+v, %v", want, parsed, err)
		}
	}
	f("klen", "123", "klen:123")
	f("klen-eu", "assistant_abc.1-2", "klen-eu:assistant_abc.1-2")
	f("k", "a/b", "k:~YS9i")
	f("k", "a:b", "k:~YTpi")
	f("k", "~x", "k:~fng")
	f("k", "ä", "k:~w6Q")
	f("k", "..", "k:..")
	f("k", strings.Repeat("x", 128), "k:"+strings.Repeat("x", 128))
	f("k", strings.Repeat("x", 129), "k:~"+strings.Repeat("eHh4", 43))
}

func TestParseID_Invalid(t *testing.T) {
	for _, s := range []string{
		"", "klen", "klen:", ":123", "Klen:123", "9k:1", "klen:a/b", "klen:~", "klen:~YS9i=", "klen:~!!", "klen:~MTIz", // 123 has a plain spelling
		"klen:%", "klen%253A123", "klen:1%2F2", "klen:a b", strings.Repeat("k", 33) + ":1", "klen:~YR", // trailing bits
	} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("%q is taken for %+v", s, id)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("klen:123")
	f.Add("k:~YS9i")
	f.Add("klen%3Aassistant_abc")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			return
		}
		if again, err := ParseID(id.String()); err != nil || again != id {
			t.Fatalf("%q is %+v, whose text is %+v, %v", s, id, again, err)
		}
	})
}

func TestCompare(t *testing.T) {
	for _, ordered := range [][2]string{{"9", "10"}, {"123", "789"}, {"a", "b"}, {"", "a"}, {"zz", "aaa"}} {
		if Compare(ordered[0], ordered[1]) >= 0 || Compare(ordered[1], ordered[0]) <= 0 || Compare(ordered[0], ordered[0]) != 0 {
			t.Errorf("%q does not stand before %q", ordered[0], ordered[1])
		}
	}
}

func TestFieldNames(t *testing.T) {
	f := func(s FieldSet, want string) {
		t.Helper()
		if got := strings.Join(s.Names(), " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(0, "")
	f(Fields(FieldName), "name")
	f(Fields(FieldModelID), "model.id")
	f(Fields(FieldModelID, FieldModelTemperature), "model")
	f(Fields(FieldVoiceID), "voice")
	f(Fields(FieldUsageCalls, FieldName, FieldUsageMinutes), "name usage.calls usage.minutes")
	for _, field := range AllFields() {
		if got, ok := FieldByName(field.Name()); !ok || got != field {
			t.Errorf("%s is not found by its name", field)
		}
		if field.Name() == "" || !strings.HasPrefix(field.Pointer(), "/") {
			t.Errorf("field %d has no name", field)
		}
	}
}

// TestEncode_EveryFieldIsPresent compares the JSON with the field table.
func TestEncode_EveryFieldIsPresent(t *testing.T) {
	a := New("klen", "klen", "1", ViewFull)
	a.Avatar = &Avatar{}
	encoded, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for name, value := range Members(encoded) {
		written[name] = true
		for leaf := range Members(value) {
			written[name+"."+leaf] = true
		}
	}
	for _, f := range AllFields() {
		if !written[f.Name()] {
			t.Errorf("%s is not written", f)
		}
		if f.Name() != "extensions" && a.Value(f) == nil {
			t.Errorf("%s has no value", f)
		}
	}
	const want = `{"id":"klen:1","object":"agent","backend":"klen","provider":"klen","native_id":"1","alternate_ids":[],"name":null,"description":null,"status":null,"modality":null,"architecture":null,"direction":null,"visibility":null,"language":null,"system_prompt":null,"greeting":null,"model":{"id":null,"temperature":null},"voice":{"id":null},"stt":{"provider":null},"tts":{"provider":null},"realtime":{"provider":null},"avatar":{"id":null,"name":null,"url":null,"voice_id":null},"phone":{"number":null,"can_call":null},"knowledge_base_ids":null,"tools":{"builtin":null,"custom":null},"owner":{"user_id":null,"team_id":null},"usage":{"sessions":null,"calls":null,"minutes":null,"avg_duration_s":null,"last_used_at":null},"created_at":null,"updated_at":null,"extensions":{},"view":"full","unavailable":[],"not_loaded":[]}`
	if string(encoded) != want {
		t.Errorf("got  %s\nwant %s", encoded, want)
	}
}

func TestParseBody(t *testing.T) {
	body, violations, err := ParseBody([]byte(` {"id": "x:1", "object": 7, "backend": "krosai", "name": "n", "usage": {"calls": "many"}, "view": "full", "unavailable": [],
		"model": {"id": null, "temperature": 0.50}, "voice": null, "knowledge_base_ids": [], "extensions": {"a/b": {"C": 1.0}, "n": null}, "modality": "text"}`))
	if err != nil || violations != nil {
		t.Fatal(err, violations)
	}
	if body.Backend != "krosai" || len(body.Set) != 5 || string(body.Set[FieldModelTemperature]) != "0.50" || string(body.Set[FieldVoiceID]) != "null" {
		t.Errorf("%+v", body)
	}
	if string(body.Extensions["a/b"]) != `{"C": 1.0}` || string(body.Extensions["n"]) != "null" {
		t.Errorf("%+v", body.Extensions)
	}
	if text, ok := body.Text(FieldName); text != "n" || !ok {
		t.Errorf("name = %q", text)
	}
}

func TestParseBody_Violations(t *testing.T) {
	f := func(body string, want ...Violation) {
		t.Helper()
		_, got, err := ParseBody([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			return
		}
		if len(got) != len(want) {
			t.Errorf("%s: %+v", body, got)
			return
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s:\ngot  %+v\nwant %+v", body, got[i], want[i])
			}
		}
	}
	f(`{}`)
	f(`{"name": 7}`, Violation{Pointer: "/name", Code: WrongType, Message: "want a string, got a number"})
	f(`{"nmae": "x"}`, Violation{Pointer: "/nmae", Code: UnknownField, Message: `no such field; did you mean "name"?`})
	f(`{"model": {"temprature": 1}}`, Violation{Pointer: "/model/temprature", Code: UnknownField, Message: `no such field; did you mean "temperature"?`})
	f(`{"model.id": "x"}`, Violation{Pointer: "/model.id", Code: UnknownField, Message: `no such field; nest it: {"model": {"id": …}}`})
	f(`{"model": "gpt"}`, Violation{Pointer: "/model", Code: WrongType, Message: "want an object, got a string"})
	f(`{"tools": {"builtin": ["a", 1]}}`, Violation{Pointer: "/tools/builtin", Code: WrongType, Message: "want an array of strings, got an array"})
	f(`{"phone": {"can_call": "yes"}}`, Violation{Pointer: "/phone/can_call", Code: WrongType, Message: "want true or false, got a string"})
	f(`{"extensions": []}`, Violation{Pointer: "/extensions", Code: WrongType, Message: "want an object, got an array"})
	f(`{"backend": ""}`, Violation{Pointer: "/backend", Code: InvalidValue, Message: "must not be empty; leave it out instead"})
	f(`{"backend": 1}`, Violation{Pointer: "/backend", Code: WrongType, Message: "want a string, got a number"})
	f(`{"a/b~c": 1, "name": {}}`,
		Violation{Pointer: "/a~1b~0c", Code: UnknownField, Message: `no such field; the provider's own fields go into "extensions"`}, Violation{Pointer: "/name", Code: WrongType, Message: "want a string, got an object"})
}

func TestParseBody_Invalid(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		if _, _, err := ParseBody([]byte(body)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
	f("", "the body is empty; send one JSON object")
	f("[]", "the body is not a JSON object")
	f("{", "the body is not valid JSON at line 1, column 2")
	f(`{"a": }`, "the body is not valid JSON at line 1, column 7")
	f(`{"a": 1} x`, "the body goes on after the JSON value at line 1, column 9")
	f("{\n  \"a\": 1,\n  \"b\": }", "the body is not valid JSON at line 3, column 8")
	f(`{"a": 1}{}`, "the body goes on after the JSON value at line 1, column 9")
	f(`{"name": "a", "name": "b"}`, "the body has the field /name twice")
	f(`{"model": {}, "name": "a", "model": {}}`, "the body has the field /model twice")
	f("{\"name\": \"\xff\"}", "the body is not valid JSON at line 1, column 11")
	f(`{"extensions": `+strings.Repeat("[", 100)+strings.Repeat("]", 100)+"}", "the body nests deeper than 64 levels")
}

func FuzzParseBody(f *testing.F) {
	f.Add([]byte(`{"name": "n", "model": {"id": "m"}, "extensions": {"x": [1, {"y": null}]}}`))
	f.Add([]byte(`{"nmae": 1, "usage": 7}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		body, violations, err := ParseBody(data)
		if err != nil {
			return
		}
		for field, v := range body.Set {
			if v.Kind() != 'n' && !field.Type().Accepts(v) {
				t.Fatalf("%s holds %s", field, v)
			}
		}
		for _, v := range violations {
			if !strings.HasPrefix(v.Pointer, "/") || v.Message == "" {
				t.Fatalf("%+v", v)
			}
		}
	})
}

func TestEqual(t *testing.T) {
	f := func(a, b string, want bool) {
		t.Helper()
		if got := Equal(jsontext.Value(a), jsontext.Value(b)); got != want {
			t.Errorf("%s and %s: %v", a, b, got)
		}
	}
	f(`1`, `1.0`, true)
	f(`0.5`, `0.50`, true)
	f(`9007199254740993`, `9007199254740992`, false)
	f(`{"a":1,"b":[1,2]}`, `{ "b": [1, 2], "a": 1 }`, true)
	f(`[1,2]`, `[2,1]`, false)
	f(`"\u00e9"`, `"é"`, true)
	f(`null`, `""`, false)
	f(``, `null`, false)
}

// TestMergePatch has the examples of RFC 7396, appendix A.
func TestMergePatch(t *testing.T) {
	f := func(target, patch, want string) {
		t.Helper()
		got, err := MergePatch(jsontext.Value(target), jsontext.Value(patch))
		if err != nil || !Equal(got, jsontext.Value(want)) {
			t.Errorf("%s with %s is %s, %v, want %s", target, patch, got, err, want)
		}
	}
	f(`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`)
	f(`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`)
	f(`{"a":"b"}`, `{"a":null}`, `{}`)
	f(`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`)
	f(`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`)
	f(`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`)
	f(`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`)
	f(`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`)
	f(`["a","b"]`, `["c","d"]`, `["c","d"]`)
	f(`{"a":"b"}`, `["c"]`, `["c"]`)
	f(`{"a":"foo"}`, `null`, `null`)
	f(`{"a":"foo"}`, `"bar"`, `"bar"`)
	f(`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`)
	f(`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`)
	f(`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`)
	f(``, `{"a":1}`, `{"a":1}`)
}

func TestNumber_KeepsLiteral(t *testing.T) {
	for _, literal := range []string{"345.50", "9007199254740993", "1e-7", "-0", "123456789012345678901234567890"} {
		var n Number
		if err := json.Unmarshal([]byte(literal), &n); err != nil || string(n) != literal {
			t.Errorf("%s is %q, %v", literal, n, err)
		}
		if out, err := json.Marshal(n); err != nil || string(out) != literal {
			t.Errorf("%s is written %s, %v", literal, out, err)
		}
	}
	var n Number
	if err := json.Unmarshal([]byte(`"7"`), &n); err == nil {
		t.Error("a string is taken for a number")
	}
}

func TestNearest(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		if got := Nearest(name, []string{"name", "status", "system_prompt"}); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	f("nmae", "name")
	f("systemPrompt", "system_prompt")
	f("zzzzzzzz", "")
	f(strings.Repeat("n", 1000), "")
}

// TestValidBackendName_MatchesPattern compares the functions with the patterns.
func TestValidBackendName_MatchesPattern(t *testing.T) {
	backend, plain := regexp.MustCompile(BackendNamePattern), regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[a-zA-Z0-9._~:ü-]{0,4}([a-z0-9-]{0,33}|[A-Za-z0-9._-]{0,130})`).Draw(t, "name")
		if ValidBackendName(s) != backend.MatchString(s) || plainKey(s) != plain.MatchString(s) {
			t.Fatalf("%q", s)
		}
	})
}
