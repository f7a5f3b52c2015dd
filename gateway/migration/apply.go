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
	PlanHash string   `json:"plan_hash"`
	Accept   []string `json:"accept"`
}

// Apply makes the target, once: what may have been made by an apply before
// is looked for first.
func (s *Service) Apply(ctx context.Context, r Request, body ApplyInput) (*View, error) {
	return s.runStep(ctx, r, migrate.StepApply, func(ctx context.Context, m *migration) error {
		if body.PlanHash != m.row.PlanHash {
			return problem.New(problem.CodePlanStale, "plan_hash is not that of the plan that migration %s has now; read it again", m.row.ID)
		}
		if m.row.Target != "" && m.row.State != migrate.OutcomeUnknown {
			return nil // it is done
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

func (m *migration) apply(ctx context.Context, plan migrate.Plan) error {
	b := m.target
	try, err := m.loadAttempt()
	if err != nil {
		return err
	}
	try.Persist = func(ctx context.Context, a *agents.CreateAttempt) error {
		m.row.State, m.row.Attempt = migrate.OutcomeUnknown, agents.MustMarshal(a)
		return m.save(ctx, migrate.StepApply, "the agent as it was is kept; the create is sent")
	}
	var agent *normalize.Agent
	if try.OutcomeUnknown {
		agent, err = m.service.Agents.Reconcile(ctx, b, plan.Change, try)
		if gone := try.NativeID != "" && err != nil && problem.Of(err).Code == problem.CodeAgentNotFound; gone {
			agent, err = nil, nil // it was made, and somebody deleted it
		}
		if err != nil {
			return m.outcomeUnknown(ctx, err)
		}
	}
	if agent == nil {
		if m.row.State == migrate.OutcomeUnknown {
			m.row.State, m.row.Attempt = migrate.Ready, nil
			if err := m.save(ctx, migrate.StepApply, "the apply before made no target"); err != nil {
				return err
			}
		}
		if err := m.storeSource(ctx); err != nil {
			return err
		}
		if agent, err = m.service.Agents.SendCreate(ctx, b, plan.Change, try); err != nil {
			try.Finish("")
			return m.createFailed(ctx, try, err)
		}
	}
	defer try.Finish("") // unless it is kept, it is found by the next apply
	try.NativeID = agent.NativeID
	m.row.Target, m.row.Attempt = agent.ID, agents.MustMarshal(try)
	if err := m.save(ctx, migrate.StepApply, "the target is "+agent.ID); err != nil {
		return err
	}
	try.Finish(agent.NativeID)
	if detail, err := m.service.Agents.ReadFresh(ctx, b, agent.NativeID); err == nil {
		m.doc.TargetETag = detail.ETag()
		m.recordVerification(detail, false)
	} else {
		m.warnings = append(m.warnings, problem.NewWarning("unverified", "", b.Name, "the target was made, but could not be read back; verify it"))
	}
	m.row.State, m.row.Attempt = migrate.Applied, nil
	return m.save(ctx, migrate.StepApply, "done")
}

// loadAttempt is how far an apply before this one came.
func (m *migration) loadAttempt() (*agents.CreateAttempt, error) {
	try := &agents.CreateAttempt{}
	if len(m.row.Attempt) > 0 {
		if err := json.Unmarshal(m.row.Attempt, try); err != nil {
			return nil, fmt.Errorf("an attempt cannot be read: %w", err)
		}
	}
	return try, nil
}

// storeSource keeps the source as it is, if it is as it was planned.
func (m *migration) storeSource(ctx context.Context) error {
	source, err := m.readSource(ctx)
	if err != nil {
		return err
	}
	if source.ETag() != m.doc.SourceETag {
		return problem.New(problem.CodePlanStale, "%s was changed since it was planned; plan again", m.row.Source)
	}
	m.doc.SourceBefore = source.BodyWithRaw().Plain()
	return nil
}

// createFailed notes why there is no target, or may be none.
func (m *migration) createFailed(ctx context.Context, try *agents.CreateAttempt, err error) error {
	if try.OutcomeUnknown {
		m.row.Attempt = agents.MustMarshal(try)
		return m.outcomeUnknown(ctx, err)
	}
	p := problem.Of(err)
	if m.row.State != migrate.OutcomeUnknown { // it was not sent
		return err
	}
	m.row.State, m.row.Attempt = migrate.Ready, nil
	if p.Upstream != nil && (p.Upstream.Status == 400 || p.Upstream.Status == 422) {
		m.row.State = migrate.Failed
	}
	if saveErr := m.save(ctx, migrate.StepApply, "no target was made: "+string(p.Code)); saveErr != nil {
		return saveErr
	}
	return err
}

// outcomeUnknown notes that there may be a target, or not.
func (m *migration) outcomeUnknown(ctx context.Context, err error) error {
	p := problem.Of(err)
	m.row.State = migrate.OutcomeUnknown
	if saveErr := m.save(ctx, migrate.StepApply, "it is not known whether there is a target: "+string(p.Code)); saveErr != nil {
		return saveErr
	}
	if p.Code != problem.CodeWriteOutcomeUnknown {
		return p
	}
	again := *p
	again.Retryable, again.RetryAfter = true, time.Second
	again.Detail += "; apply again: what was made is looked for first"
	return &again
}
