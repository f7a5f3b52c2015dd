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
	"github.com/agentgw/agentgw/gateway/problem"
	sqlstore "github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/store/idempotency"
	"github.com/agentgw/agentgw/normalize"
)

// What becomes of a create with an Idempotency-Key, as agentgw_idempotent_requests_total
// has it.
const (
	IdempotentInProgress = "in_progress"
	IdempotentReused     = "reused"
	IdempotentRefused    = "refused"
	IdempotentReplayed   = "replayed"
	IdempotentFound      = "found"
	IdempotentCreated    = "created"
	IdempotentLost       = "lost"
	IdempotentNotCreated = "not_created"
)

// storedOutcome is what outlives the process of the first answer to a create that reached its
// backend: enough to give it again, and nothing that an agent holds.
type storedOutcome struct {
	Backend  string            `json:"backend"`
	Address  string            `json:"address"`
	Account  string            `json:"account"`
	NativeID string            `json:"native,omitzero"`
	Lenient  bool              `json:"lenient,omitzero"`
	Warnings []problem.Warning `json:"warnings,omitzero"`
	// Problem is the backend's refusal, in our words; nil where it made the agent.
	Problem *problem.Problem `json:"problem,omitzero"`
}

// visible reports whether the caller still sees where it was, and the backend there.
func (k storedOutcome) visible(caller *auth.Caller) (auth.CallerBackend, bool) {
	b, ok := caller.Backend(k.Backend)
	return b, ok && backendAddress(b) == k.Address && b.Account == k.Account
}

const (
	// maxCachedResults is how many answers are kept to the letter, while the process lasts, and
	// maxAnswer how long one of them may be, in bytes. After that the agent is read anew.
	maxCachedResults    = 1024
	maxCachedResultSize = 64 << 10
	// maxKeysPerCaller is how many keys are remembered of one caller.
	maxKeysPerCaller = 50_000
	// claimMargin is how long after its deadline a request certainly has sent nothing
	// more.
	claimMargin = time.Second
)

// idempotencyRecords is what became of creates with an Idempotency-Key.
type idempotencyRecords struct {
	records *idempotency.Records
	results *lru.Cache[idempotency.ID, *Result]
}

func newIdempotencyRecords(store *sqlstore.Store, timeout func() time.Duration) *idempotencyRecords {
	if store == nil {
		return nil
	}
	answers, err := lru.New[idempotency.ID, *Result](maxCachedResults)
	if err != nil {
		panic(err) // the size is a constant
	}
	return &idempotencyRecords{results: answers, records: idempotency.New(idempotency.Options{
		Store: store, Holder: ulid.Make().String(), MaxPerCaller: maxKeysPerCaller, Now: time.Now,
		Hold: func() time.Duration { return timeout() + claimMargin },
	})}
}

// forget drops what is kept of keys that are gone. Another instance's keys are not ours to
// judge.
func (c *idempotencyRecords) forget(before, now *auth.Keyring) {
	if c == nil {
		return
	}
	for id := range before.ByID {
		if now.ByID[id] != nil {
			continue
		}
		for _, kept := range c.results.Keys() {
			if kept.Caller == id {
				c.results.Remove(kept)
			}
		}
		_ = c.records.Forget(context.Background(), id) // they hold nothing of an agent, and go after a day
	}
}

// CreateAttempt is how far a create came. It has no value of the agent: it is kept where it
// outlives the process.
type CreateAttempt struct {
	OutcomeUnknown bool      `json:"lost"` // it may have been done, or not
	Backend        string    `json:"backend"`
	Address        string    `json:"address"`
	Account        string    `json:"account"`
	StartedAt      time.Time `json:"began"`
	// UpstreamDoneBy is when the backend has given up on it too.
	UpstreamDoneBy time.Time `json:"busy_until"`
	// KnownBefore are the agents of that name that were known before.
	KnownBefore map[string]bool `json:"before,omitzero"`
	NativeID    string          `json:"native,omitzero"` // what it made, where that much is known

	recovered bool              // the agent of the attempt before was found
	warnings  []problem.Warning // of the answer
	// Persist has the attempt outlive the process, before it is sent; nil where nobody will
	// ask again.
	Persist func(context.Context, *CreateAttempt) error `json:"-"`
	// endLedgerEntry says whose the agent is, once that is kept, or that nobody knows; nil if
	// nothing was sent.
	endLedgerEntry func(native string)
}

