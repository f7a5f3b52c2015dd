package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/normalize"
)

// WriteQuery is a create or a patch as it came.
type WriteQuery struct {
	ID      string // patch, delete: as it stands in the path
	Body    []byte
	Lenient bool // Prefer: handling=lenient
}

// create makes an agent at the backend that the body names, or at the first
// that can hold it. The body is held against the capability table before any
// backend is asked.
func (g *Gateway) create(ctx context.Context, caller *Caller, q WriteQuery) (*response, error) {
	body, violations, err := normalize.ParseBody(q.Body)
	if err != nil {
		return nil, newProblem(CodeInvalidBody, "%s", err)
	}
	plan, err := planFor(caller, body, violations, q.Lenient)
	if err != nil {
		return nil, err
	}
	b := plan.backend

	change, activate := plan.change, false
	if b.Info.CreatesInactive {
		status, _ := change.Text(normalize.FieldStatus)
		activate = status == normalize.StatusActive
		change = change.Without(normalize.FieldStatus)
	}
	created, err := b.Endpoint(ctx, Call{Op: adapters.OpCreate, Credential: b.Credential, Change: change})
	if err != nil {
		return nil, backendProblem(b.Name, adapters.OpCreate, err)
	}
	native := created.Created.NativeID
	warnings := plan.warnings
	if activate {
		warnings = append(warnings, g.activate(ctx, b, native)...)
	}
	agent, more := g.readBack(ctx, b, native, plan.change, created.Created, warnings)
	r, err := writtenResponse(201, agent, append(warnings, more...), q.Lenient)
	if err != nil {
		return nil, err
	}
	r.header("Location", "/v1/agents/"+agent.ID)
	return r, nil
}

// plan is a change that a backend can hold, and what was dropped to make it so.
type plan struct {
	backend  CallerBackend
	change   normalize.Change
	warnings []Warning
}

// planFor finds the backend for a new agent.
func planFor(caller *Caller, body normalize.Body, violations []normalize.Violation, lenient bool) (plan, error) {
	if body.Backend != "" {
		b, ok := caller.Backend(body.Backend)
		if !ok {
			p := unknownBackend(caller, body.Backend)
			p.Errors = []normalize.Violation{{Pointer: "/backend", Code: normalize.InvalidValue, Message: p.Detail}}
			return plan{}, p
		}
		if !b.Info.Supports(adapters.OpCreate) {
			return plan{}, backendProblem(b.Name, adapters.OpCreate, adapters.Unsupported(b.Info.Provider, adapters.OpCreate))
		}
		return planCreate(b, body.Change, violations, lenient)
	}
	if len(violations) > 0 {
		return plan{}, validationProblem("", violations)
	}
	strict, problem := firstThatFits(caller, body.Change, false)
	if problem == nil {
		return strict, nil
	}
	if lenient { // only if none holds all of it
		if forgiving, problem := firstThatFits(caller, body.Change, true); problem == nil {
			return forgiving, nil
		}
	}
	return plan{}, problem
}

// firstThatFits is the first backend, in the order of the configuration, that
// can hold the agent; the problem says of each why it cannot.
func firstThatFits(caller *Caller, change normalize.Change, lenient bool) (plan, *Problem) {
	var reasons []string
	var violations []normalize.Violation
	for _, b := range caller.backends {
		if !b.Info.Supports(adapters.OpCreate) {
			reasons = append(reasons, b.Name+": has no create")
			continue
		}
		p, err := planCreate(b, change, nil, lenient)
		if err == nil {
			return p, nil
		}
		problem := problemOf(err)
		reasons = append(reasons, b.Name+": "+problem.Detail)
		for _, v := range problem.Errors {
			v.Message = b.Name + ": " + v.Message
			violations = append(violations, v)
		}
	}
	p := newProblem(CodeNoBackendFits, "%s", strings.Join(reasons, "; "))
	if len(reasons) == 0 {
		p.Detail = "the key maps to no backend"
	}
	p.Errors = bounded(violations)
	return plan{}, p
}

func planCreate(b CallerBackend, change normalize.Change, violations []normalize.Violation, lenient bool) (plan, error) {
	violations = append(violations[:len(violations):len(violations)], b.Info.CheckCreate(change)...)
	p, violations := forgive(plan{backend: b, change: change}, violations, lenient)
	if len(violations) > 0 {
		return plan{}, validationProblem(b.Name, violations)
	}
	p.change = p.change.Keep(isSet)
	return p, nil
}

