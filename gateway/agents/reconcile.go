package agents

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/agentgw/agentgw/adapters"
	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/backend"
	"github.com/agentgw/agentgw/gateway/catalog"
	"github.com/agentgw/agentgw/gateway/problem"
	"github.com/agentgw/agentgw/normalize"
)

// How far a backend's clock may be from ours, and how far its times may be off if they
// are a local time that says to be UTC.
const (
	clockSkew = 2 * time.Minute
	zoneSkew  = 26 * time.Hour
)

// maxCandidates bounds how many agents are read to find the one that was made.
const maxCandidates = 8

// Reconcile finds the agent that a lost create made. It is nil if there is certainly
// none: the list is whole and new, the backend is done with the lost request, and no
// agent in it can be that one. If that cannot be said, the outcome stays unknown.
func (s *Service) Reconcile(ctx context.Context, b auth.CallerBackend, change normalize.Change, try *CreateAttempt) (*normalize.Agent, error) {
	if b.Account != try.Account || backendAddress(b) != try.Address {
		return nil, outcomeUnknown(b, "the key maps to another credential there by now, or the backend to another base_url")
	}
	if try.NativeID != "" { // it is known, and what followed failed
		try.recovered = true
		return s.readMatching(ctx, b, try.NativeID, nil)
	}
	for {
		agent, asOf, err := s.findCreated(ctx, b, change, try)
		if err != nil {
			return nil, err
		}
		if agent != nil {
			try.recovered, try.NativeID = true, agent.NativeID
			return agent, nil
		}
		if asOf.After(try.UpstreamDoneBy) {
			return nil, nil
		}
		wait := time.Until(try.UpstreamDoneBy)
		if end, ok := ctx.Deadline(); ok && wait > time.Until(end)/2 {
			return nil, outcomeUnknown(b, "no such agent is there, but the backend may still be at work on it")
		}
		if !backend.Sleep(ctx, wait) {
			return nil, outcomeUnknown(b, "the request ended before it was known")
		}
	}
}

// findCreated is the one agent that can be what was made, as of when the backend was asked; nil
// for none.
func (s *Service) findCreated(ctx context.Context, b auth.CallerBackend, change normalize.Change, try *CreateAttempt) (*normalize.Agent, time.Time, error) {
	result, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpList, Credential: b.Credential, NoCache: true})
	if err != nil || result.Stale != nil || result.Snapshot.Partial != nil {
		return nil, time.Time{}, outcomeUnknown(b, "the list of its agents could not be read whole just now")
	}
	var same []*normalize.Agent // made then, and just so
	var doubtful []string
	read := 0
	for i := range result.Snapshot.Len() {
		row := result.Snapshot.Summary(i)
		when, whose := try.compareCreation(row), s.ledger.creator(b, row.NativeID)
		if !isNamed(row, change) || when == createdBefore || whose == b.Credential.ID() {
			continue
		}
		if read++; read > maxCandidates {
			doubtful = append(doubtful, row.ID)
			continue
		}
		agent, err := s.readMatching(ctx, b, row.NativeID, nil)
		if err != nil && problem.Of(err).Code != problem.CodeAgentNotFound {
			return nil, time.Time{}, outcomeUnknown(b, "an agent that may be it could not be read just now")
		}
		// The backend may keep other values than it was sent, show a new agent in its
		// list before it can be read, or have a clock that is wrong; and another
		// credential's agent may be another account's with the same id.
		if err == nil && when == createdSince && whose == "" && matchesChange(b, agent, change) {
			same = append(same, agent)
		} else {
			doubtful = append(doubtful, row.ID)
		}
	}
	if len(same) == 1 && s.ledger.claim(b, same[0].NativeID, change) {
		return same[0], result.Fetched, nil
	}
	for _, agent := range same {
		doubtful = append(doubtful, agent.ID)
	}
	if len(doubtful) > 0 {
		return nil, time.Time{}, outcomeUnknown(b, fmt.Sprintf("it may be any of %s; delete or rename what is not wanted", strings.Join(doubtful, ", ")))
	}
	return nil, result.Fetched, nil
}

// When an agent was made, beside a lost create.
const (
	createdBefore = iota
	createdSince
	creationUnclear // its clock may be wrong by hours
)

func (a *CreateAttempt) compareCreation(row catalog.Summary) int {
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

// foldName is a name as a vendor that trims names, or writes them its own way, has it.
func foldName(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

func matchesChange(b auth.CallerBackend, agent *normalize.Agent, change normalize.Change) bool {
	for _, w := range differences(b, agent, change) {
		if w.Code == "not_persisted" {
			return false
		}
	}
	return true
}

// cachedAgentsNamed are the agents that have the name already, as far as it is known without
// asking.
func cachedAgentsNamed(ctx context.Context, b auth.CallerBackend, change normalize.Change) map[string]bool {
	result, err := b.Endpoint(ctx, backend.Call{Op: adapters.OpList, Credential: b.Credential, OnlyIfCached: true})
	if err != nil {
		return nil
	}
	known := map[string]bool{}
	for i := range result.Snapshot.Len() {
		row := result.Snapshot.Summary(i)
		if isNamed(row, change) {
			known[row.NativeID] = true
		}
	}
	return known
}

func outcomeUnknown(b auth.CallerBackend, why string) *problem.Problem {
	p := problem.New(problem.CodeWriteOutcomeUnknown, "backend %s may have done the create before: %s", b.Name, why)
	p.Backend = &b.Name
	return p
}

// createLedger remembers which agents are known to be whose create's, and which creates run, so
// that none is taken for another's. It is safe for concurrent use.
type createLedger struct {
	agents *lru.Cache[ledgerAgent, string] // the credential that it was made with

	mu      sync.Mutex
	running map[ledgerName]int
}

type (
	ledgerAgent struct{ address, native string }
	ledgerName  struct{ address, name string }
)

func newCreateLedger() *createLedger {
	agents, err := lru.New[ledgerAgent, string](10_000)
	if err != nil {
		panic(err) // the size is a constant
	}
	return &createLedger{agents: agents, running: map[ledgerName]int{}}
}

// begin says that a create runs, until its end; what it made is its own, if that is
// known.
func (m *createLedger) begin(b auth.CallerBackend, change normalize.Change) (end func(native string)) {
	name := ledgerName{backendAddress(b), foldedName(change)}
	m.mu.Lock()
	m.running[name]++
	m.mu.Unlock()
	return func(native string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.running[name]--; m.running[name] == 0 {
			delete(m.running, name)
		}
		if native != "" {
			m.agents.Add(ledgerAgent{name.address, native}, b.Credential.ID())
		}
	}
}

// claim takes an agent that nobody has. While a create of that name runs, whose answer is
// still on its way, it may be that one's.
func (m *createLedger) claim(b auth.CallerBackend, native string, change normalize.Change) bool {
	address := backendAddress(b)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running[ledgerName{address, foldedName(change)}] > 0 || m.agents.Contains(ledgerAgent{address, native}) {
		return false
	}
	m.agents.Add(ledgerAgent{address, native}, b.Credential.ID())
	return true
}

// creator is the credential that an agent was made with; empty if that is not known.
func (m *createLedger) creator(b auth.CallerBackend, native string) string {
	credential, _ := m.agents.Get(ledgerAgent{backendAddress(b), native})
	return credential
}

// backendAddress tells a backend from one of the same name that is another one.
func backendAddress(b auth.CallerBackend) string {
	sum := sha256.Sum256([]byte(b.Config.BaseURL.String()))
	return b.Name + " " + hex.EncodeToString(sum[:8])
}