// Finish says whose the agent is that was made.
func (a *CreateAttempt) Finish(native string) {
	if a.endLedgerEntry != nil {
		a.endLedgerEntry(native)
		a.endLedgerEntry = nil
	}
}

// begin says that the create is about to be sent. An error: it must not be.
func (a *CreateAttempt) begin(ctx context.Context, b auth.CallerBackend, before map[string]bool) error {
	now := time.Now()
	*a = CreateAttempt{
		OutcomeUnknown: true, Backend: b.Name, Address: backendAddress(b), Account: b.Account, StartedAt: now, KnownBefore: before,
		UpstreamDoneBy: now.Add(2 * b.Config.Timeout.D()), // if this process ends before it is known better
		Persist:        a.Persist,
	}
	if a.Persist == nil {
		return nil
	}
	if err := a.Persist(ctx, a); err != nil {
		a.OutcomeUnknown = false
		return problem.StoreUnavailable(err)
	}
	return nil
}

// recordFailure notes whether nobody knows what became of it. Whoever answered has done what
// it did; one that did not may be at it for as long as it is given time.
func (a *CreateAttempt) recordFailure(b auth.CallerBackend, err error, lost bool) {
	a.OutcomeUnknown, a.UpstreamDoneBy = lost, time.Now()
	failure, ok := errors.AsType[*normalize.Error](err)
	proxied := ok && failure.Status > 500 // 502, 504, 524: it was not the backend itself
	if !ok || failure.Status == 0 || proxied {
		a.UpstreamDoneBy = a.UpstreamDoneBy.Add(b.Config.Timeout.D())
	}
}

// Create is create for a caller who may ask again: a create that was done is not
// done again, and answers what it answered. One that certainly was not done is.
func (s *Service) Create(ctx context.Context, caller *auth.Caller, q WriteQuery) (*Result, error) {
	if q.IdempotencyKey == "" || q.DryRun {
		return s.createAgent(ctx, caller, q, &CreateAttempt{})
	}
	if s.records == nil {
		return nil, problem.StoreUnavailable(sqlstore.ErrUnavailable)
	}
	id := idempotency.ID{Caller: caller.KeyID, Key: q.IdempotencyKey}
	claim, before, err := s.records.records.Begin(ctx, id, fingerprint(q))
	switch {
	case errors.Is(err, idempotency.ErrRunning):
		s.Telemetry.CountIdempotentCreate(IdempotentInProgress)
		p := problem.New(problem.CodeIdempotencyInProgress, "a request with this Idempotency-Key is still running")
		p.RetryAfter = time.Second
		return nil, p
	case errors.Is(err, idempotency.ErrReused):
		s.Telemetry.CountIdempotentCreate(IdempotentReused)
		return nil, problem.New(problem.CodeIdempotencyKeyReused, "this Idempotency-Key was used for a request with another body; send a new key with a new request")
	case errors.Is(err, idempotency.ErrFull):
		s.Telemetry.CountIdempotentCreate(IdempotentRefused)
		p := problem.New(problem.CodeStoreUnavailable, "there is no room to remember another Idempotency-Key; what is kept goes after %s", idempotency.TTL)
		p.RetryAfter = time.Minute
		return nil, p
	case err != nil:
		s.Telemetry.CountIdempotentCreate(IdempotentRefused)
		return nil, problem.StoreUnavailable(err)
	case before != nil:
		return s.replayStored(ctx, caller, id, before)
	}
	return s.createClaimed(ctx, caller, q, id, claim)
}

