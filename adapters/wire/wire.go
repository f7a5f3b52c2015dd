// Package wire has the types and functions that adapters decode and encode JSON
// with: members that know whether they were sent, ids that may be integers, and a
// Builder that sorts a payload into fields of the model and extensions.
//
// It does not know any single provider. Begin reading at Builder.
package wire

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/normalize"
)

// Opt is a JSON member that may be absent, null, or a T.
type Opt[T any] struct {
	Sent  bool // the member is present, possibly null
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

// Or returns o if it was sent, and other if not.
func (o Opt[T]) Or(other Opt[T]) Opt[T] {
	if o.Sent {
		return o
	}
	return other
}

// OrZero returns the value; the zero T if it is absent or null.
func (o Opt[T]) OrZero() (value T) {
	if o.Value != nil {
		value = *o.Value
	}
	return value
}

// Integer is an integer of any size, as its digits.
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

// IntegerOrText is an id that one generation of a provider writes as an integer
// and another as a string. Text is true for a string.
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

// Text returns the digits of i as a string; nil for nil.
func Text(i *Integer) *string {
	if i == nil {
		return nil
	}
	s := string(*i)
	return &s
}

// Builder builds an agent from one payload: its fields, and what remains as
// extensions.
type Builder struct {
	*normalize.Agent
	payload  *Payload
	rest     jsontext.Value
	extended []string // the odd members that Extend was called with
	present  normalize.FieldSet
}

// NewBuilder returns a builder of the agent in a payload; rest has the members that are
// not mapped.
func NewBuilder(agent *normalize.Agent, payload *Payload, rest jsontext.Value) *Builder {
	b := &Builder{Agent: agent, payload: payload}
	if len(normalize.Members(rest)) > 0 {
		b.rest = rest
	}
	return b
}

// Extend adds a member to the extensions, under the provider's own name.
func (b *Builder) Extend(name string, value jsontext.Value) {
	if _, odd := b.payload.odd[name]; odd {
		b.extended = append(b.extended, name)
	}
	b.rest = normalize.AppendMember(b.rest, name, value)
}

// Sees notes that the payload shows the fields, even if the provider's documentation
// does not.
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

// Time fills a timestamp if the provider's text is RFC 3339, and puts the text into
// the extensions if it is not: a zone or a format is never guessed.
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

// Build returns the agent, with the payload as its raw JSON. A field that the payload
// shows is removed from both sets.
func (b *Builder) Build(unavailable, notLoaded normalize.FieldSet) *normalize.Agent {
	for _, name := range b.payload.oddNames() {
		if !slices.Contains(b.extended, name) {
			b.Extend(name, b.payload.odd[name])
		}
	}
	b.Extensions, b.Warnings = b.rest, b.payload.warnings
	if b.View == normalize.ViewFull {
		b.RawDetail = b.payload.raw
	} else {
		b.RawList = b.payload.raw
	}
	b.Unavailable = unavailable.Minus(b.present)
	b.NotLoaded = notLoaded.Minus(b.present)
	return b.Agent
}

// maxRowWarnings bounds the warnings that are kept of the rows of one list.
const maxRowWarnings = 1000

// Rows decodes the rows of the list at a JSON pointer of a reply. A row that cannot be an
// agent is left out, with a warning. Of many warnings about rows the first are kept.
func Rows(pointer string, rows []jsontext.Value, decode func(pointer string, row jsontext.Value) (*normalize.Agent, error)) (agents []*normalize.Agent, unreadable []normalize.Warning) {
	agents = make([]*normalize.Agent, 0, len(rows))
	warnings := 0
	for i, row := range rows {
		at := pointer + "/" + strconv.Itoa(i)
		agent, err := decode(at, row)
		if err != nil {
			unreadable = append(unreadable, normalize.Warning{Code: normalize.WarnUnreadableRow, Pointer: at, Message: "no agent: " + err.Error()})
			continue
		}
		if warnings += len(agent.Warnings); warnings > maxRowWarnings {
			agent.Warnings = nil // nobody else has the agent yet
		}
		agents = append(agents, agent)
	}
	return agents, unreadable
}

// Body is the JSON object of a request, with its members in the order of Add.
type Body struct{ object normalize.ObjectBuilder }

// Add adds a member.
func (b *Body) Add(name string, value jsontext.Value) { b.object.Add(name, value) }

// Bytes returns the object's JSON.
func (b *Body) Bytes() []byte { return b.object.Value() }

// Mapping is the name of a field in a provider's requests.
type Mapping struct {
	Field normalize.Field
	Name  string
	// As converts the field's JSON value to the provider's; nil keeps it.
	As func(jsontext.Value) jsontext.Value
}

// Encode encodes a change as a provider's request body: the fields in the order of
// the mappings, then the extensions by name.
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

// Unquote converts "7" to 7, for providers whose ids are integers. The capability
// table has checked that the string has digits only.
func Unquote(v jsontext.Value) jsontext.Value {
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return v
	}
	return b
}
