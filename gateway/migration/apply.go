package migration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/gateway/agents"
	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/catalog"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
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

func (m *migration) readSource(ctx context.Context) (*catalog.Detail, error) {
	detail, err := m.service.Agents.ReadFresh(ctx, m.source, m.sourceID().Native)
	if err != nil && problem.Of(err).Code == problem.CodeAgentNotFound {
		return nil, problem.New(problem.CodePlanStale, "the source %s is no longer there", m.row.Source)
	}
	return detail, err
}

func (m *migration) readTarget(ctx context.Context) (*catalog.Detail, error) {
	detail, err := m.service.Agents.ReadFresh(ctx, m.target, m.targetID().Native)
	if err != nil && problem.Of(err).Code == problem.CodeAgentNotFound {
		return nil, problem.New(problem.CodeTargetDiverged, "the target %s is no longer there; roll back, and plan again", m.row.Target)
	}
	return detail, err
}

// recordVerification holds the target against the plan.
func (m *migration) recordVerification(target *catalog.Detail, sourceChanged bool) {
	checked := migrate.Compare(m.doc.Change.change(), target.Agent, m.target.Info)
	m.doc.Verification = &verification{
		At: alias.Now(), OK: len(m.differences(checked)) == 0 && !sourceChanged, SourceChanged: sourceChanged,
		TargetChanged: m.doc.TargetETag != "" && !m.targetUnchanged(target), Accepted: m.doc.AcceptedDifferences, Fields: checked,
	}
	if m.doc.Verification.Accepted == nil {
		m.doc.Verification.Accepted = []string{}
	}
}

// differences are the fields that are not as they were sent, and whose difference nobody
// accepted.
func (m *migration) differences(checked []migrate.FieldResult) (paths []string) {
	for _, c := range checked {
		if c.Differs() && !slices.Contains(m.doc.AcceptedDifferences, c.Name()) {
			paths = append(paths, c.Path)
		}
	}
	return paths
}

// targetUnchanged reports whether the target is as it was left, but for a status that it was just
// sent.
func (m *migration) targetUnchanged(target *catalog.Detail) bool {
	if m.doc.TargetETag != "" && target.ETag() == m.doc.TargetETag {
		return true
	}
	if status := target.Agent.Status; m.doc.StatusSent == "" || status == nil || *status != m.doc.StatusSent {
		return false
	}
	before := *target.Agent
	before.Status = m.doc.StatusBefore
	revision, err := before.Revision()
	return err == nil && catalog.ETag(revision) == m.doc.TargetETag
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

// VerifyInput is the body of POST …/verify.
type VerifyInput struct {
	Accept []string `json:"accept"` // differences that are none to whoever moves the agent
}

// Verify compares the target with the plan.
func (s *Service) Verify(ctx context.Context, r Request, body VerifyInput) (*View, error) {
	return s.runStep(ctx, r, migrate.StepVerify, func(ctx context.Context, m *migration) error {
		target, err := m.readTarget(ctx)
		if err != nil {
			return err
		}
		changed := false
		if m.row.State != migrate.CutOver { // then nobody is led to the source any more
			source, err := m.readSource(ctx)
			if err != nil {
				return err
			}
			changed = source.ETag() != m.doc.SourceETag
		}
		for _, name := range body.Accept {
			if !slices.Contains(m.doc.AcceptedDifferences, name) {
				m.doc.AcceptedDifferences = append(m.doc.AcceptedDifferences, name)
			}
		}
		m.recordVerification(target, changed)
		detail := fmt.Sprintf("%d fields differ", len(m.differences(m.doc.Verification.Fields)))
		if len(body.Accept) > 0 {
			detail += "; accepted: " + strings.Join(body.Accept, ", ")
		}
		switch {
		case changed:
			detail += ", and the source was changed since it was planned"
		case m.doc.Verification.OK && m.row.State == migrate.Applied:
			m.row.State = migrate.Verified
		}
		return m.save(ctx, migrate.StepVerify, detail)
	})
}

// ShadowInput is the body of POST …/shadow.
type ShadowInput struct {
	Percent int64  `json:"percent"`
	For     string `json:"for"`
}

// maxShadowDuration bounds how long a target is read along.
const maxShadowDuration = 30 * 24 * time.Hour

// Shadow has a share of the reads of the source read the target too.
func (s *Service) Shadow(ctx context.Context, r Request, body ShadowInput) (*View, error) {
	if body.Percent < 0 || body.Percent > 100 {
		return nil, problem.InvalidField("/percent", normalize.InvalidValue, "from 1 to 100, or 0 to end it")
	}
	length, err := time.ParseDuration(body.For)
	if body.Percent > 0 && (err != nil || length <= 0 || length > maxShadowDuration) {
		return nil, problem.InvalidField("/for", normalize.InvalidValue, fmt.Sprintf("a duration such as 1h, at most %s", maxShadowDuration))
	}
	return s.runStep(ctx, r, migrate.StepShadow, func(ctx context.Context, m *migration) error {
		m.row.ShadowPercent, m.row.ShadowUntil = body.Percent, alias.Now().Add(length)
		detail := fmt.Sprintf("%d %% of reads until %s", body.Percent, m.row.ShadowUntil.UTC().Format(time.RFC3339))
		if m.row.State = migrate.Shadowing; body.Percent == 0 {
			m.row.State, m.row.ShadowUntil, detail = migrate.Verified, alias.Now(), "ended"
		}
		return m.save(ctx, migrate.StepShadow, detail)
	})
}

// pointNamesToTarget has the source's names lead to the target.
func (m *migration) pointNamesToTarget(c *sqlstore.MigrationChange) {
	for _, name := range m.doc.Names {
		c.PutAliases = append(c.PutAliases, sqlstore.Alias{
			Name: name, Target: m.row.Target, KeyID: m.row.KeyID, MigrationID: m.row.ID,
			NameAccount: m.source.Account, TargetAccount: m.target.Account, UpdatedAt: alias.Now(),
		})
	}
}
