package gateway

import (
	"crypto/sha256"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/normalize"
)

// backendView is a backend as GET /v1/backends shows it.
type backendView struct {
	Object        string        `json:"object"`
	Backend       string        `json:"backend"`
	Provider      string        `json:"provider"`
	Breaker       BreakerStatus `json:"breaker"`
	Quota         *quotaView    `json:"quota"`
	LastSuccessAt *time.Time    `json:"last_success_at"`
	LastError     *Failure      `json:"last_error"`
	Capabilities  `json:",embed"`
}

// Capabilities is a vendor's capability table as JSON.
type Capabilities struct {
	Operations map[adapters.Operation]operationView `json:"operations"`
	Fields     orderedFields                        `json:"fields"`
	Extensions map[string]extensionView             `json:"extensions"`
}

type operationView struct {
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

type extensionView struct {
	Create bool `json:"create"`
	Update bool `json:"update"`
}

// CapabilitiesOf is a vendor's capability table.
func CapabilitiesOf(info *adapters.Info) Capabilities {
	c := Capabilities{Operations: map[adapters.Operation]operationView{}, Extensions: map[string]extensionView{}}
	for op, support := range info.Operations {
		c.Operations[op] = operationView{support}
	}
	for _, f := range normalize.AllFields() {
		c.Fields = append(c.Fields, namedField{f.Name(), ViewOf(info, f)})
	}
	for _, e := range info.Extensions {
		c.Extensions[e.Name] = extensionView{Create: e.In&adapters.InCreate != 0, Update: e.In&adapters.InUpdate != 0}
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

func listBackends(caller *Caller) (*response, error) {
	list := struct {
		Object string        `json:"object"`
		Data   []backendView `json:"data"`
	}{"list", []backendView{}}
	for _, b := range caller.backends {
		list.Data = append(list.Data, viewOf(b))
	}
	return jsonResponse(list)
}

func getBackend(caller *Caller, name string) (*response, error) {
	b, ok := caller.Backend(name)
	if !ok {
		return nil, unknownBackend(caller, name)
	}
	return jsonResponse(viewOf(b))
}

func viewOf(b CallerBackend) backendView {
	status := b.Status()
	return backendView{
		Object: "backend", Backend: b.Name, Provider: b.Info.Provider,
		Breaker: status.Breaker, Quota: b.Quota(b.Credential),
		LastSuccessAt: status.LastSuccess, LastError: status.LastFailure,
		Capabilities: CapabilitiesOf(b.Info),
	}
}

func jsonResponse(v any) (*response, error) {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return &response{status: 200, body: payload.New(body), etag: weakTag(sum[:]), read: true}, nil
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
