package migration

import (
	"context"
	"slices"
	"strings"

	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/catalog"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
)

// VerifyInput is the body of POST …/verify.
type VerifyInput struct {
	Accept []string `json:"accept"` // names of differences to accept, such as "mismatch:/name"
}

// Verify compares the target with the plan. It writes to no backend.
func (s *Service) Verify(ctx context.Context, r Request, body VerifyInput) (*View, error) {
	if err := checkAccept(body.Accept); err != nil {
		return nil, err
	}
	return s.runStep(ctx, r, migrate.StepVerify, func(ctx context.Context, m *migration) error {
		target, err := m.readTarget(ctx)
		if err != nil {
			return err
		}
		sourceChanged := false
		if m.row.State != migrate.CutOver { // after the cutover, changes of the source do not matter
			source, err := m.readSource(ctx)
			if err != nil {
				return err
			}
			sourceChanged = source.ETag() != m.doc.SourceETag
		}
		accepted := m.acceptDifferences(target, body.Accept)
		m.recordVerification(target, sourceChanged)
		detail := migrate.Tally(m.doc.Verification.Fields)
		if len(accepted) > 0 {
			detail += "; accepted: " + strings.Join(accepted, ", ")
		}
		if sourceChanged {
			detail += "; the source has changed since it was planned"
		}
		m.row.State = m.verifiedState()
		return m.save(ctx, migrate.StepVerify, detail)
	})
}

// verifiedState returns the state after a verification. A changed source is no drift: the
// cutover transfers the changes.
func (m *migration) verifiedState() string {
	switch state := m.row.State; {
	case state == migrate.CutOver:
		return state
	case len(m.differences(m.doc.Verification.Fields)) > 0:
		return migrate.Drifted
	case m.doc.Verification.OK && (state == migrate.Applied || state == migrate.Drifted):
		return migrate.Verified
	default:
		return state
	}
}

// acceptDifferences accepts those of the names that are differences, and returns them. Others
// are not kept.
func (m *migration) acceptDifferences(target *catalog.Detail, names []string) (accepted []string) {
	for _, result := range migrate.Compare(m.doc.Change.change(), target.Agent, m.target.Info) {
		if name := result.Name(); result.Differs() && slices.Contains(names, name) && !slices.Contains(m.doc.AcceptedDifferences, name) {
			accepted = append(accepted, name)
		}
	}
	m.doc.AcceptedDifferences = append(m.doc.AcceptedDifferences, accepted...)
	return accepted
}

// recordVerification compares the target with the plan, and stores the result in doc.
func (m *migration) recordVerification(target *catalog.Detail, sourceChanged bool) {
	results := migrate.Compare(m.doc.Change.change(), target.Agent, m.target.Info)
	m.doc.Verification = &verification{
		At: alias.Now(), OK: len(m.differences(results)) == 0 && !sourceChanged, SourceChanged: sourceChanged,
		TargetChanged: m.doc.TargetETag != "" && !m.targetUnchanged(target), Accepted: m.doc.AcceptedDifferences, Fields: results,
	}
	if m.doc.Verification.Accepted == nil {
		m.doc.Verification.Accepted = []string{}
	}
}

// differences returns the paths of the fields that differ from the plan, without accepted
// differences.
func (m *migration) differences(results []migrate.FieldResult) (paths []string) {
	for _, c := range results {
		if c.Differs() && !slices.Contains(m.doc.AcceptedDifferences, c.Name()) {
			paths = append(paths, c.Path)
		}
	}
	return paths
}

// targetUnchanged reports whether nobody else has changed the target since the migration's
// last write. A status that the migration sent, but whose result is not stored yet, is not a
// change by somebody else.
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
