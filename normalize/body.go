package normalize

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Body is a caller's create or patch, read but not yet held against what a
// backend can hold.
type Body struct {
	Change
	// Backend is where a create shall go; empty if the caller leaves it open.
	Backend string
	// Echo: it carries an agent's id, so it was read and is sent back.
	Echo bool
}

// outputs are members of an answer that are no fields of the agent; they are
// ignored in a body, so that what was read can be edited and sent back.
var outputs = map[string]bool{
	"view": true, "warnings": true, "unavailable": true, "not_loaded": true, "raw": true, "resolved_from": true,
}

// ParseBody reads the body of a create or a patch. The error says what keeps
// it from being one JSON object; violations are all the members whose name or
// JSON type the model does not know.
func ParseBody(data []byte) (Body, []Violation, error) {
	p := bodyParser{body: Body{Change: Change{Set: map[Field]jsontext.Value{}, Extensions: map[string]jsontext.Value{}}}}
	value := jsontext.Value(bytes.TrimSpace(data))
	if len(value) == 0 {
		return p.body, nil, errors.New("the body is empty; send one JSON object")
	}
	if err := checkJSON(value); err != nil {
		return p.body, nil, err
	}
	if value.Kind() != '{' {
		return p.body, nil, errors.New("the body is not a JSON object")
	}
	for name, v := range ordered(value) {
		p.member(name, v)
	}
	return p.body, p.violations, nil
}

// MaxViolations bounds how much of a hopeless body is answered for.
const MaxViolations = 100

// MaxDepth bounds how deep a caller's JSON may nest.
const MaxDepth = 64

// checkJSON walks the whole text once: one value, valid UTF-8, no member
// twice, not nested without bound.
func checkJSON(value jsontext.Value) error {
	dec := jsontext.NewDecoder(bytes.NewReader(value))
	for {
		_, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			at, pointer := dec.InputOffset(), jsontext.Pointer("")
			if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
				at, pointer = syntactic.ByteOffset, syntactic.JSONPointer
			}
			if errors.Is(err, jsontext.ErrDuplicateName) {
				return fmt.Errorf("the body has the member %s twice", Shorten(string(pointer)))
			}
			return fmt.Errorf("the body is not valid JSON at byte %d", at)
		}
		if dec.StackDepth() > MaxDepth {
			return fmt.Errorf("the body nests deeper than %d levels", MaxDepth)
		}
		if dec.StackDepth() == 0 && len(bytes.TrimSpace(value[dec.InputOffset():])) > 0 {
			return fmt.Errorf("the body goes on after the JSON value at byte %d", dec.InputOffset())
		}
	}
}

type bodyParser struct {
	body       Body
	violations []Violation
}

func (p *bodyParser) member(name string, v jsontext.Value) {
	switch {
	case name == "backend":
		if v.Kind() == 'n' {
			return
		}
		if v.Kind() != '"' {
			p.wrongType("/backend", TypeString, v)
			return
		}
		text, _ := jsontext.AppendUnquote(nil, v) // checked to be valid before
		if len(text) == 0 {
			p.violate(Violation{"/backend", InvalidValue, "is empty; name a backend, or leave it out to have one chosen"})
		}
		p.body.Backend = string(text)
	case name == "extensions":
		p.extensions(v)
	case outputs[name]:
	case groups[name] != 0:
		p.group(name, v)
	default:
		if f, ok := FieldByName(name); ok && !strings.Contains(name, ".") {
			p.field(f, v)
			return
		}
		p.unknown("/"+escapePointer(name), name, topLevel)
	}
}

func (p *bodyParser) field(f Field, v jsontext.Value) {
	if f.Settled() {
		p.body.Echo = p.body.Echo || f == FieldID
		return
	}
	if v.Kind() != 'n' && !f.Type().Accepts(v) {
		p.wrongType(f.Pointer(), f.Type(), v)
		return
	}
	p.body.Set[f] = v
}

func (p *bodyParser) group(name string, v jsontext.Value) {
	switch v.Kind() {
	case 'n':
		for f := range fieldCount {
			if groups[name].Has(f) && !f.Settled() {
				p.body.Set[f] = null
			}
		}
	case '{':
		for leaf, value := range ordered(v) {
			f, ok := FieldByName(name + "." + leaf)
			if !ok {
				p.unknown("/"+name+"/"+escapePointer(leaf), leaf, leavesOf(name))
				continue
			}
			p.field(f, value)
		}
	default:
		if groups[name]&settledFields == groups[name] {
			return
		}
		p.wrongType("/"+name, TypeObject, v)
	}
}

func (p *bodyParser) extensions(v jsontext.Value) {
	switch v.Kind() {
	case 'n':
	case '{':
		for name, value := range ordered(v) {
			p.body.Extensions[name] = value
		}
	default:
		p.wrongType("/extensions", TypeObject, v)
	}
}

func (p *bodyParser) wrongType(pointer string, want Type, v jsontext.Value) {
	p.violate(Violation{pointer, WrongType, fmt.Sprintf("want %s, got %s", want, KindName(v.Kind()))})
}

func (p *bodyParser) unknown(pointer, name string, valid []string) {
	message := "no such field; the vendor's own fields go into \"extensions\""
	if near := Nearest(name, valid); near != "" {
		message = fmt.Sprintf("no such field; did you mean %q?", near)
	}
	p.violate(Violation{Shorten(pointer), UnknownField, message})
}

func (p *bodyParser) violate(v Violation) {
	if len(p.violations) < MaxViolations {
		p.violations = append(p.violations, v)
	}
}

// Shorten keeps a caller's own word from filling an answer.
func Shorten(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

var (
	settledFields = func() FieldSet {
		var s FieldSet
		for f, info := range fields {
			if info.settled {
				s = s.With(Field(f))
			}
		}
		return s
	}()
	topLevel = func() []string {
		var names []string
		for _, info := range fields {
			if !strings.Contains(info.name, ".") {
				names = append(names, info.name)
			}
		}
		for name := range groups {
			names = append(names, name)
		}
		return names
	}()
)

func leavesOf(group string) []string {
	var names []string
	for _, info := range fields {
		if g, leaf, nested := strings.Cut(info.name, "."); nested && g == group {
			names = append(names, leaf)
		}
	}
	return names
}

// escapePointer escapes a member's name for a JSON pointer.
func escapePointer(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// ExtensionPointer is the JSON pointer of an extension's member.
func ExtensionPointer(name string) string { return "/extensions/" + escapePointer(name) }
