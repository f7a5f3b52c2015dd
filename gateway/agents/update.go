package agents

import (
	"context"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// Update changes an agent by a JSON merge patch (RFC 7396). What is wrong
// whatever the agent is like is answered before any backend is asked. What
// cannot be written but may be just what was read is held against the agent,
// which is read only then; so GET, edit, PATCH works.
func (s *Service) Update(ctx context.Context, caller *auth.Caller, q WriteQuery) (*Result, error) {
	to, release, err := s.Aliases.Lock(ctx, caller, q.ID, q.IgnoreAliases)
	if err != nil {
		return nil, err
	}
	defer release()
	r, err := s.updateAt(ctx, to.Backend, to.NativeID, q)
	if err == nil && to.Alias != "" && !q.DryRun {
		r.addResolvedFrom(to)
	}
	return r, err
}

func (s *Service) updateAt(ctx context.Context, b auth.CallerBackend, native string, q WriteQuery) (*Result, error) {
	if err := b.CheckSupport(adapters.OpUpdate); err != nil {
		return nil, err
	}
	body, violations, err := normalize.ParseBody(q.Body)
	if err != nil {
		return nil, problem.New(problem.CodeInvalidBody, "%s", err)
	}
	if body.Backend != "" && body.Backend != b.Name {
		violations = append(violations, normalize.Violation{Pointer: "/backend", Code: normalize.Immutable, Message: "an agent stays at its backend"})
	}
	found, verdicts := b.Info.CheckUpdate(body.Change, body.Echo)
	p, violations := dropUnsupported(placement{backend: b, change: body.Change}, append(violations, found...), q.Lenient)
	if len(violations) > 0 {
		return nil, problem.Invalid(b.Name, violations)
	}

	if q.DryRun {
		return dryRunUpdate(ctx, b, native, p, verdicts, body.Echo, q)
	}
	if len(q.IfMatch) > 0 || needsAgent(b.Info, p.change, verdicts, body.Echo) {
		current, err := s.readMatching(ctx, b, native, q.IfMatch)
		if err != nil {
			return nil, err
		}
		if p, err = diff(p, verdicts, body.Echo, q.Lenient, current); err != nil {
			return nil, err
		}
		if p.change.Empty() { // the agent is as it shall be
			return writtenResult(current, p.warnings, q.Lenient)
		}
	}
	return s.sendUpdate(ctx, b, native, p, q.Lenient)
}

// diff holds a patch against the agent: what is left is what changes it.
func diff(p placement, verdicts map[normalize.Field]adapters.Verdict, roundTrip, lenient bool, current *normalize.Agent) (placement, error) {
	if roundTrip {
		p = withoutUnread(p, verdicts, current)
	}
	var violations []normalize.Violation
	p.change, violations = compare(p.backend.Info, p.change, verdicts, current)
	if p, violations = dropUnsupported(p, violations, lenient); len(violations) > 0 {
		return placement{}, problem.Invalid(p.backend.Name, violations)
	}
	return p, nil
}

func (s *Service) sendUpdate(ctx context.Context, b auth.CallerBackend, native string, p placement, lenient bool) (*Result, error) {
	if _, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpUpdate, Credential: b.Credential, NativeID: native, Change: p.change}); err != nil {
		return nil, problem.FromBackend(b.Name, adapters.OpUpdate, err)
	}
	agent, more := s.readBack(ctx, b, native, p.change, unreadAgent(b, native), p.warnings)
	return writtenResult(agent, append(p.warnings, more...), lenient)
}

// needsAgent reports whether a patch can only be judged, or only be made, with
// the agent at hand.
func needsAgent(info *adapters.Info, change normalize.Change, verdicts map[normalize.Field]adapters.Verdict, roundTrip bool) bool {
	return change.Empty() || len(unjudged(info, change, verdicts, roundTrip)) > 0
}

// unjudged are the pointers of what can only be judged with the agent at hand.
func unjudged(info *adapters.Info, change normalize.Change, verdicts map[normalize.Field]adapters.Verdict, roundTrip bool) []string {
	var pointers []string
	for _, f := range normalize.AllFields() {
		if v, sent := change.Set[f]; sent && (verdicts[f] != adapters.Writable || v.Kind() == 'n') {
			pointers = append(pointers, f.Pointer())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(change.Extensions)) {
		v := change.Extensions[name]
		rule, ok := info.Extension(name)
		if roundTrip || !ok || rule.In&adapters.InUpdate == 0 || v.Kind() == 'n' || v.Kind() == '{' {
			pointers = append(pointers, normalize.ExtensionPointer(name))
		}
	}
	return pointers
}

// withoutUnread leaves out of an echo what cannot be changed and could not be
// read this time: there is nothing to hold it against. That is said.
func withoutUnread(p placement, verdicts map[normalize.Field]adapters.Verdict, current *normalize.Agent) placement {
	unread := map[string]bool{}
	for _, f := range normalize.AllFields() {
		if _, sent := p.change.Set[f]; sent && current.NotLoaded.Has(f) && verdicts[f] != adapters.Writable {
			unread[f.Pointer()] = true
			p.warnings = append(p.warnings, problem.NewWarning("unverified", f.Pointer(), p.backend.Name, "this cannot be changed, and could not be read to see whether it was meant to be"))
		}
	}
	p.change = p.change.Keep(func(pointer string, _ jsontext.Value) bool { return !unread[pointer] })
	return p
}

// compare leaves of a patch what differs from the agent, and names what
// differs but cannot be written.
func compare(info *adapters.Info, change normalize.Change, verdicts map[normalize.Field]adapters.Verdict, current *normalize.Agent) (normalize.Change, []normalize.Violation) {
	left := normalize.Change{Set: map[normalize.Field]jsontext.Value{}, Extensions: map[string]jsontext.Value{}}
	var found []normalize.Violation
	for _, f := range normalize.AllFields() {
		value, sent := change.Set[f]
		if !sent || normalize.Equal(value, current.Value(f)) {
			continue
		}
		switch {
		case verdicts[f] == adapters.NotShown: // null, for what there is not
		case verdicts[f] == adapters.ReadOnly:
			found = append(found, normalize.Violation{Pointer: f.Pointer(), Code: normalize.Unsupported, Message: info.Title + " shows this and cannot change it"})
		case verdicts[f] == adapters.FixedLater:
			found = append(found, normalize.Violation{Pointer: f.Pointer(), Code: normalize.Immutable, Message: info.Title + " fixes this when an agent is created"})
		case verdicts[f] == adapters.OutOfLimit:
			found = append(found, info.CheckValue(f, value)...)
		case value.Kind() == 'n':
			found = append(found, normalize.Violation{Pointer: f.Pointer(), Code: normalize.InvalidValue, Message: info.Title + " does not document that this can be cleared"})
		default:
			left.Set[f] = value
		}
	}
	have := normalize.Members(current.Extensions)
	for _, name := range slices.Sorted(maps.Keys(change.Extensions)) {
		merged, err := normalize.MergePatch(have[name], change.Extensions[name])
		if err != nil {
			found = append(found, normalize.Violation{Pointer: normalize.ExtensionPointer(name), Code: normalize.InvalidValue, Message: "cannot be merged"})
			continue
		}
		if normalize.Equal(merged, have[name]) || merged.Kind() == 'n' && have[name] == nil {
			continue
		}
		if wrong := info.CheckExtension(name, merged, adapters.InUpdate); len(wrong) > 0 {
			found = append(found, wrong...)
			continue
		}
		left.Extensions[name] = merged
	}
	return left, found
}
