package agents

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/oklog/ulid/v2"

	"github.com/agentgw/agentgw/gateway/auth"
	"github.com/agentgw/agentgw/gateway/placement"
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/store/idempotency"
)

// Results of creates with an Idempotency-Key, as label values of
// agentgw_idempotent_requests_total.
const (
	IdempotentInProgress = "in_progress" // another request with the key is running
	IdempotentReused     = "reused"      // the key was used with another body
	IdempotentRefused    = "refused"     // the store is unavailable or full, or the record is not the caller's any more
	IdempotentReplayed   = "replayed"    // the stored outcome was returned
	IdempotentFound      = "found"       // reconciliation found the agent of an earlier attempt
	IdempotentCreated    = "created"
	IdempotentLost       = "lost" // the outcome is unknown
	IdempotentNotCreated = "not_created"
)

const (
	// maxCachedResults and maxCachedResultSize (bytes) bound the results that are cached for
	// replays. Without a cached result, a replay reads the agent again.
	maxCachedResults    = 1024
	maxCachedResultSize = 64 << 10
	maxKeysPerCaller    = 20_000
	// maxStoredWarnings bounds the warnings that are stored with an outcome.
	maxStoredWarnings = 20
	// claimMargin is how long after a request's deadline it has certainly stopped sending.
	claimMargin = time.Second
)

// storedOutcome is the stored result of a create that reached its backend. It refers to the agent
// and contains none of its fields.
type storedOutcome struct {
	Backend  string            `json:"backend"`
	Address  string            `json:"address"`
	Account  string            `json:"account"`
	NativeID string            `json:"native,omitzero"`
	Lenient  bool              `json:"lenient,omitzero"`
	Warnings []problem.Warning `json:"warnings,omitzero"`
	// Problem is the backend's rejection; nil if the agent was created.
	Problem *problem.Problem `json:"problem,omitzero"`
}

// visible returns the backend of the create, and whether the caller still has the account that
// the create was sent for.
func (o storedOutcome) visible(caller *auth.Caller) (auth.CallerBackend, bool) {
	b, ok := caller.Backend(o.Backend)
	return b, ok && backendAddress(b) == o.Address && b.Account == o.Account
}

// idempotencyRecords stores the outcomes of creates with an Idempotency-Key.
type idempotencyRecords struct {
	stored  *idempotency.Records
	results *lru.Cache[idempotency.ID, *Result]
}

func newIdempotencyRecords(store *sqlstore.Store, requestTimeout func() time.Duration) *idempotencyRecords {
	if store == nil {
		return nil
	}
	results, err := lru.New[idempotency.ID, *Result](maxCachedResults)
	if err != nil {
		panic(err) // the size is a constant
	}
	return &idempotencyRecords{results: results, stored: idempotency.New(idempotency.Options{
		Store: store, Holder: ulid.Make().String(), MaxPerCaller: maxKeysPerCaller, Now: time.Now,
		Hold: func() time.Duration { return requestTimeout() + claimMargin },
	})}
}

// forget drops the cached results of API keys that are in before and not in now. The records in
// the store stay until they expire: a key may be gone only because the configuration file was
// read while it was being written.
func (r *idempotencyRecords) forget(before, now *auth.Keyring) {
	if r == nil {
		return
	}
	for _, keyID := range before.IDs() {
		if now.Caller(keyID) != nil {
			continue
		}
		for _, id := range r.results.Keys() {
			if id.Caller == keyID {
				r.results.Remove(id)
			}
		}
	}
}

// Create creates an agent. With an Idempotency-Key, an agent that an earlier request with the key
// created is returned instead. If that request's outcome is unknown, it is reconciled first.
func (s *Service) Create(ctx context.Context, caller *auth.Caller, q WriteQuery) (*Result, error) {
	if q.IdempotencyKey == "" || q.DryRun {
		return s.createAgent(ctx, caller, q, &CreateAttempt{})
	}
	if s.records == nil {
		return nil, problem.StoreUnavailable(sqlstore.ErrUnavailable)
	}
	id := idempotency.ID{Caller: caller.KeyID, Key: q.IdempotencyKey}
	claim, outcome, err := s.records.stored.Begin(ctx, id, fingerprint(q))
	switch {
	case err != nil:
		return nil, s.claimProblem(err)
	case outcome != nil:
		return s.replayStored(ctx, caller, id, outcome)
	}
	return s.createClaimed(ctx, caller, q, id, claim)
}

// claimProblem returns and counts why an Idempotency-Key cannot be claimed.
func (s *Service) claimProblem(err error) *problem.Problem {
	result := IdempotentRefused
	var p *problem.Problem
	switch {
	case errors.Is(err, idempotency.ErrRunning):
		result = IdempotentInProgress
		p = problem.New(problem.CodeIdempotencyInProgress, "another request with this Idempotency-Key is in progress; retry after the time in Retry-After")
		p.RetryAfter = time.Second
	case errors.Is(err, idempotency.ErrReused):
		result = IdempotentReused
		p = problem.New(problem.CodeIdempotencyKeyReused, "this Idempotency-Key was already used with a different request body; use a new key for a new request")
	case errors.Is(err, idempotency.ErrFull):
		p = problem.New(problem.CodeRateLimited, "the API key has %d stored Idempotency-Keys, which is the limit; each expires after %s", maxKeysPerCaller, idempotency.TTL)
		p.RetryAfter = time.Minute
	default:
		p = problem.StoreUnavailable(err)
	}
	s.Telemetry.CountIdempotentCreate(result)
	return p
}