// createClaimed does a create that nobody else is at, and keeps what became of it. It is
// kept even if the caller's time is up.
func (s *Service) createClaimed(ctx context.Context, caller *auth.Caller, q WriteQuery, id idempotency.ID, claim *idempotency.Claim) (*Result, error) {
	keeping := context.WithoutCancel(ctx)
	try := &CreateAttempt{Persist: func(ctx context.Context, a *CreateAttempt) error { return claim.RecordAttempt(ctx, MustMarshal(a)) }}
	if claim.UnknownAttempt != nil {
		if err := json.Unmarshal(claim.UnknownAttempt, try); err != nil {
			return nil, fmt.Errorf("an attempt cannot be read: %w", err)
		}
	}
	ended := false
	known := "" // what was made, once that is kept
	defer func() { try.Finish(known) }()
	defer func() { // if it panics
		if !ended {
			_ = claim.MarkUnknown(keeping, MustMarshal(try))
		}
	}()
	r, err := s.createAgent(ctx, caller, q, try)
	ended = true
	p := problem.Of(err)
	first := storedOutcome{Backend: try.Backend, Address: try.Address, Account: try.Account, NativeID: try.NativeID, Lenient: q.Lenient, Warnings: try.warnings}
	switch {
	case err == nil:
		// If it cannot be kept, the attempt is, and the agent is found by it.
		if claim.Complete(keeping, MustMarshal(first)) == nil {
			known = try.NativeID
			if r.Body.Size() <= maxCachedResultSize {
				s.records.results.Add(id, r)
			}
		}
		if try.recovered {
			s.Telemetry.CountIdempotentCreate(IdempotentFound)
			return asReplayed(r), nil
		}
		s.Telemetry.CountIdempotentCreate(IdempotentCreated)
		return r, nil
	case try.OutcomeUnknown:
		_ = claim.MarkUnknown(keeping, MustMarshal(try))
		s.Telemetry.CountIdempotentCreate(IdempotentLost)
		return nil, p.RetryWithKey(time.Until(try.UpstreamDoneBy))
	case p.Upstream != nil && (p.Upstream.Status == 400 || p.Upstream.Status == 422): // the backend has seen it, and judged
		first.Problem = p
		_ = claim.Complete(keeping, MustMarshal(first))
	default:
		_ = claim.Release(keeping)
	}
	s.Telemetry.CountIdempotentCreate(IdempotentNotCreated)
	return nil, err
}

// replayStored is the first answer once more: to the letter while the process lasts, and after
// that as the agent is now.
func (s *Service) replayStored(ctx context.Context, caller *auth.Caller, id idempotency.ID, record []byte) (*Result, error) {
	var first storedOutcome
	if err := json.Unmarshal(record, &first); err != nil {
		return nil, fmt.Errorf("a kept answer cannot be read: %w", err)
	}
	b, ok := first.visible(caller)
	if !ok {
		s.Telemetry.CountIdempotentCreate(IdempotentRefused)
		return nil, problem.New(problem.CodeBackendNotFound, "the agent was made at a backend, or with a credential there, that the key no longer maps to")
	}
	s.Telemetry.CountIdempotentCreate(IdempotentReplayed)
	if first.Problem != nil {
		first.Problem.Replayed = true
		return nil, first.Problem
	}
	if r, ok := s.records.results.Get(id); ok {
		return asReplayed(r), nil
	}
	known := unreadAgent(b, first.NativeID)
	agent, more := s.readBack(ctx, b, first.NativeID, normalize.Change{}, known, first.Warnings)
	r, err := createdResult(agent, append(first.Warnings, more...), first.Lenient)
	if err != nil {
		return nil, err
	}
	return asReplayed(r), nil
}

// asReplayed is an answer that says that it was given, or that what it is of was done, before.
func asReplayed(r *Result) *Result {
	again := *r
	again.Replayed = true
	return &again
}

// MustMarshal is a record as it is kept. Its types can always be written.
func MustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// fingerprint tells requests with one key apart: by what they ask for, however it is
// written.
func fingerprint(q WriteQuery) [32]byte {
	body := jsontext.Value(slices.Clone(q.Body))
	// Numbers as they are written: as float64 they would be rounded.
	if err := body.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false)); err != nil {
		body = q.Body
	}
	handling := byte('s')
	if q.Lenient {
		handling = 'l'
	}
	return sha256.Sum256(append([]byte{handling}, body...))
}
