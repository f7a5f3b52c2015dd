// Package wire has the small pieces that vendors' JSON shapes are read with:
// a member that knows whether it was sent, an id that may be an integer, a
// timestamp that may not be one, and the sorting of a payload into core and
// extensions.
//
// It must not know any one vendor.
package wire

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/normalize"
)

// Opt is a member that may be absent, null, or a T.
type Opt[T any] struct {
	Sent  bool // the member was there, be it null
	Value *T   // nil if absent or null
}

// UnmarshalJSONFrom reads null or a T.
func (o *Opt[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	o.Sent = true
	if dec.PeekKind() == 'n' {
		return dec.SkipValue()
	}
	o.Value = new(T)
	return json.UnmarshalDecode(dec, o.Value)
}

// Or is the first of o and other that was sent.
func (o Opt[T]) Or(other Opt[T]) Opt[T] {
	if o.Sent {
		return o
	}
	return other
}

// Integer is an integer id by its digits, of any size.
type Integer string

const errNotInteger = normalize.TypeError("want an integer")

// UnmarshalJSONFrom accepts a JSON number without fraction or exponent.
func (i *Integer) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if v.Kind() != '0' || strings.ContainsAny(string(v), ".eE") {
		return errNotInteger
	}
	*i = Integer(v)
	return nil
}

// IntegerOrText is an id that one generation of a vendor writes as an integer
// and another as a string. Text tells which it was.
type IntegerOrText struct {
	ID   string
	Text bool
}

const errNotID = normalize.TypeError("want an integer or a string")

// UnmarshalJSONFrom accepts an integer or a string.
func (i *IntegerOrText) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() == '"' {
		i.Text = true
		return json.UnmarshalDecode(dec, &i.ID)
	}
	var n Integer
	if err := n.UnmarshalJSONFrom(dec); err != nil {
		return errNotID
	}
	i.ID = string(n)
	return nil
}

// Text is an id's digits as a string; nil for nil.
func Text(i *Integer) *string {
	if i == nil {
		return nil
	}
	s := string(*i)
	return &s
}

// Builder sorts one payload into an agent: fields, and what is left over.
type Builder struct {
	*normalize.Agent
	rest    jsontext.Value
	present normalize.FieldSet
}

// NewBuilder starts an agent whose unmapped members are rest.
func NewBuilder(agent *normalize.Agent, rest jsontext.Value) *Builder {
	b := &Builder{Agent: agent}
	if len(normalize.Members(rest)) > 0 {
		b.rest = rest
	}
	return b
}

// Extend puts a member into the extensions, under the vendor's own name.
func (b *Builder) Extend(name string, value jsontext.Value) {
	b.rest = normalize.AppendMember(b.rest, name, value)
}

// Sees notes that the payload shows the fields, whatever the vendor's
// documentation says of them.
func (b *Builder) Sees(fields ...normalize.Field) {
	b.present |= normalize.Fields(fields...)
}

// Set fills a text field and notes that the payload shows it.
func (b *Builder) Set(f normalize.Field, target **string, value Opt[string]) {
	if value.Sent {
		*target = value.Value
		b.Sees(f)
	}
}

// Time fills a timestamp with a vendor's text if that is RFC 3339, and keeps
// the text among the extensions if it is not: a zone or a format is not ours
// to guess.
func (b *Builder) Time(f normalize.Field, target **string, name string, value Opt[string]) {
	if !value.Sent {
		return
	}
	b.Sees(f)
	if value.Value == nil || isRFC3339(*value.Value) {
		*target = value.Value
		return
	}
	quoted, err := jsontext.AppendQuote(nil, *value.Value)
	if err == nil {
		b.Extend(name, quoted)
	}
}

func isRFC3339(s string) bool {
	_, err := time.Parse(time.RFC3339Nano, s)
	return err == nil
}

// Build finishes the agent. A field that the payload shows is neither
// unavailable nor not loaded, whatever the table says.
func (b *Builder) Build(unavailable, notLoaded normalize.FieldSet) *normalize.Agent {
	b.Extensions = b.rest
	b.Unavailable = unavailable.Minus(b.present)
	b.NotLoaded = notLoaded.Minus(b.present)
	return b.Agent
}

// Rows decodes the rows of a list that stands at a JSON pointer in a reply, and keeps each
// row's JSON. Known ones are not decoded.
func Rows(r adapters.Response, pointer string, rows []jsontext.Value, decode func(pointer string, row jsontext.Value) (*normalize.Agent, error)) ([]*normalize.Agent, error) {
	agents := make([]*normalize.Agent, 0, len(rows))
	for i, row := range rows {
		if known, ok := r.Known.Agent(row); ok {
			agents = append(agents, known)
			continue
		}
		agent, err := decode(pointer+"/"+strconv.Itoa(i), row)
		if err != nil {
			return nil, err
		}
		agent.RawList = row
		agents = append(agents, agent)
	}
	return agents, nil
}

// Body collects the members of a request to a vendor, in the order they are
// added.
type Body struct{ object jsontext.Value }

// Add adds a member.
func (b *Body) Add(name string, value jsontext.Value) {
	b.object = normalize.AppendMember(b.object, name, value)
}

// Bytes is the request's JSON.
func (b *Body) Bytes() []byte {
	if b.object == nil {
		return []byte("{}")
	}
	return b.object
}

// Mapping says under which name, and as what, a vendor takes a field.
type Mapping struct {
	Field normalize.Field
	Name  string
	// As turns the field's JSON value into the vendor's; nil leaves it.
	As func(jsontext.Value) jsontext.Value
}

// Encode writes a change as a vendor's request body: the fields in the order
// of the mappings, then the vendor's own, by name.
func Encode(change normalize.Change, mappings []Mapping) []byte {
	var body Body
	for _, m := range mappings {
		value, ok := change.Set[m.Field]
		if !ok {
			continue
		}
		if m.As != nil && value.Kind() != 'n' {
			value = m.As(value)
		}
		body.Add(m.Name, value)
	}
	for _, name := range slices.Sorted(maps.Keys(change.Extensions)) {
		body.Add(name, change.Extensions[name])
	}
	return body.Bytes()
}

// Unquote turns "7" into 7, for the vendors whose ids are integers. The
// capability table has checked that there are only digits.
func Unquote(v jsontext.Value) jsontext.Value {
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return v
	}
	return b
}
