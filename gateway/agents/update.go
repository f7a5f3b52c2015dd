package agents

import (
	"context"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// Update applies a JSON merge patch (RFC 7396) to an agent. Violations that do not depend on the
// agent's current state are reported before any backend is called. The agent is read only if the
// patch has values that must be compared with the current ones; so an agent that was read can be
// edited and sent back whole, with its read-only fields.
func (s *Service) Update(ctx context.Context, caller *auth.Caller, q WriteQuery) (*Result, error) {
	to, release, err := s.Aliases.LockTarget(ctx, caller, q.ID, q.IgnoreAliases)
	if err != nil {
		return nil, err
	}
	defer release()
	r, err := s.updateTarget(ctx, to, q)
	if err == nil && to.Alias != "" && !q.DryRun {
		r.addResolvedFrom(to)
	}
	return r, err
}

func (s *Service) updateTarget(ctx context.Context, to alias.Target, q WriteQuery) (*Result, error) {
	b := to.Backend
	if err := b.CheckSupport(adapters.OpUpdate); err != nil {
		return nil, err
	}
	p, err := parsePatch(b, q)
	if err != nil {
		return nil, err
	}
	if q.DryRun {
		return dryRunUpdate(ctx, to.NativeID, p, q)
	}
	release, err := s.takeTurn(ctx, b, to.NativeID)
	if err != nil {
		return nil, err
	}
	defer release()
	if len(q.IfMatch) > 0 || p.needsAgent() {
		current, err := s.readMatching(ctx, b, to.NativeID, q.IfMatch)
		if err != nil {
			return nil, err
		}
		if p, err = p.diff(current); err != nil {
			return nil, err
		}
		if p.change.Empty() {
			return writtenResult(current, p.warnings, q.Lenient)
		}
	}
	if _, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpUpdate, Credential: b.Credential, NativeID: to.NativeID, Change: p.change}); err != nil {
		return nil, problem.FromBackend(b.Name, adapters.OpUpdate, err)
	}
	agent, warnings := s.readBack(ctx, p.placement, unreadAgent(b, to.NativeID))
	return writtenResult(agent, warnings, q.Lenient)
}

// parsePatch parses and validates the body of an update.
func parsePatch(b auth.CallerBackend, q WriteQuery) (patch, error) {
	body, violations, err := normalize.ParseBody(q.Body)
	if err != nil {
		return patch{}, problem.New(problem.CodeInvalidBody, "%s", err)
	}
	if body.Backend != "" && body.Backend != b.Name {
		violations = append(violations, normalize.Violation{Pointer: "/backend", Code: normalize.Immutable, Message: "an agent cannot be moved to another backend by a patch; start a migration instead"})
	}
	found, verdicts := b.Info.CheckUpdate(body.Change, body.Echo)
	p := patch{placement: placement{backend: b, change: body.Change}, verdicts: verdicts, roundTrip: body.Echo, lenient: q.Lenient}
	p.placement, violations = dropUnsupported(p.placement, append(violations, found...), q.Lenient)
	if len(violations) > 0 {
		return patch{}, problem.Invalid(b.Name, violations)
	}
	return p, nil
}
