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
	Native   string            `json:"native,omitzero"`
	Lenient  bool              `json:"lenient,omitzero"`
	Warnings []problem.Warning `json:"warnings,omitzero"`
	// Problem is the backend's refusal, in our words; nil where it made the agent.
	Problem *problem.Problem `json:"problem,omitzero"`
}

// visible reports whether the caller still sees where it was, and the backend there.
func (k storedOutcome) visible(caller *auth.Caller) (auth.CallerBackend, bool) {
	b, ok := caller.Backend(k.Backend)
	return b, ok && addressOf(b) == k.Address && b.Account == k.Account
}

const (
	// maxAnswers is how many answers are kept to the letter, while the process lasts, and
	// maxAnswer how long one of them may be, in bytes. After that the agent is read anew.
	maxAnswers = 1024
	maxAnswer  = 64 << 10
	// maxKept is how many keys are remembered of one caller.
	maxKept = 50_000
	// afterDeadline is how long after its deadline a request certainly has sent nothing
	// more.
	afterDeadline = time.Second
)

// idempotencyRecords is what became of creates with an Idempotency-Key.
type idempotencyRecords struct {
	records *idempotency.Records
	answers *lru.Cache[idempotency.ID, *Result]
}

func newIdempotencyRecords(store *sqlstore.Store, timeout func() time.Duration) *idempotencyRecords {
	if store == nil {
		return nil
	}
	answers, err := lru.New[idempotency.ID, *Result](maxAnswers)
	if err != nil {
		panic(err) // the size is a constant
	}
	return &idempotencyRecords{answers: answers, records: idempotency.New(idempotency.Options{
		Store: store, Holder: ulid.Make().String(), MaxPerCaller: maxKept, Now: time.Now,
		Hold: func() time.Duration { return timeout() + afterDeadline },
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
		for _, kept := range c.answers.Keys() {
			if kept.Caller == id {
				c.answers.Remove(kept)
			}
		}
		_ = c.records.Forget(context.Background(), id) // they hold nothing of an agent, and go after a day
	}
}

// Attempt is how far a create came. It has no value of the agent: it is kept where it
// outlives the process.
type Attempt struct {
	Lost    bool      `json:"lost"` // it may have been done, or not
	Backend string    `json:"backend"`
	Address string    `json:"address"`
	Account string    `json:"account"`
	Began   time.Time `json:"began"`
	// BusyUntil is when the backend has given up on it too.
	BusyUntil time.Time `json:"busy_until"`
	// Before are the agents of that name that were known before.
	Before map[string]bool `json:"before,omitzero"`
	Native string          `json:"native,omitzero"` // what it made, where that much is known

	found    bool              // the agent of the attempt before was found
	warnings []problem.Warning // of the answer
	// Save has the attempt outlive the process, before it is sent; nil where nobody will
	// ask again.
	Save func(context.Context, *Attempt) error `json:"-"`
	// finish says whose the agent is, once that is kept, or that nobody knows; nil if
	// nothing was sent.
	finish func(native string)
}

// Finish says whose the agent is that was made.
func (a *Attempt) Finish(native string) {
	if a.finish != nil {
		a.finish(native)
		a.finish = nil
	}
}

// begin says that the create is about to be sent. An error: it must not be.
func (a *Attempt) begin(ctx context.Context, b auth.CallerBackend, before map[string]bool) error {
	now := time.Now()
	*a = Attempt{
		Lost: true, Backend: b.Name, Address: addressOf(b), Account: b.Account, Began: now, Before: before,
		BusyUntil: now.Add(2 * b.Config.Timeout.D()), // if this process ends before it is known better
		Save:      a.Save,
	}
	if a.Save == nil {
		return nil
	}
	if err := a.Save(ctx, a); err != nil {
		a.Lost = false
		return problem.StoreUnavailable(err)
	}
	return nil
}

// failed notes whether nobody knows what became of it. Whoever answered has done what
// it did; one that did not may be at it for as long as it is given time.
func (a *Attempt) failed(b auth.CallerBackend, err error, lost bool) {
	a.Lost, a.BusyUntil = lost, time.Now()
	failure, ok := errors.AsType[*normalize.Error](err)
	proxied := ok && failure.Status > 500 // 502, 504, 524: it was not the backend itself
	if !ok || failure.Status == 0 || proxied {
		a.BusyUntil = a.BusyUntil.Add(b.Config.Timeout.D())
	}
}

// Create is create for a caller who may ask again: a create that was done is not
// done again, and answers what it answered. One that certainly was not done is.
func (s *Service) Create(ctx context.Context, caller *auth.Caller, q WriteQuery) (*Result, error) {
	if q.IdempotencyKey == "" || q.DryRun {
		return s.createAgent(ctx, caller, q, &Attempt{})
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
	try := &Attempt{Save: func(ctx context.Context, a *Attempt) error { return claim.RecordAttempt(ctx, Encode(a)) }}
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
			_ = claim.MarkUnknown(keeping, Encode(try))
		}
	}()
	r, err := s.createAgent(ctx, caller, q, try)
	ended = true
	p := problem.Of(err)
	first := storedOutcome{Backend: try.Backend, Address: try.Address, Account: try.Account, Native: try.Native, Lenient: q.Lenient, Warnings: try.warnings}
	switch {
	case err == nil:
		// If it cannot be kept, the attempt is, and the agent is found by it.
		if claim.Complete(keeping, Encode(first)) == nil {
			known = try.Native
			if r.Body.Size() <= maxAnswer {
				s.records.answers.Add(id, r)
			}
		}
		if try.found {
			s.Telemetry.CountIdempotentCreate(IdempotentFound)
			return replayed(r), nil
		}
		s.Telemetry.CountIdempotentCreate(IdempotentCreated)
		return r, nil
	case try.Lost:
		_ = claim.MarkUnknown(keeping, Encode(try))
		s.Telemetry.CountIdempotentCreate(IdempotentLost)
		return nil, p.RetryWithKey(time.Until(try.BusyUntil))
	case p.Upstream != nil && (p.Upstream.Status == 400 || p.Upstream.Status == 422): // the backend has seen it, and judged
		first.Problem = p
		_ = claim.Complete(keeping, Encode(first))
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
	if r, ok := s.records.answers.Get(id); ok {
		return replayed(r), nil
	}
	known := unread(b, first.Native)
	agent, more := s.readBack(ctx, b, first.Native, normalize.Change{}, known, first.Warnings)
	r, err := createdResult(agent, append(first.Warnings, more...), first.Lenient)
	if err != nil {
		return nil, err
	}
	return replayed(r), nil
}

// replayed is an answer that says that it was given, or that what it is of was done, before.
func replayed(r *Result) *Result {
	again := *r
	again.Replayed = true
	return &again
}

// Encode is a record as it is kept. Its types can always be written.
func Encode(v any) []byte {
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
