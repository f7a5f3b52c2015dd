package agents

import (
	"context"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/placement"
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
	if q.IdempotencyKey != "" {
		p.Warnings = append(p.Warnings, problem.NewWarning("idempotency_key_ignored", "", b.Name, "Idempotency-Key is supported on POST /v1/agents only; use If-Match to make an update safe to repeat"))
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
		if p.Change.Empty() {
			return writtenResult(current, p.Warnings, q.Lenient)
		}
	}
	if _, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpUpdate, Credential: b.Credential, NativeID: to.NativeID, Change: p.Change}); err != nil {
		return nil, b.Problem(adapters.OpUpdate, to.NativeID, err)
	}
	agent, warnings := s.readBack(ctx, p.Placement, unreadAgent(b, to.NativeID))
	r, err := writtenResult(agent, warnings, q.Lenient)
	if err == nil {
		r.Changed = p.Change.Pointers()
	}
	return r, err
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
	if body.Provider != "" && body.Provider != b.Info.Provider {
		violations = append(violations, normalize.Violation{Pointer: "/provider", Code: normalize.Immutable, Message: "an agent cannot be moved to another provider by a patch; start a migration instead"})
	}
	if body.Modality != "" && !b.Info.CreatesModality(body.Modality, "") {
		violations = append(violations, normalize.Violation{Pointer: "/modality", Code: normalize.Immutable, Message: b.Info.Title + " has no agents of this modality"})
	}
	found, verdicts := b.Info.CheckUpdate(body.Change, body.Echo)
	p := patch{Placement: placement.Placement{Backend: b, Change: body.Change}, verdicts: verdicts, roundTrip: body.Echo, lenient: q.Lenient}
	violations = p.DropUnsupported(append(violations, found...), q.Lenient)
	if len(violations) > 0 {
		return patch{}, problem.Invalid(b.Name, violations)
	}
	return p, nil
}
