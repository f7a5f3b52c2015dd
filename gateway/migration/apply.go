package migration

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/gateway/agents"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// ApplyInput is the body of POST …/apply.
type ApplyInput struct {
	PlanHash string   `json:"plan_hash"` // of the plan to apply
	Accept   []string `json:"accept"`    // names of losses to accept, such as "data_loss:/avatar"
}

// Apply creates the target, and takes it out of service where the provider created it active.
// If the outcome of an earlier create is unknown, it first looks
// for the agent which that may have created, so that there is never a second target.
func (s *Service) Apply(ctx context.Context, r Request, body ApplyInput) (*View, error) {
	if err := checkAccept(body.Accept); err != nil {
		return nil, err
	}
	return s.runStep(ctx, r, migrate.StepApply, func(ctx context.Context, m *migration) error {
		if body.PlanHash != m.row.PlanHash {
			return problem.New(problem.CodePlanStale, "plan_hash is not the hash of the current plan of migration %s; read the migration, and apply its plan_hash", m.row.ID)
		}
		if m.row.Target != "" && m.row.State != migrate.OutcomeUnknown { // applied already
			_, err := m.readTarget(ctx)
			return err
		}
		plan := m.doc.plan()
		if plan.State() != migrate.Ready {
			return blockedProblem(plan)
		}
		if p := lossesProblem(plan.Losses(), body.Accept); p != nil {
			return p
		}
		m.doc.Accepted = body.Accept
		return m.apply(ctx, plan)
	})
}

// apply finds or creates the target, and verifies it. Each state is saved before the next
// request is sent.
func (m *migration) apply(ctx context.Context, plan migrate.Plan) error {
	attempt, err := m.loadAttempt()
	if err != nil {
		return err
	}
	attempt.Persist = func(ctx context.Context, a *agents.CreateAttempt) error {
		m.row.State, m.row.Attempt = migrate.OutcomeUnknown, agents.MustMarshal(a)
		return m.save(ctx, migrate.StepApply, "source stored; sending the create request", creating)
	}
	var agent *normalize.Agent
	if attempt.OutcomeUnknown {
		agent, err = m.service.Agents.Reconcile(ctx, m.target, plan.Change, attempt)
		if gone := attempt.NativeID != "" && err != nil && problem.Of(err).Code == problem.CodeAgentNotFound; gone {
			agent, err = nil, nil // it was created, and deleted since
		}
		if err != nil {
			return m.outcomeUnknown(ctx, err)
		}
	}
	if agent == nil {
		if m.row.State == migrate.OutcomeUnknown {
			m.row.State, m.row.Attempt = migrate.Ready, nil
			if err := m.save(ctx, migrate.StepApply, "the earlier create request created no agent"); err != nil {
				return err
			}
		}
		if err := m.storeSource(ctx); err != nil {
			return err
		}
		if agent, err = m.service.Agents.SendCreate(ctx, m.target, plan.Change, attempt); err != nil {
			attempt.Finish("")
			return m.createFailed(ctx, attempt, err)
		}
	}
	defer attempt.Finish("") // if it cannot be saved, the next apply finds the agent
	attempt.NativeID = agent.NativeID
	m.row.Target, m.row.Attempt = agent.ID, agents.MustMarshal(attempt)
	if err := m.save(ctx, migrate.StepApply, "created "+agent.ID, creating); err != nil {
		return err
	}
	attempt.Finish(agent.NativeID)
	if err := m.deactivateCreated(ctx); err != nil {
		return err
	}
	if detail, err := m.service.Agents.ReadFresh(ctx, m.target, agent.NativeID); err == nil {
		m.doc.TargetETag = detail.ETag()
		m.recordVerification(detail, false)
	} else {
		m.warnings = append(m.warnings, problem.NewWarning("unverified", "", m.target.Name, "the target was created but could not be read back; verify it"))
	}
	m.row.State, m.row.Attempt = migrate.Applied, nil
	return m.save(ctx, migrate.StepApply, "applied")
}

// deactivateCreated takes the target out of service, if the plan says so. If it fails, the
// next apply does it.
func (m *migration) deactivateCreated(ctx context.Context) error {
	if m.doc.Deactivate == "" {
		return nil
	}
	target, err := m.readTarget(ctx)
	if err != nil {
		return err
	}
	if m.doc.TargetETag == "" { // else that of an earlier attempt, which tells a change by somebody else
		m.doc.TargetETag = target.ETag()
	}
	return m.setStatus(ctx, migrate.StepApply, target, m.doc.Deactivate)
}

// loadAttempt returns the state of an earlier create request, the zero Attempt if there was
// none.
func (m *migration) loadAttempt() (*agents.CreateAttempt, error) {
	attempt := &agents.CreateAttempt{}
	if len(m.row.Attempt) > 0 {
		if err := json.Unmarshal(m.row.Attempt, attempt); err != nil {
			return nil, fmt.Errorf("decode the stored create attempt: %w", err)
		}
	}
	return attempt, nil
}

// storeSource stores the source as it is now, if it has not changed since it was planned.
func (m *migration) storeSource(ctx context.Context) error {
	source, err := m.readSource(ctx)
	if err != nil {
		return err
	}
	if source.ETag() != m.doc.SourceETag {
		return problem.New(problem.CodePlanStale, "%s has changed since it was planned; plan again", m.row.Source)
	}
	m.doc.SourceBefore = source.BodyWithRaw().Plain()
	return nil
}

// createFailed saves the state after a failed create request, and returns the problem.
func (m *migration) createFailed(ctx context.Context, attempt *agents.CreateAttempt, err error) error {
	if attempt.OutcomeUnknown {
		m.row.Attempt = agents.MustMarshal(attempt)
		return m.outcomeUnknown(ctx, err)
	}
	p := problem.Of(err)
	if m.row.State != migrate.OutcomeUnknown { // the request was not sent
		return err
	}
	m.row.State, m.row.Attempt = migrate.Ready, nil
	if p.Upstream != nil && (p.Upstream.Status == 400 || p.Upstream.Status == 422) {
		m.row.State = migrate.Failed
	}
	if saveErr := m.save(ctx, migrate.StepApply, "no target was created: "+string(p.Code)); saveErr != nil {
		return saveErr
	}
	return err
}

// outcomeUnknown saves that a target may exist, and returns the problem. The step can be
// repeated safely.
func (m *migration) outcomeUnknown(ctx context.Context, err error) error {
	p := problem.Of(err)
	m.row.State = migrate.OutcomeUnknown
	if saveErr := m.save(ctx, migrate.StepApply, "the outcome of the create request is unknown: "+string(p.Code)); saveErr != nil {
		return saveErr
	}
	if p.Code != problem.CodeWriteOutcomeUnknown {
		return p
	}
	retry := *p
	retry.Retryable, retry.RetryAfter = true, time.Second
	retry.Detail += "; apply again: the gateway first looks for the created agent"
	return &retry
}
