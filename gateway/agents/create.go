package agents

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/payload"
	"github.com/agentgw/agentgw/gateway/placement"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// WriteQuery is a create, update or delete as the caller sent it.
type WriteQuery struct {
	ID            string // update, delete: from the request's path, an agent id or an alias
	Body          []byte // create, update
	Lenient       bool   // Prefer: handling=lenient
	IgnoreAliases bool   // update, delete: resolve=none
	// DryRun returns the requests that would be sent to the backend, and sends none of them.
	DryRun         bool
	IfMatch        []string // update, delete: the lines of the header
	IdempotencyKey string   // create; empty for none. An update only warns of it
}

// createAgent creates an agent at the backend that the body names, or at the first that supports
// all of its fields. The body is validated before any backend is called.
//
// The attempt records the progress. If it is one whose outcome is unknown, createAgent first
// looks for the agent that it created, and sends another create only if there certainly is none.
func (s *Service) createAgent(ctx context.Context, caller *auth.Caller, q WriteQuery, attempt *CreateAttempt) (*Result, error) {
	body, violations, err := normalize.ParseBody(q.Body)
	if err != nil {
		return nil, problem.New(problem.CodeInvalidBody, "%s", err)
	}
	if attempt.OutcomeUnknown {
		body.Backend = attempt.Backend
	}
	p, err := placement.Choose(caller, body, violations, q.Lenient)
	if err != nil {
		return nil, err
	}
	b := p.Backend
	change, activate := p.Change, false
	if b.Info.CreatesInactive {
		status, _ := change.Text(normalize.FieldStatus)
		activate = status == normalize.StatusActive
		change = change.Without(normalize.FieldStatus)
	}
	if q.DryRun {
		return dryRunCreate(ctx, p, change, activate, q.Lenient)
	}

	var agent *normalize.Agent
	if attempt.OutcomeUnknown {
		if agent, err = s.Reconcile(ctx, b, change, attempt); err != nil {
			return nil, err
		}
	}
	if agent == nil {
		if agent, err = s.SendCreate(ctx, b, change, attempt); err != nil {
			return nil, err
		}
	}
	if activate {
		p.Warnings = append(p.Warnings, s.activate(ctx, b, agent.NativeID)...)
	}
	agent, attempt.warnings = s.readBack(ctx, p, agent)
	r, err := createdResult(agent, attempt.warnings, q.Lenient)
	if err != nil {
		return nil, err
	}
	attempt.OutcomeUnknown = false
	r.Changed = p.Change.Pointers()
	return r, nil
}

func createdResult(agent *normalize.Agent, warnings []problem.Warning, lenient bool) (*Result, error) {
	r, err := writtenResult(agent, warnings, lenient)
	if err != nil {
		return nil, err
	}
	r.Created = true
	return r, nil
}

// SendCreate sends a create to the backend, at most once, and records its outcome in the attempt.
// If the attempt has a Persist function, the caller must call [CreateAttempt.Finish] once it has
// stored the outcome.
func (s *Service) SendCreate(ctx context.Context, b auth.CallerBackend, change normalize.Change, attempt *CreateAttempt) (*normalize.Agent, error) {
	if err := attempt.begin(ctx, b, cachedAgentsNamed(ctx, b, change)); err != nil {
		return nil, err
	}
	end := s.ledger.begin(b, change)
	createdID := ""
	defer func() {
		if attempt.Persist != nil {
			attempt.endLedgerEntry = end
			return
		}
		end(createdID)
	}()
	result, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpCreate, Credential: b.Credential, Change: change})
	if err != nil {
		p := problem.FromBackend(b.Name, adapters.OpCreate, err)
		attempt.recordFailure(b, err, p.Code == problem.CodeWriteOutcomeUnknown)
		return nil, p
	}
	createdID = result.Created.NativeID
	attempt.NativeID = createdID
	return result.Created, nil
}

var activation = normalize.Change{Set: map[normalize.Field]jsontext.Value{normalize.FieldStatus: []byte(`"` + normalize.StatusActive + `"`)}}

// activate activates an agent that was just created inactive. A failure is a warning: the agent
// exists.
func (s *Service) activate(ctx context.Context, b auth.CallerBackend, nativeID string) []problem.Warning {
	_, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpUpdate, Credential: b.Credential, NativeID: nativeID, Change: activation})
	if err == nil {
		return nil
	}
	p := problem.FromBackend(b.Name, adapters.OpUpdate, err)
	message := fmt.Sprintf("the agent was created but could not be activated (%s); set its status to %s with PATCH", p.Code, normalize.StatusActive)
	return []problem.Warning{problem.NewWarning("activation_failed", normalize.FieldStatus.Pointer(), b.Name, message)}
}

// writtenResult returns a written agent with the warnings of the write. It has an entity tag only
// if the agent was read in full.
func writtenResult(agent *normalize.Agent, warnings []problem.Warning, lenient bool) (*Result, error) {
	body, err := agent.Encode()
	if err != nil {
		return nil, err
	}
	r := &Result{Agent: refOf(agent), Lenient: lenient, Body: payload.New(body)}
	r.addMember("warnings", problem.BoundedWarnings(append(warnings, problem.FromProvider(agent.Backend, agent.Warnings)...), problem.MaxWarnings))
	if agent.NotLoaded.Len() == 0 {
		revision, err := agent.Revision()
		if err != nil {
			return nil, err
		}
		r.ETag = catalog.ETag(revision)
	}
	return r, nil
}
