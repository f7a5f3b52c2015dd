package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/agentgw/agentgw/gateway/idempotency"
	"github.com/agentgw/agentgw/normalize"
)

// What becomes of a create with an Idempotency-Key, as agentgw_idempotent_requests_total
// has it.
const (
	idempotentInProgress = "in_progress"
	idempotentReused     = "reused"
	idempotentRefused    = "refused"
	idempotentReplayed   = "replayed"
	idempotentFound      = "found"
	idempotentCreated    = "created"
	idempotentLost       = "lost"
	idempotentNotCreated = "not_created"
)

// kept is the first answer to a create that reached its backend: one of the two.
type kept struct {
	backend, address, credential string
	response                     *response
	problem                      *Problem
}

// visible reports whether the caller still sees where it was.
func (k kept) visible(caller *Caller) bool {
	b, ok := caller.Backend(k.backend)
	return ok && addressOf(b) == k.address && b.Credential.ID() == k.credential
}

// maxKept bounds the memory for kept answers, in bytes.
const maxKept = 64 << 20

// attempt is how far a create came.
type attempt struct {
	lost                         bool // it may have been done, or not
	backend, address, credential string
	began                        time.Time
	// busyUntil is when the backend has given up on it too.
	busyUntil time.Time
	// before are the agents of that name that were known before.
	before map[string]bool
	native string // what it made, where that much is known
	found  bool   // the agent of the attempt before was found
}

func (a *attempt) begin(b CallerBackend, before map[string]bool) {
	*a = attempt{lost: true, backend: b.Name, address: addressOf(b), credential: b.Credential.ID(), began: time.Now(), before: before}
}

// failed notes whether nobody knows what became of it. Whoever answered has done what
// it did; one that did not may be at it for as long as it is given time.
func (a *attempt) failed(b CallerBackend, err error, lost bool) {
	a.lost, a.busyUntil = lost, time.Now()
	failure, ok := errors.AsType[*normalize.Error](err)
	proxied := ok && failure.Status > 500 // 502, 504, 524: it was not the backend itself
	if !ok || failure.Status == 0 || proxied {
		a.busyUntil = a.busyUntil.Add(b.Config.Timeout.D())
	}
}

// size is the memory that it takes, in bytes, by estimate.
func (a *attempt) size() int64 { return int64(len(a.before)) * 64 }

// createOnce is create for a caller who may ask again: a create that was done is not
// done again, and answers what it answered. One that certainly was not done is.
func (g *Gateway) createOnce(ctx context.Context, caller *Caller, q WriteQuery) (*response, error) {
	if q.IdempotencyKey == "" || q.DryRun {
		return g.create(ctx, caller, q, &attempt{})
	}
	claim, before, err := g.creates.Begin(idempotency.ID{Caller: caller.KeyID, Key: q.IdempotencyKey}, fingerprint(q))
	switch {
	case errors.Is(err, idempotency.ErrRunning):
		g.telemetry.Idempotent(idempotentInProgress)
		p := newProblem(CodeIdempotencyInProgress, "a request with this Idempotency-Key is still running")
		p.RetryAfter = time.Second
		return nil, p
	case errors.Is(err, idempotency.ErrReused):
		g.telemetry.Idempotent(idempotentReused)
		return nil, newProblem(CodeIdempotencyKeyReused, "this Idempotency-Key was used for a request with another body; send a new key with a new request")
	case errors.Is(err, idempotency.ErrFull):
		g.telemetry.Idempotent(idempotentRefused)
		p := newProblem(CodeStoreUnavailable, "there is no room to remember another Idempotency-Key; what is kept goes after %s", idempotency.TTL)
		p.RetryAfter = time.Minute
		return nil, p
	case before != nil:
		g.telemetry.Idempotent(idempotentReplayed)
		if !before.visible(caller) {
			return nil, newProblem(CodeBackendNotFound, "the agent was made at a backend, or with a credential there, that the key no longer maps to")
		}
		return before.replay()
	}
	try := &attempt{}
	if claim.Lost != nil {
		*try = *claim.Lost
	}
	defer func() { claim.LostTrack(*try, try.size()) }() // if it panics
	r, err := g.create(ctx, caller, q, try)
	p := problemOf(err)
	switch {
	case err == nil:
		first := kept{backend: try.backend, address: try.address, credential: try.credential, response: r}
		claim.Answered(first, 2*r.body.Size()) // it may be compressed later
		if try.found {
			g.telemetry.Idempotent(idempotentFound)
			return first.replay()
		}
		g.telemetry.Idempotent(idempotentCreated)
		return r, nil
	case try.lost:
		claim.LostTrack(*try, try.size())
		g.telemetry.Idempotent(idempotentLost)
		return nil, p.again(time.Until(try.busyUntil))
	case p.Upstream != nil && (p.Upstream.Status == 400 || p.Upstream.Status == 422): // the backend has seen it, and judged
		claim.Answered(kept{backend: try.backend, address: try.address, credential: try.credential, problem: p}, int64(len(p.Detail)))
	default:
		claim.Forget()
	}
	g.telemetry.Idempotent(idempotentNotCreated)
	return nil, err
}

// replay is the first answer once more.
func (k kept) replay() (*response, error) {
	if k.problem != nil {
		p := *k.problem
		p.Replayed = true
		return nil, &p
	}
	r := *k.response
	r.headers = append(slices.Clone(r.headers), newField("Idempotency-Replayed", "true"))
	return &r, nil
}

// again tells a caller who sent an Idempotency-Key, and whose write may have been done,
// that the same request may be sent again, and when.
func (p *Problem) again(wait time.Duration) *Problem {
	if p.Code != CodeWriteOutcomeUnknown {
		return p
	}
	retryable := *p
	retryable.Retryable = true
	retryable.RetryAfter = max(wait, time.Second)
	retryable.Detail += "; send it again with the same Idempotency-Key: what was made is looked for first"
	return &retryable
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
