package normalize

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Body is a caller's create or patch, parsed and not yet checked against a backend's
// capability table.
type Body struct {
	Change
	// Backend is where the agent is to be created, or AutoBackend; empty if the caller names
	// none. Provider and Modality restrict the choice; empty for no restriction.
	Backend, Provider, Modality string
	// Echo is true if the body has an id: it is an agent that was read and is sent back.
	Echo bool
}

// AutoBackend is what a create names to have a backend chosen.
const AutoBackend = "auto"

// responseOnly are members of a response that are no fields of the agent. They are
// ignored in a body, so that an agent that was read can be edited and sent back.
var responseOnly = map[string]bool{
	"view": true, "warnings": true, "unavailable": true, "not_loaded": true, "raw": true, "resolved_from": true,
}

// ParseBody parses the body of a create or a patch. The error says why data is not
// one JSON object. The violations are all members whose name the model does not have,
// or whose JSON type is wrong.
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
	for name, v := range EachMember(value) {
		p.member(name, v)
	}
	return p.body, p.violations, nil
}

// MaxViolations bounds the violations that are reported for one body.
const MaxViolations = 100

// MaxDepth bounds how deep a body may nest.
const MaxDepth = 64

// checkJSON checks that value is one JSON value in UTF-8, without duplicate members,
// and not nested deeper than MaxDepth.
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
				return fmt.Errorf("the body has the field %s twice", Shorten(string(pointer)))
			}
			return fmt.Errorf("the body is not valid JSON at %s", lineAndColumn(value, at))
		}
		if dec.StackDepth() > MaxDepth {
			return fmt.Errorf("the body nests deeper than %d levels", MaxDepth)
		}
		if dec.StackDepth() == 0 && len(bytes.TrimSpace(value[dec.InputOffset():])) > 0 {
			return fmt.Errorf("the body goes on after the JSON value at %s", lineAndColumn(value, dec.InputOffset()))
		}
	}
}

// lineAndColumn returns where a byte of data is, as editors count.
func lineAndColumn(data []byte, offset int64) string {
	before := data[:min(int(offset), len(data))]
	return fmt.Sprintf("line %d, column %d", 1+bytes.Count(before, []byte("\n")), len(before)-bytes.LastIndexByte(before, '\n'))
}

type bodyParser struct {
	body       Body
	violations []Violation
}

func (p *bodyParser) member(name string, v jsontext.Value) {
	switch {
	case name == FieldBackend.Name():
		p.text(FieldBackend, v, &p.body.Backend)
	case name == FieldProvider.Name():
		p.text(FieldProvider, v, &p.body.Provider)
	case name == FieldModality.Name():
		p.text(FieldModality, v, &p.body.Modality)
	case name == "extensions":
		p.extensions(v)
	case responseOnly[name]:
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

// text parses one of the members that say where an agent belongs; null is no restriction.
func (p *bodyParser) text(f Field, v jsontext.Value, to *string) {
	switch v.Kind() {
	case 'n':
	case '"':
		text, _ := jsontext.AppendUnquote(nil, v) // checked to be valid before
		if len(text) == 0 {
			p.violate(Violation{Pointer: f.Pointer(), Code: InvalidValue, Message: "must not be empty; leave it out instead"})
		}
		*to = string(text)
	default:
		p.wrongType(f.Pointer(), TypeString, v)
	}
}

func (p *bodyParser) field(f Field, v jsontext.Value) {
	if f.ReadOnly() {
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
			if groups[name].Has(f) && !f.ReadOnly() {
				p.body.Set[f] = null
			}
		}
	case '{':
		for leaf, value := range EachMember(v) {
			f, ok := FieldByName(name + "." + leaf)
			if !ok {
				p.unknown("/"+name+"/"+escapePointer(leaf), leaf, leavesOf(name))
				continue
			}
			p.field(f, value)
		}
	default:
		if groups[name]&readOnlyFields == groups[name] {
			return
		}
		p.wrongType("/"+name, TypeObject, v)
	}
}

func (p *bodyParser) extensions(v jsontext.Value) {
	switch v.Kind() {
	case 'n':
	case '{':
		for name, value := range EachMember(v) {
			p.body.Extensions[name] = value
		}
	default:
		p.wrongType("/extensions", TypeObject, v)
	}
}

func (p *bodyParser) wrongType(pointer string, want Type, v jsontext.Value) {
	p.violate(Violation{Pointer: pointer, Code: WrongType, Message: fmt.Sprintf("want %s, got %s", want, KindName(v.Kind()))})
}

func (p *bodyParser) unknown(pointer, name string, valid []string) {
	message := "no such field; the provider's own fields go into \"extensions\""
	if f, ok := FieldByName(name); ok {
		group, leaf, _ := strings.Cut(f.Name(), ".")
		message = fmt.Sprintf("no such field; nest it: {%q: {%q: …}}", group, leaf)
	} else if near := Nearest(name, valid); near != "" {
		message = fmt.Sprintf("no such field; did you mean %q?", near)
	}
	p.violate(Violation{Pointer: Shorten(pointer), Code: UnknownField, Message: message})
}

func (p *bodyParser) violate(v Violation) {
	if len(p.violations) < MaxViolations {
		p.violations = append(p.violations, v)
	}
}

// Shorten cuts a caller's text to 128 bytes for an error message.
func Shorten(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

var (
	readOnlyFields = func() FieldSet {
		var s FieldSet
		for f, info := range fields {
			if info.readOnly {
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

// escapePointer escapes a member's name for a JSON pointer (RFC 6901, section 3).
func escapePointer(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// ExtensionPointer returns the JSON pointer of an extension.
func ExtensionPointer(name string) string { return "/extensions/" + escapePointer(name) }
