package migration

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/agentgw/agentgw/gateway/alias"
	"github.com/agentgw/agentgw/gateway/catalog"
	migrate "github.com/agentgw/agentgw/gateway/migration/plan"
)

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
