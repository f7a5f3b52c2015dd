package agents

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// Tolerances when a backend's created_at is compared with the gateway's clock.
const (
	clockSkew = 2 * time.Minute
	// zoneSkew covers a backend that labels its local time as UTC: zones span 26 hours.
	zoneSkew = 26 * time.Hour
)

// maxKnownBefore bounds the ids, in bytes, of the agents that were known before an attempt, since
// they are stored with it. Of other agents their time of creation decides.
const maxKnownBefore = 16 << 10

// maxCandidates bounds how many agents of the same name are read to find the created one.
const maxCandidates = 8

// Reconcile finds the agent that an attempt with unknown outcome created. It returns nil if the
// backend certainly created none: its list was read completely after it was done with the request,
// and no agent in it can be the created one. If neither is certain, it returns a problem with
// [problem.CodeWriteOutcomeUnknown]. It may wait until the backend is done.
func (s *Service) Reconcile(ctx context.Context, b auth.CallerBackend, change normalize.Change, attempt *CreateAttempt) (*normalize.Agent, error) {
	if b.Account != attempt.Account || backendAddress(b) != attempt.Address {
		return nil, outcomeUnknown(b, "its base_url, or the key's credential for it, has changed since")
	}
	if attempt.NativeID != "" { // only a later step failed
		attempt.recovered = true
		return s.readMatching(ctx, b, attempt.NativeID, nil)
	}
	for {
		agent, listedAt, err := s.findCreated(ctx, b, change, attempt)
		if err != nil {
			return nil, err
		}
		if agent != nil {
			attempt.recovered, attempt.NativeID = true, agent.NativeID
			return agent, nil
		}
		if listedAt.After(attempt.UpstreamDoneBy) {
			return nil, nil
		}
		wait := time.Until(attempt.UpstreamDoneBy)
		if end, ok := ctx.Deadline(); ok && wait > time.Until(end)/2 {
			return nil, outcomeUnknown(b, "no matching agent was found, but the backend may still be processing the create")
		}
		if !backend.Sleep(ctx, wait) {
			return nil, outcomeUnknown(b, "the request ended before this could be determined")
		}
	}
}

// findCreated lists the backend and returns the one agent that the attempt created, or nil if no
// agent can be it, and when the list was read. It returns an error if that is ambiguous.
func (s *Service) findCreated(ctx context.Context, b auth.CallerBackend, change normalize.Change, attempt *CreateAttempt) (*normalize.Agent, time.Time, error) {
	result, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpList, Credential: b.Credential, NoCache: true})
	if err != nil || result.Stale != nil || result.Snapshot.Partial != nil {
		return nil, time.Time{}, outcomeUnknown(b, "its list of agents could not be read completely")
	}
	var matches []*normalize.Agent
	var ambiguous []string // ids
	candidates := 0
	for i := range result.Snapshot.Len() {
		row := result.Snapshot.Summary(i)
		age := attempt.compareCreation(row)
		// An agent that the account is known to have created belongs to another create.
		if !isNamed(row, change) || age == createdBefore || s.ledger.hasCreated(b, row.NativeID) {
			continue
		}
		if candidates++; candidates > maxCandidates {
			ambiguous = append(ambiguous, row.ID)
			continue
		}
		agent, err := s.readMatching(ctx, b, row.NativeID, nil)
		if err != nil && problem.Of(err).Code != problem.CodeAgentNotFound {
			return nil, time.Time{}, outcomeUnknown(b, "an agent that may be the created one could not be read")
		}
		// Any deviation is ambiguous, not a mismatch: the backend may store other values
		// than it was sent, list a new agent before it can be read, or have a wrong clock,
		// and an agent that another credential's create made since may be this account's.
		if err == nil && age == createdSince && !s.ledger.hasAnotherCreated(b, row.NativeID, attempt.StartedAt) && matchesChange(b, agent, change) {
			matches = append(matches, agent)
		} else {
			ambiguous = append(ambiguous, row.ID)
		}
	}
	if len(matches) == 1 && s.ledger.claim(b, matches[0].NativeID, change) {
		return matches[0], result.Fetched, nil
	}
	for _, agent := range matches {
		ambiguous = append(ambiguous, agent.ID)
	}
	if len(ambiguous) > 0 {
		return nil, time.Time{}, outcomeUnknown(b, fmt.Sprintf("it may be any of %s; delete or rename the agents that you do not want", strings.Join(ambiguous, ", ")))
	}
	return nil, result.Fetched, nil
}

// creation is when an agent was created, relative to an attempt.
type creation int

const (
	createdBefore creation = iota
	createdSince
	creationUnclear // the time is missing, or may be of another time zone
)

func (a *CreateAttempt) compareCreation(row catalog.Summary) creation {
	if a.KnownBefore[row.NativeID] {
		return createdBefore
	}
	if row.CreatedAt == nil {
		return creationUnclear
	}
	at, err := time.Parse(time.RFC3339, *row.CreatedAt)
	switch {
	case err != nil:
		return creationUnclear
	case at.After(a.StartedAt.Add(-clockSkew)) && at.Before(time.Now().Add(clockSkew)):
		return createdSince
	case at.After(a.StartedAt.Add(-zoneSkew)):
		return creationUnclear
	}
	return createdBefore
}

func isNamed(row catalog.Summary, change normalize.Change) bool {
	return row.Name != nil && foldName(*row.Name) == foldedName(change)
}

func foldedName(change normalize.Change) string {
	name, _ := change.Text(normalize.FieldName)
	return foldName(name)
}

// foldName makes names comparable across providers that trim them or change their case.
func foldName(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// matchesChange reports whether the agent has every value that was sent and can be read back.
func matchesChange(b auth.CallerBackend, agent *normalize.Agent, change normalize.Change) bool {
	for _, w := range differences(b, agent, change) {
		if w.Code == "not_persisted" {
			return false
		}
	}
	return true
}

// cachedAgentsNamed returns the native ids of cached agents that have the change's name.
func cachedAgentsNamed(ctx context.Context, b auth.CallerBackend, change normalize.Change) map[string]bool {
	result, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpList, Credential: b.Credential, OnlyIfCached: true})
	if err != nil {
		return nil
	}
	named, size := map[string]bool{}, 0
	for i := range result.Snapshot.Len() {
		row := result.Snapshot.Summary(i)
		if !isNamed(row, change) {
			continue
		}
		if size += len(row.NativeID); size > maxKnownBefore {
			break
		}
		named[row.NativeID] = true
	}
	return named
}

func outcomeUnknown(b auth.CallerBackend, reason string) *problem.Problem {
	p := problem.New(problem.CodeWriteOutcomeUnknown, "backend %s may have created the agent in an earlier attempt: %s", b.Name, reason)
	p.Backend = &b.Name
	return p
}
