package adapters

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"github.com/agentgw/agentgw/normalize"
)

// decodeResponse returns the error of a call whose response has this body.
func decodeResponse(status int, contentType, body string, v any) error {
	c := Client{
		Provider: "p", Authorize: func(http.Header, Credential) {},
		Failure: func(op Operation, r Response) error {
			if e := Failure("p", op, r); e != nil {
				return e
			}
			return nil
		},
		RoundTrip: func(_ context.Context, req *Request) error {
			header := http.Header{}
			if contentType != "" {
				header.Set("Content-Type", contentType)
			}
			return req.Receive(Response{Status: status, Header: header, Body: []byte(body)})
		},
	}
	return c.Send(context.Background(), Credential{}, Call{Op: OpGet}, func(r Response) error { return Decode("p", OpList, r, v) })
}

func TestValidateReply_ContentType(t *testing.T) {
	f := func(contentType string, want bool) {
		t.Helper()
		err := decodeResponse(200, contentType, `{}`, new(map[string]any))
		if (err == nil) != want || err != nil && normalize.KindOf(err) != normalize.KindBadResponse {
			t.Errorf("%q: %v", contentType, err)
		}
	}
	for _, good := range []string{"", "application/json", "application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json", "application/problem+json", "text/json", "text/plain", "application/octet-stream"} {
		f(good, true)
	}
	for _, bad := range []string{"text/html", "text/html; charset=utf-8", "application/xml", "image/png", ";;", "application/jsonx"} {
		f(bad, false)
	}
	// A failure is known by its status, whatever its Content-Type.
	if err := decodeResponse(503, "text/html", "<html>", nil); normalize.KindOf(err) != normalize.KindUnavailable {
		t.Errorf("%v", err)
	}
}

func TestValidateReply_Nesting(t *testing.T) {
	nested := func(levels int) string { return strings.Repeat(`[`, levels) + strings.Repeat(`]`, levels) }
	if err := decodeResponse(200, "", nested(MaxDepth), new(any)); err != nil {
		t.Errorf("%d levels: %v", MaxDepth, err)
	}
	if err := decodeResponse(200, "", nested(MaxDepth+1), new(any)); normalize.KindOf(err) != normalize.KindWrongShape {
		t.Errorf("%d levels: %v", MaxDepth+1, err)
	}
	// Brackets in strings nest nothing, whatever is escaped beside them.
	for _, text := range []string{strings.Repeat("[{", 200), `\`, `"`, `\"[`, `[\\`} {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		body := `{"a": ` + string(quoted) + `, "b": ` + nested(MaxDepth-1) + `}`
		if err := decodeResponse(200, "", body, new(any)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRawRows_Bound(t *testing.T) {
	rows := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("{},", n), ",") + "]" }
	var got RawRows
	if err := decodeResponse(200, "", rows(MaxRows), &got); err != nil || len(got) != MaxRows {
		t.Errorf("%d rows, %v", len(got), err)
	}
	if err := decodeResponse(200, "", rows(MaxRows+1), &got); normalize.KindOf(err) != normalize.KindTooLarge || len(got) > MaxRows {
		t.Errorf("%d rows, %v", len(got), err)
	}
	for body, want := range map[string]int{`[]`: 0, `null`: 0, `[1, {"a": [2]}, null]`: 3} {
		if err := decodeResponse(200, "", body, &got); err != nil || len(got) != want {
			t.Errorf("%s: %d rows, %v", body, len(got), err)
		}
	}
	for _, body := range []string{`{}`, `5`, `"x"`} {
		if err := decodeResponse(200, "", body, &got); normalize.KindOf(err) != normalize.KindWrongShape {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, body := range []string{`[1`, `[1,]`, `[1 2]`, ``, `[}`} {
		if err := decodeResponse(200, "", body, &got); normalize.KindOf(err) != normalize.KindBadResponse {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestDeeperThan compares DeeperThan with a search byte by byte.
func TestDeeperThan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOf(rapid.SampledFrom([]byte(`{}[]""\ab`))).Draw(t, "data")
		levels := rapid.IntRange(0, 4).Draw(t, "levels")
		depth, quoted, want := 0, false, false
		for i := 0; i < len(data) && !want; i++ {
			switch c := data[i]; {
			case quoted && c == '\\':
				i++
			case c == '"':
				quoted = !quoted
			case quoted:
			case c == '{' || c == '[':
				depth++
				want = depth > levels
			case c == '}' || c == ']':
				depth--
			}
		}
		if got := DeeperThan(data, levels); got != want {
			t.Fatalf("%q is deeper than %d: %v", data, levels, got)
		}
	})
}
