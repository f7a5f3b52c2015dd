package agents

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// placement is a change that a backend supports, with a warning for each field that was dropped
// from it.
type placement struct {
	backend  auth.CallerBackend
	change   normalize.Change
	warnings []problem.Warning
}

// place chooses the backend for a new agent. The violations are those found in the body so far.
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
	strict, noFit := firstFittingBackend(caller, body.Change, false)
	if noFit == nil {
		return strict, nil
	}
	if lenient { // fields are dropped only if no backend supports them all
		if p, problem := firstFittingBackend(caller, body.Change, true); problem == nil {
			return p, nil
		}
	}
	return placement{}, noFit
}

// firstFittingBackend returns the placement at the first backend, in the order of the
// configuration, that can create the agent. If there is none, the problem states why for each.
func firstFittingBackend(caller *auth.Caller, change normalize.Change, lenient bool) (placement, *problem.Problem) {
	var reasons []string
	var violations []normalize.Violation
	for _, b := range caller.Backends {
		if !b.Info.Supports(adapters.OpCreate) {
			reasons = append(reasons, b.Name+": does not support create")
			continue
		}
		p, err := placeAt(b, change, nil, lenient)
		if err == nil {
			return p, nil
		}
		rejection := problem.Of(err)
		reasons = append(reasons, b.Name+": "+rejection.Detail)
		for _, v := range rejection.Errors {
			v.Message = b.Name + ": " + v.Message
			violations = append(violations, v)
		}
	}
	p := problem.New(problem.CodeNoBackendFits, "%s", strings.Join(reasons, "; "))
	if len(reasons) == 0 {
		p.Detail = "the API key has no credential for any backend"
	}
	p.Errors = problem.Bounded(violations)
	return placement{}, p
}

// placeAt validates a create against the capabilities of one backend.
func placeAt(b auth.CallerBackend, change normalize.Change, violations []normalize.Violation, lenient bool) (placement, error) {
	violations = append(violations[:len(violations):len(violations)], b.Info.CheckCreate(change)...)
	p, violations := dropUnsupported(placement{backend: b, change: change}, violations, lenient)
	if len(violations) > 0 {
		return placement{}, problem.Invalid(b.Name, violations)
	}
	p.change = p.change.Keep(isNotNull)
	return p, nil
}

// dropUnsupported removes the fields that the backend does not support, with a warning each, and
// returns the violations that remain. If lenient is false, it does nothing.
func dropUnsupported(p placement, violations []normalize.Violation, lenient bool) (placement, []normalize.Violation) {
	if !lenient {
		return p, violations
	}
	var remaining []normalize.Violation
	dropped := map[string]bool{}
	for _, v := range violations {
		if v.Code != normalize.Unsupported {
			remaining = append(remaining, v)
			continue
		}
		dropped[v.Pointer] = true
		p.warnings = append(p.warnings, problem.NewWarning("unsupported", normalize.Shorten(v.Pointer), p.backend.Name, p.backend.Info.Title+" does not support this field; it was dropped"))
	}
	if len(dropped) > 0 {
		p.change = p.change.Keep(func(pointer string, _ jsontext.Value) bool { return !dropped[pointer] })
	}
	return p, remaining
}

// isNotNull selects the values of a create: null is the same as leaving a field out.
func isNotNull(_ string, v jsontext.Value) bool { return v.Kind() != 'n' }
