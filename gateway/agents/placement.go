package agents

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// placement is a change that a backend can hold, and what was dropped to make it so.
type placement struct {
	backend  auth.CallerBackend
	change   normalize.Change
	warnings []problem.Warning
}

// place finds the backend for a new agent.
func place(caller *auth.Caller, body normalize.Body, violations []normalize.Violation, lenient bool) (placement, error) {
	if body.Backend != "" {
		b, ok := caller.Backend(body.Backend)
		if !ok {
			p := auth.UnknownBackend(caller, body.Backend)
			p.Errors = []normalize.Violation{{Pointer: "/backend", Code: normalize.InvalidValue, Message: p.Detail}}
			return placement{}, p
		}
		if err := b.CheckSupport(adapters.OpCreate); err != nil {
			return placement{}, err
		}
		return placeAt(b, body.Change, violations, lenient)
	}
	if len(violations) > 0 {
		return placement{}, problem.Invalid("", violations)
	}
	strict, problem := firstFittingBackend(caller, body.Change, false)
	if problem == nil {
		return strict, nil
	}
	if lenient { // only if none holds all of it
		if forgiving, problem := firstFittingBackend(caller, body.Change, true); problem == nil {
			return forgiving, nil
		}
	}
	return placement{}, problem
}

// firstFittingBackend is the first backend, in the order of the configuration, that
// can hold the agent; the problem says of each why it cannot.
func firstFittingBackend(caller *auth.Caller, change normalize.Change, lenient bool) (placement, *problem.Problem) {
	var reasons []string
	var violations []normalize.Violation
	for _, b := range caller.Backends {
		if !b.Info.Supports(adapters.OpCreate) {
			reasons = append(reasons, b.Name+": has no create")
			continue
		}
		p, err := placeAt(b, change, nil, lenient)
		if err == nil {
			return p, nil
		}
		problem := problem.Of(err)
		reasons = append(reasons, b.Name+": "+problem.Detail)
		for _, v := range problem.Errors {
			v.Message = b.Name + ": " + v.Message
			violations = append(violations, v)
		}
	}
	p := problem.New(problem.CodeNoBackendFits, "%s", strings.Join(reasons, "; "))
	if len(reasons) == 0 {
		p.Detail = "the key maps to no backend"
	}
	p.Errors = problem.Bounded(violations)
	return placement{}, p
}

func placeAt(b auth.CallerBackend, change normalize.Change, violations []normalize.Violation, lenient bool) (placement, error) {
	violations = append(violations[:len(violations):len(violations)], b.Info.CheckCreate(change)...)
	p, violations := dropUnsupported(placement{backend: b, change: change}, violations, lenient)
	if len(violations) > 0 {
		return placement{}, problem.Invalid(b.Name, violations)
	}
	p.change = p.change.Keep(isNotNull)
	return p, nil
}

// dropUnsupported drops what a backend cannot hold, one warning each, if the caller
// asked for that; all else stays a violation.
func dropUnsupported(p placement, violations []normalize.Violation, lenient bool) (placement, []normalize.Violation) {
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
		p.warnings = append(p.warnings, problem.NewWarning("unsupported", v.Pointer, p.backend.Name, p.backend.Info.Title+" cannot hold this; it was dropped"))
	}
	if len(dropped) > 0 {
		p.change = p.change.Keep(func(pointer string, _ jsontext.Value) bool { return !dropped[pointer] })
	}
	return p, left
}

// isNotNull: in a create, null sets nothing.
func isNotNull(_ string, v jsontext.Value) bool { return v.Kind() != 'n' }