// forgive drops what a backend cannot hold, one warning each, if the caller
// asked for that; all else stays a violation.
func forgive(p plan, violations []normalize.Violation, lenient bool) (plan, []normalize.Violation) {
	if !lenient {
		return p, violations
	}
	var left []normalize.Violation
	dropped := map[string]bool{}
	for _, v := range violations {
		if v.Code != normalize.Unsupported {
			left = append(left, v)
			continue
		}
		dropped[v.Pointer] = true
		p.warnings = append(p.warnings, warning("unsupported", v.Pointer, p.backend.Name, p.backend.Info.Title+" cannot hold this; it was dropped"))
	}
	if len(dropped) > 0 {
		p.change = p.change.Keep(func(pointer string, _ jsontext.Value) bool { return !dropped[pointer] })
	}
	return p, left
}

// isSet: in a create, null sets nothing.
func isSet(_ string, v jsontext.Value) bool { return v.Kind() != 'n' }

// activate makes a fresh agent active by a second call. If that fails the
// agent is there none the less.
func (g *Gateway) activate(ctx context.Context, b CallerBackend, native string) []Warning {
	change := normalize.Change{Set: map[normalize.Field]jsontext.Value{normalize.FieldStatus: []byte(`"` + normalize.StatusActive + `"`)}}
	_, err := b.Endpoint(ctx, Call{Op: adapters.OpUpdate, Credential: b.Credential, NativeID: native, Change: change})
	if err == nil {
		return nil
	}
	p := backendProblem(b.Name, adapters.OpUpdate, err)
	return []Warning{warning("activation_failed", normalize.FieldStatus.Pointer(), b.Name, fmt.Sprintf("the agent was created, but not made active (%s)", p.Code))}
}

// readBack reads a written agent anew and says what did not stick. If it
// cannot be read, the write stands: known is what is known of it.
func (g *Gateway) readBack(ctx context.Context, b CallerBackend, native string, change normalize.Change, known *normalize.Agent, said []Warning) (*normalize.Agent, []Warning) {
	result, err := b.Endpoint(ctx, Call{Op: adapters.OpGet, Credential: b.Credential, NativeID: native, Fresh: true})
	if err != nil || result.Stale != nil {
		return known, []Warning{warning("unverified", "", b.Name, "the agent was written, but could not be read back")}
	}
	var warnings []Warning
	for _, w := range differences(b, result.Detail.Agent, change) {
		if !warned(said, *w.Path) {
			warnings = append(warnings, w)
		}
	}
	return result.Detail.Agent, warnings
}

// differences are what an agent shows otherwise than it was sent, or not at all.
func differences(b CallerBackend, agent *normalize.Agent, change normalize.Change) []Warning {
	var warnings []Warning
	differs := func(pointer string) {
		warnings = append(warnings, warning("not_persisted", pointer, b.Name, "the backend took this and shows another value"))
	}
	for _, f := range normalize.AllFields() {
		want, sent := change.Set[f]
		readable := b.Info.Rule(f).In&(adapters.InList|adapters.InGet) != 0 && !agent.NotLoaded.Has(f)
		if sent && readable && !normalize.Equal(want, agent.Value(f)) {
			differs(f.Pointer())
		}
	}
	have := normalize.Members(agent.Extensions)
	for _, name := range slices.Sorted(maps.Keys(change.Extensions)) {
		switch pointer := normalize.ExtensionPointer(name); {
		case have[name] == nil:
			warnings = append(warnings, warning("unverified", pointer, b.Name, "the backend took this and does not show it"))
		case !normalize.Equal(change.Extensions[name], have[name]):
			differs(pointer)
		}
	}
	return warnings
}

func warned(warnings []Warning, pointer string) bool {
	for _, w := range warnings {
		if w.Path != nil && *w.Path == pointer {
			return true
		}
	}
	return false
}

func warning(code, pointer, backend, message string) Warning {
	w := Warning{Code: code, Message: message}
	if pointer != "" {
		w.Path = &pointer
	}
	if backend != "" {
		w.Backend = &backend
	}
	return w
}

// writtenResponse is a written agent and what there is to say of the writing.
func writtenResponse(status int, agent *normalize.Agent, warnings []Warning, lenient bool) (*response, error) {
	body, err := agent.Encode()
	if err != nil {
		return nil, err
	}
	if warnings == nil {
		warnings = []Warning{}
	}
	encoded, err := json.Marshal(warnings)
	if err != nil {
		return nil, err
	}
	r := &response{status: status, body: payload.New(normalize.AppendMember(body, "warnings", encoded))}
	if lenient {
		r.header("Preference-Applied", "handling=lenient")
	}
	return r, nil
}

// remove deletes an agent for good.
func (g *Gateway) remove(ctx context.Context, caller *Caller, q WriteQuery) (*response, error) {
	b, native, err := locate(caller, q.ID)
	if err != nil {
		return nil, err
	}
	if _, err := b.Endpoint(ctx, Call{Op: adapters.OpDelete, Credential: b.Credential, NativeID: native}); err != nil {
		return nil, backendProblem(b.Name, adapters.OpDelete, err)
	}
	return &response{status: 204}, nil
}
