package backend

import (
	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// CheckSupport returns the problem to report if the provider does not support the operation.
func (b *Backend) CheckSupport(op adapters.Operation) error {
	if b.Info.Supports(op) {
		return nil
	}
	return problem.FromBackend(b.Name, op, adapters.Unsupported(b.Info.Provider, op))
}

// Capabilities is what a provider supports, as the API shows it.
type Capabilities struct {
	Operations map[adapters.Operation]OperationView `json:"operations"`
	Fields     OrderedFields                        `json:"fields"`
	Extensions map[string]ExtensionView             `json:"extensions"`
}

// OperationView is how a provider supports an operation.
type OperationView struct {
	Support adapters.Support `json:"support"`
}

// FieldView is which operations of a provider have a field. RequiredFor lists what a create
// requires it for.
type FieldView struct {
	List        bool     `json:"list"`
	Get         bool     `json:"get"`
	Create      bool     `json:"create"`
	Update      bool     `json:"update"`
	RequiredFor []string `json:"required_for"`
	Schema      Schema   `json:"schema"`
}

// ExtensionView is which operations of a provider accept an extension.
type ExtensionView struct {
	Create bool   `json:"create"`
	Update bool   `json:"update"`
	Schema Schema `json:"schema"`
}

// Schema is the JSON Schema (draft 2020-12) of the values that a provider accepts: lengths are in
// characters.
type Schema struct {
	Type      string   `json:"type"`
	Items     *Schema  `json:"items,omitzero"`
	MinLength int      `json:"minLength,omitzero"`
	MaxLength int      `json:"maxLength,omitzero"`
	Minimum   *float64 `json:"minimum,omitzero"`
	Maximum   *float64 `json:"maximum,omitzero"`
	Enum      []string `json:"enum,omitzero"`
	Pattern   string   `json:"pattern,omitzero"`
}

// schemaOf returns the schema of the values of a type within a limit.
func schemaOf(t normalize.Type, l adapters.Limit) Schema {
	s := Schema{MinLength: l.MinLength, MaxLength: l.MaxLength, Minimum: l.Min, Maximum: l.Max, Enum: l.OneOf}
	if l.Integer {
		s.Pattern = "^-?[0-9]+$"
	}
	switch t {
	case normalize.TypeString:
		s.Type = "string"
	case normalize.TypeNumber:
		s.Type = "number"
	case normalize.TypeBool:
		s.Type = "boolean"
	case normalize.TypeStrings:
		s.Type, s.Items = "array", &Schema{Type: "string"}
	case normalize.TypeObject:
		s.Type = "object"
	}
	return s
}

// CapabilitiesOf returns the capabilities of a provider.
func CapabilitiesOf(info *adapters.Info) Capabilities {
	c := Capabilities{Operations: map[adapters.Operation]OperationView{}, Extensions: map[string]ExtensionView{}}
	for op, support := range info.Operations {
		c.Operations[op] = OperationView{support}
	}
	for _, f := range normalize.AllFields() {
		c.Fields = append(c.Fields, namedField{f.Name(), FieldViewOf(info, f)})
	}
	for _, e := range info.Extensions {
		c.Extensions[e.Name] = ExtensionView{Create: e.In&adapters.InCreate != 0, Update: e.In&adapters.InUpdate != 0, Schema: schemaOf(e.Type, e.Limit)}
	}
	return c
}

// FieldViewOf returns which operations of a provider have a field. Fields that every agent
// has are in every response and in no request.
func FieldViewOf(info *adapters.Info, f normalize.Field) FieldView {
	rule := info.Rule(f)
	always := !normalize.Optional.Has(f)
	getFromList := info.GetJoinsList && rule.In&adapters.InList != 0
	view := FieldView{
		List:        always || rule.In&adapters.InList != 0,
		Get:         always || rule.In&adapters.InGet != 0 || getFromList,
		Create:      info.Creates(f),
		Update:      rule.In&adapters.InUpdate != 0,
		RequiredFor: rule.RequiredFor,
		Schema:      schemaOf(f.Type(), rule.Limit),
	}
	if view.RequiredFor == nil {
		view.RequiredFor = []string{}
	}
	if f == normalize.FieldExtensions {
		view.Create, view.Update = info.TakesExtensions(adapters.InCreate), info.TakesExtensions(adapters.InUpdate)
	}
	return view
}

// FieldCell returns a FieldView in a few characters: l, g, c and u for list, get, create and
// update, then ! if a create requires the field, and for what (nothing: always).
func FieldCell(info *adapters.Info, f normalize.Field) string {
	v := FieldViewOf(info, f)
	cell := ""
	for _, operation := range []struct {
		has    bool
		letter string
	}{{v.List, "l"}, {v.Get, "g"}, {v.Create, "c"}, {v.Update, "u"}} {
		if operation.has {
			cell += operation.letter
		}
	}
	switch {
	case cell == "":
		return "-"
	case len(v.RequiredFor) == 0:
		return cell
	case v.RequiredFor[0] == adapters.Always:
		return cell + "!"
	}
	return cell + "!" + strings.Join(v.RequiredFor, ",")
}