// createClaimed performs a create whose Idempotency-Key is claimed, and stores its outcome, also
// if the request's context has ended by then.
func (s *Service) createClaimed(ctx context.Context, caller *auth.Caller, q WriteQuery, id idempotency.ID, claim *idempotency.Claim) (*Result, error) {
	storeCtx := context.WithoutCancel(ctx)
	attempt := &CreateAttempt{Persist: func(ctx context.Context, a *CreateAttempt) error { return claim.RecordAttempt(ctx, MustMarshal(a)) }}
	if claim.UnknownAttempt != nil {
		if err := json.Unmarshal(claim.UnknownAttempt, attempt); err != nil {
			return nil, fmt.Errorf("decode the stored create attempt: %w", err)
		}
	}
	storedID := "" // the created agent's native id, once the outcome is stored
	defer func() { attempt.Finish(storedID) }()
	returned := false
	defer func() {
		if !returned { // it panicked
			_ = claim.MarkUnknown(storeCtx, MustMarshal(attempt))
		}
	}()
	r, err := s.createAgent(ctx, caller, q, attempt)
	returned = true
	p := problem.Of(err)
	outcome := storedOutcome{Backend: attempt.Backend, Address: attempt.Address, Account: attempt.Account, NativeID: attempt.NativeID, Lenient: q.Lenient, Warnings: problem.BoundedWarnings(attempt.warnings, maxStoredWarnings)}
	switch {
	case err == nil:
		// If the outcome cannot be stored, the persisted attempt still leads to the agent.
		if claim.Complete(storeCtx, MustMarshal(outcome)) == nil {
			storedID = attempt.NativeID
			if r.Body.Size() <= maxCachedResultSize {
				s.records.results.Add(id, r)
			}
		}
		if attempt.recovered {
			s.Telemetry.CountIdempotentCreate(IdempotentFound)
			return asReplayed(r), nil
		}
		s.Telemetry.CountIdempotentCreate(IdempotentCreated)
		return r, nil
	case attempt.OutcomeUnknown:
		_ = claim.MarkUnknown(storeCtx, MustMarshal(attempt))
		s.Telemetry.CountIdempotentCreate(IdempotentLost)
		return nil, p.RetryWithKey(time.Until(attempt.UpstreamDoneBy))
	case p.Upstream != nil && (p.Upstream.Status == 400 || p.Upstream.Status == 422):
		// The backend rejected the content: the same request would be rejected again.
		stored := *p
		stored.Upstream = &problem.Upstream{Status: p.Upstream.Status, Code: p.Upstream.Code} // without what the provider says
		outcome.Problem = &stored
		_ = claim.Complete(storeCtx, MustMarshal(outcome))
	default:
		_ = claim.Release(storeCtx)
	}
	s.Telemetry.CountIdempotentCreate(IdempotentNotCreated)
	return nil, err
}

// replayStored returns the stored outcome of an earlier request: its exact result while that is
// cached, else the agent as it is now.
func (s *Service) replayStored(ctx context.Context, caller *auth.Caller, id idempotency.ID, record []byte) (*Result, error) {
	var outcome storedOutcome
	if err := json.Unmarshal(record, &outcome); err != nil {
		return nil, fmt.Errorf("decode the stored outcome of a create: %w", err)
	}
	b, ok := outcome.visible(caller)
	if !ok {
		s.Telemetry.CountIdempotentCreate(IdempotentRefused)
		return nil, problem.New(problem.CodeAgentNotFound, "the agent was created at a backend, or with a backend credential, that this API key no longer has")
	}
	s.Telemetry.CountIdempotentCreate(IdempotentReplayed)
	if outcome.Problem != nil {
		outcome.Problem.Replayed = true
		return nil, outcome.Problem
	}
	if r, ok := s.records.results.Get(id); ok {
		return asReplayed(r), nil
	}
	agent, warnings := s.readBack(ctx, placement.Placement{Backend: b, Warnings: outcome.Warnings}, unreadAgent(b, outcome.NativeID))
	r, err := createdResult(agent, warnings, outcome.Lenient)
	if err != nil {
		return nil, err
	}
	return asReplayed(r), nil
}

// asReplayed returns a copy of r that is marked as replayed.
func asReplayed(r *Result) *Result {
	clone := *r
	clone.Replayed = true
	return &clone
}

// fingerprint identifies what a create asks for. Bodies that differ only in formatting have the
// same fingerprint.
func fingerprint(q WriteQuery) [32]byte {
	body := jsontext.Value(slices.Clone(q.Body))
	// Numbers keep their digits: as float64, different ones could become equal.
	if err := body.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false)); err != nil {
		body = q.Body
	}
	handling := byte('s')
	if q.Lenient {
		handling = 'l'
	}
	return sha256.Sum256(append([]byte{handling}, body...))
}
