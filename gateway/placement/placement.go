// Package placement chooses the backend for a new agent, and validates it against that
// backend's capabilities.
package placement

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// Placement is a change that a backend supports, with a warning for each field that was dropped
// from it.
type Placement struct {
	Backend  auth.CallerBackend
	Change   normalize.Change
	Warnings []problem.Warning
}

// Choose chooses the backend for a new agent. The violations are those found in the body so far.
func Choose(caller *auth.Caller, body normalize.Body, violations []normalize.Violation, lenient bool) (Placement, error) {
	if slices.ContainsFunc(violations, func(v normalize.Violation) bool { return v.Pointer == normalize.FieldBackend.Pointer() }) {
		return Placement{}, problem.Invalid("", violations)
	}
	switch body.Backend {
	case "":
		return placeAtOnly(caller, body, violations, lenient)
	case normalize.AutoBackend:
		if len(violations) > 0 {
			return Placement{}, problem.Invalid("", violations)
		}
		return placeAnywhere(caller, body, lenient)
	}
	b, ok := caller.Backend(body.Backend)
	if !ok {
		return Placement{}, problem.InvalidField("/backend", normalize.InvalidValue, auth.UnknownBackend(caller, body.Backend).Detail)
	}
	if err := b.CheckSupport(adapters.OpCreate); err != nil {
		return Placement{}, err
	}
	return placeAt(b, body, violations, lenient)
}

// placeAtOnly places an agent whose body names no backend: the key must map to exactly one that
// supports create, so that a field more or less never changes where an agent is created.
func placeAtOnly(caller *auth.Caller, body normalize.Body, violations []normalize.Violation, lenient bool) (Placement, error) {
	var candidates []auth.CallerBackend
	for _, b := range caller.Backends {
		if b.Info.Supports(adapters.OpCreate) {
			candidates = append(candidates, b)
		}
	}
	switch len(candidates) {
	case 0:
		return Placement{}, noBackendFits(caller, body)
	case 1:
		return placeAt(candidates[0], body, violations, lenient)
	}
	names := auth.BackendNames(slices.DeleteFunc(candidates, func(b auth.CallerBackend) bool { return len(restrictions(b, body)) > 0 }))
	if len(names) == 0 {
		return Placement{}, noBackendFits(caller, body)
	}
	message := fmt.Sprintf("send the backend to create the agent at: %s; or %q for the first that supports every field", strings.Join(names, ", "), normalize.AutoBackend)
	p := problem.New(problem.CodeBackendRequired, "/backend: %s", message)
	p.Errors = problem.Bounded(append([]normalize.Violation{{Pointer: "/backend", Code: normalize.Required, Message: message}}, violations...))
	return Placement{}, p
}

// placeAnywhere places an agent at the first backend, in the order of the configuration, that
// supports every field. If lenient, fields are dropped only if no backend supports them all.
func placeAnywhere(caller *auth.Caller, body normalize.Body, lenient bool) (Placement, error) {
	for _, drop := range []bool{false, true} {
		if drop && !lenient {
			break
		}
		for _, b := range caller.Backends {
			if !b.Info.Supports(adapters.OpCreate) {
				continue
			}
			p, err := placeAt(b, body, nil, drop)
			if err != nil {
				continue
			}
			reason := "it is the first backend of the configuration that supports every field"
			if len(p.Warnings) > 0 {
				reason = "no backend supports every field; this is the first that supports the others"
			}
			p.Warnings = append([]problem.Warning{problem.NewWarning("backend_chosen", "/backend", b.Name, reason)}, p.Warnings...)
			return p, nil
		}
	}
	return Placement{}, noBackendFits(caller, body)
}

// noBackendFits returns the problem of an agent that no backend of the caller can create. It says
// why for each.
func noBackendFits(caller *auth.Caller, body normalize.Body) *problem.Problem {
	var reasons []string
	var violations []normalize.Violation
	for _, b := range caller.Backends {
		if !b.Info.Supports(adapters.OpCreate) {
			reasons = append(reasons, b.Name+": does not support create")
			continue
		}
		_, err := placeAt(b, body, nil, false)
		if err == nil {
			continue
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
	return p
}

// restrictions returns the violations of a body whose provider or modality the backend does not
// have.
func restrictions(b auth.CallerBackend, body normalize.Body) []normalize.Violation {
	var found []normalize.Violation
	if body.Provider != "" && body.Provider != b.Info.Provider {
		found = append(found, normalize.Violation{Pointer: normalize.FieldProvider.Pointer(), Code: normalize.InvalidValue,
			Message: fmt.Sprintf("%q is not the provider of backend %s, which is %s", normalize.Shorten(body.Provider), b.Name, b.Info.Provider)})
	}
	architecture, _ := body.Text(normalize.FieldArchitecture)
	if body.Modality != "" && !b.Info.CreatesModality(body.Modality, architecture) {
		found = append(found, normalize.Violation{Pointer: normalize.FieldModality.Pointer(), Code: normalize.InvalidValue,
			Message: fmt.Sprintf("%q: %s creates agents of modality %s", normalize.Shorten(body.Modality), b.Info.Title, b.Info.ModalityOf(architecture))})
	}
	return found
}

// placeAt validates a create against the capabilities of one backend.
func placeAt(b auth.CallerBackend, body normalize.Body, violations []normalize.Violation, lenient bool) (Placement, error) {
	violations = slices.Concat(violations, restrictions(b, body), b.Info.CheckCreate(body.Change))
	p := Placement{Backend: b, Change: body.Change}
	violations = p.DropUnsupported(violations, lenient)
	if len(violations) > 0 {
		return Placement{}, problem.Invalid(b.Name, violations)
	}
	p.Change = p.Change.Keep(isNotNull)
	return p, nil
}

// DropUnsupported removes the fields that the backend does not support from the change, with a
// warning each, and returns the violations that remain. If lenient is false, it does nothing.
func (p *Placement) DropUnsupported(violations []normalize.Violation, lenient bool) []normalize.Violation {
	if !lenient {
		return violations
	}
	var remaining []normalize.Violation
	dropped := map[string]bool{}
	for _, v := range violations {
		if v.Code != normalize.Unsupported {
			remaining = append(remaining, v)
			continue
		}
		dropped[v.Pointer] = true
		p.Warnings = append(p.Warnings, problem.NewWarning("unsupported", normalize.Shorten(v.Pointer), p.Backend.Name, p.Backend.Info.Title+" does not support this field; it was dropped"))
	}
	if len(dropped) > 0 {
		p.Change = p.Change.Keep(func(pointer string, _ jsontext.Value) bool { return !dropped[pointer] })
	}
	return remaining
}

// isNotNull selects the values of a create: null is the same as leaving a field out.
func isNotNull(_ string, v jsontext.Value) bool { return v.Kind() != 'n' }
