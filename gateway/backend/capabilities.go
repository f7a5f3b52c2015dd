package backend

import (
	"strings"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// CheckSupport is the problem of an operation that the backend does not have; nil if it has it.
func (b *Backend) CheckSupport(op adapters.Operation) error {
	if b.Info.Supports(op) {
		return nil
	}
	return problem.FromBackend(b.Name, op, adapters.Unsupported(b.Info.Provider, op))
}

// Capabilities is a vendor's capability table as JSON.
type Capabilities struct {
	Operations map[adapters.Operation]OperationView `json:"operations"`
	Fields     OrderedFields                        `json:"fields"`
	Extensions map[string]ExtensionView             `json:"extensions"`
}

type OperationView struct {
	Support adapters.Support `json:"support"`
}

// FieldView is where one field stands in a vendor's API.
type FieldView struct {
	List        bool     `json:"list"`
	Get         bool     `json:"get"`
	Create      bool     `json:"create"`
	Update      bool     `json:"update"`
	RequiredFor []string `json:"required_for"`
}

type ExtensionView struct {
	Create bool `json:"create"`
	Update bool `json:"update"`
}

// CapabilitiesOf is a vendor's capability table.
func CapabilitiesOf(info *adapters.Info) Capabilities {
	c := Capabilities{Operations: map[adapters.Operation]OperationView{}, Extensions: map[string]ExtensionView{}}
	for op, support := range info.Operations {
		c.Operations[op] = OperationView{support}
	}
	for _, f := range normalize.AllFields() {
		c.Fields = append(c.Fields, namedField{f.Name(), ViewOf(info, f)})
	}
	for _, e := range info.Extensions {
		c.Extensions[e.Name] = ExtensionView{Create: e.In&adapters.InCreate != 0, Update: e.In&adapters.InUpdate != 0}
	}
	return c
}

// ViewOf is where a field stands in a vendor's API. What every agent has is in
// every answer and in no request.
func ViewOf(info *adapters.Info, f normalize.Field) FieldView {
	rule := info.Rule(f)
	shown := !normalize.Optional.Has(f)
	getsOfList := info.GetJoinsList && rule.In&adapters.InList != 0
	view := FieldView{
		List:        shown || rule.In&adapters.InList != 0,
		Get:         shown || rule.In&adapters.InGet != 0 || getsOfList,
		Create:      info.Creates(f),
		Update:      rule.In&adapters.InUpdate != 0,
		RequiredFor: rule.RequiredFor,
	}
	if view.RequiredFor == nil {
		view.RequiredFor = []string{}
	}
	if f == normalize.FieldExtensions {
		view.Create, view.Update = info.TakesExtensions(adapters.InCreate), info.TakesExtensions(adapters.InUpdate)
	}
	return view
}

// FieldCell is a field's place in a vendor's API in a few characters: l, g, c
// and u for list, get, create and update, and after ! what it is required for.
func FieldCell(info *adapters.Info, f normalize.Field) string {
	v := ViewOf(info, f)
	cell := ""
	for _, at := range []struct {
		in     bool
		letter string
	}{{v.List, "l"}, {v.Get, "g"}, {v.Create, "c"}, {v.Update, "u"}} {
		if at.in {
			cell += at.letter
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
