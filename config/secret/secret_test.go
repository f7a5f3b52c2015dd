package secret

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"
)

const canary = "canary-9f3b6c"

// holder has the secret in an exported field, where fmt calls methods, and in an unexported
// one, where it does not.
type holder struct {
	Seen   String
	hidden String
	Ptr    *String
}

func TestString_FormattersRedact(t *testing.T) {
	s := New(canary)
	h := holder{Seen: s, hidden: s, Ptr: &s}
	for _, v := range []any{s, &s, h, &h, []String{s}, map[string]String{"k": s}, struct{ in holder }{h}} {
		for _, verb := range "vsqxXdoObcUeEfFgGtpT" {
			for _, flags := range []string{"%", "%+", "%#", "%-20", "%020", "% "} {
				format := flags + string(verb)
				if got := fmt.Sprintf(format, v); strings.Contains(got, canary) || strings.Contains(got, fmt.Sprintf("%x", canary)) {
					t.Errorf("Sprintf(%q, %T) shows the value: %s", format, v, got)
				}
			}
		}
	}
}

func TestString_EncodersRedact(t *testing.T) {
	h := struct{ Seen String }{New(canary)}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", h.Seen, "holder", h)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", h.Seen, "holder", h)
	for name, marshal := range map[string]func(any) ([]byte, error){
		"json": json.Marshal, "jsonv2": func(v any) ([]byte, error) { return jsonv2.Marshal(v) }, "yaml": yaml.Marshal,
	} {
		b, err := marshal(h)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		out.Write(b)
		if !bytes.Contains(b, []byte(Redacted)) {
			t.Errorf("%s does not write the redacted form: %s", name, b)
		}
	}
	_ = gob.NewEncoder(&out).Encode(h) // gob may refuse; it may not write the value
	if strings.Contains(out.String(), canary) {
		t.Errorf("the value was written: %s", out.String())
	}
}

func TestString_Reveal(t *testing.T) {
	if got := New(canary).Reveal(); got != canary {
		t.Errorf("Reveal = %q", got)
	}
	var zero String
	if zero.Reveal() != "" || !zero.Empty() {
		t.Error("the zero value is not an empty secret")
	}
}
