// Package idempotency records the outcome of requests that carry an Idempotency-Key
// (draft-ietf-httpapi-idempotency-key-header), so that a repeated request is not executed
// again: neither after a restart nor by another instance.
//
// It imports the store only. It does not know HTTP, agents or backends: attempts and
// answers are opaque bytes of the caller.
//
// Begin reading at Records.Begin, which every request calls first. It returns a Claim,
// which is the right to execute the request:
//
//	Begin ─► RecordAttempt ─► Complete      the answer is stored, and returned from now on
//	  │            └────────► MarkUnknown   the next request gets the attempt, to look for its effect
//	  └────────► Release                    nothing was done
package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/agentgw/agentgw/gateway/store"
)

// TTL is how long an answer is kept.
const TTL = 24 * time.Hour

// ID identifies a request by its caller and by a key that is unique to the caller.
type ID struct{ Caller, Key string }

// Errors of Begin. It can also fail with store.ErrUnavailable.
var (
	ErrRunning = errors.New("a request with this idempotency key is still running")
	ErrReused  = errors.New("this idempotency key was used for a different request")
	ErrFull    = errors.New("the caller has too many idempotency keys")
)

// Options of Records.
type Options struct {
	Store *store.Store
	// Holder identifies this instance.
	Holder string
	// Hold is the maximum duration of a request. A request that has not ended by then is
	// taken to have ended with its instance.
	Hold func() time.Duration
	// MaxPerCaller is the maximum number of records of one caller.
	MaxPerCaller int
	Now          func() time.Time
}

// Records stores for each request its answer, or the attempt whose outcome is unknown.
// Both must not contain secrets or prompts. It is safe for concurrent use.
type Records struct{ options Options }

// States of a record.
const (
	running  = "running"
	answered = "answered"
	lost     = "lost" // the outcome of the attempt is unknown
)

// New returns Records.
func New(o Options) *Records { return &Records{options: o} }

// Begin starts a request. It returns either the answer of an earlier equal request, or a
// claim, which the caller must end. Requests are equal if their fingerprints are.
func (r *Records) Begin(ctx context.Context, id ID, fingerprint [32]byte) (*Claim, []byte, error) {
	now := r.options.Now()
	key := sha256.Sum256([]byte(id.Key))
	record := store.IdempotencyRecord{
		Caller: id.Caller, Key: hex.EncodeToString(key[:]), Fingerprint: hex.EncodeToString(fingerprint[:]),
		State: running, Holder: r.options.Holder, HeldUntil: now.Add(r.options.Hold()), Since: now,
	}
	existing, full, err := r.options.Store.ClaimRecord(ctx, record, now.Add(-TTL), r.options.MaxPerCaller)
	switch {
	case err != nil:
		return nil, nil, err
	case full:
		return nil, nil, ErrFull
	case existing == nil:
		return &Claim{records: r, record: record}, nil, nil
	case existing.Fingerprint != record.Fingerprint:
		return nil, nil, ErrReused
	case existing.State == answered:
		return nil, existing.Answer, nil
	case existing.State == running && now.Before(existing.HeldUntil):
		return nil, nil, ErrRunning
	}
	record.Attempt = existing.Attempt // nil if the earlier request was not sent
	replaced, err := r.options.Store.ReplaceRecord(ctx, *existing, record)
	if err != nil {
		return nil, nil, err
	}
	if !replaced {
		return nil, nil, ErrRunning // a concurrent request claimed it first
	}
	return &Claim{UnknownAttempt: existing.Attempt, records: r, record: record}, nil, nil
}

// Claim is the right to execute a request. Complete, MarkUnknown or Release ends it; calls
// after the first of them have no effect.
type Claim struct {
	// UnknownAttempt is the previous attempt if its outcome is unknown, else nil.
	UnknownAttempt []byte

	records *Records
	record  store.IdempotencyRecord
	ended   bool
}

// RecordAttempt stores the attempt before it is sent. From then on its outcome counts as
// unknown, even if the process ends. After an error it must not be sent.
func (c *Claim) RecordAttempt(ctx context.Context, attempt []byte) error {
	updated := c.record
	updated.Attempt = attempt
	return c.replace(ctx, updated)
}

// Complete stores the answer and ends the claim. After an error the outcome counts as
// unknown, and the next equal request gets the attempt.
func (c *Claim) Complete(ctx context.Context, answer []byte) error {
	updated := c.record
	updated.State, updated.Answer, updated.Attempt, updated.HeldUntil = answered, answer, nil, time.Time{}
	return c.end(ctx, updated)
}

// MarkUnknown stores an attempt whose outcome is unknown and ends the claim.
func (c *Claim) MarkUnknown(ctx context.Context, attempt []byte) error {
	updated := c.record
	updated.State, updated.Attempt, updated.HeldUntil = lost, attempt, time.Time{}
	return c.end(ctx, updated)
}

// Release deletes the record and ends the claim: the request had no effect, and its key can
// be used again.
func (c *Claim) Release(ctx context.Context) error {
	if c.ended {
		return nil
	}
	c.ended = true
	return c.records.options.Store.DeleteRecord(ctx, c.record)
}

func (c *Claim) end(ctx context.Context, updated store.IdempotencyRecord) error {
	if c.ended {
		return nil
	}
	c.ended = true
	updated.Since = c.records.options.Now()
	return c.replace(ctx, updated)
}

// replace returns ErrRunning if the request took longer than Hold and another one has
// claimed the record since.
func (c *Claim) replace(ctx context.Context, updated store.IdempotencyRecord) error {
	replaced, err := c.records.options.Store.ReplaceRecord(ctx, c.record, updated)
	if err != nil {
		return err
	}
	if !replaced {
		return ErrRunning
	}
	c.record = updated
	return nil
}
