// Package idempotency remembers what became of the requests that carry an
// Idempotency-Key (draft-ietf-httpapi-idempotency-key-header), so that sending one
// again does not do it again: after a restart, and at another instance, too.
//
// It must not know HTTP, agents or backends: what is kept is its user's to say.
package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/agentgw/agentgw/gateway/sqlstore"
)

// TTL is how long an answer is kept.
const TTL = 24 * time.Hour

// ID names a request: a key of a caller's own, and the caller.
type ID struct{ Caller, Key string }

// Why a request cannot begin. Beside them, sqlstore.ErrUnavailable.
var (
	ErrRunning = errors.New("a request with this key is still running")
	ErrReused  = errors.New("this key was used for another request")
	ErrFull    = errors.New("there is no room for another record")
)

// Options of Records.
type Options struct {
	Store *sqlstore.Store
	// Holder tells this instance from others.
	Holder string
	// Hold is how long a request can run: one that is not over by then was its instance's
	// last.
	Hold func() time.Duration
	// MaxPerCaller bounds how many are kept of one caller.
	MaxPerCaller int
	Now          func() time.Time
}

// Records keeps an answer, or a lost attempt, for each request; both are the user's own
// bytes, without a secret or a prompt in them. It is safe for concurrent use.
type Records struct{ options Options }

// States of a record.
const (
	running  = "running"
	answered = "answered"
	lost     = "lost"
)

// New makes Records.
func New(o Options) *Records { return &Records{options: o} }

// Begin is what a request does first. It is given the answer of the same request
// before it, or a claim, which it must end; or the error says why neither. The
// fingerprint tells whether two requests are the same.
func (r *Records) Begin(ctx context.Context, id ID, fingerprint [32]byte) (*Claim, []byte, error) {
	now := r.options.Now()
	key := sha256.Sum256([]byte(id.Key))
	mine := sqlstore.Record{
		Caller: id.Caller, Key: hex.EncodeToString(key[:]), Fingerprint: hex.EncodeToString(fingerprint[:]),
		State: running, Holder: r.options.Holder, HeldUntil: now.Add(r.options.Hold()), Since: now,
	}
	known, full, err := r.options.Store.Claim(ctx, mine, now.Add(-TTL), r.options.MaxPerCaller)
	switch {
	case err != nil:
		return nil, nil, err
	case full:
		return nil, nil, ErrFull
	case known == nil:
		return &Claim{records: r, record: mine}, nil, nil
	case known.Fingerprint != mine.Fingerprint:
		return nil, nil, ErrReused
	case known.State == answered:
		return nil, known.Answer, nil
	case known.State == running && now.Before(known.HeldUntil):
		return nil, nil, ErrRunning
	}
	mine.Attempt = known.Attempt // what was not sent yet left none
	taken, err := r.options.Store.Replace(ctx, *known, mine)
	if err != nil {
		return nil, nil, err
	}
	if !taken {
		return nil, nil, ErrRunning // another one was quicker
	}
	return &Claim{Lost: known.Attempt, records: r, record: mine}, nil, nil
}

// Forget removes what is kept of a caller.
func (r *Records) Forget(ctx context.Context, caller string) error {
	return r.options.Store.Forget(ctx, caller)
}

// Claim is the right to do a request. Answered, LostTrack or Forget ends it; what comes
// after the first of them changes nothing.
type Claim struct {
	// Lost is the attempt before this one, of which nobody knows what became of it; nil
	// if there is none.
	Lost []byte

	records *Records
	record  sqlstore.Record
	ended   bool
}

// Attempting says that the request is about to be sent. What becomes of it is unknown
// from here on, even if the process ends here. An error: it must not be sent.
func (c *Claim) Attempting(ctx context.Context, attempt []byte) error {
	now := c.record
	now.Attempt = attempt
	return c.write(ctx, now)
}

// Answered keeps the answer. An error: the attempt is kept, and looked for the next time.
func (c *Claim) Answered(ctx context.Context, answer []byte) error {
	now := c.record
	now.State, now.Answer, now.Attempt, now.HeldUntil = answered, answer, nil, time.Time{}
	return c.end(ctx, now)
}

// LostTrack keeps an attempt that may have done it, or not.
func (c *Claim) LostTrack(ctx context.Context, attempt []byte) error {
	now := c.record
	now.State, now.Attempt, now.HeldUntil = lost, attempt, time.Time{}
	return c.end(ctx, now)
}

// Forget says that nothing was done.
func (c *Claim) Forget(ctx context.Context) error {
	if c.ended {
		return nil
	}
	c.ended = true
	return c.records.options.Store.Drop(ctx, c.record)
}

func (c *Claim) end(ctx context.Context, now sqlstore.Record) error {
	if c.ended {
		return nil
	}
	c.ended = true
	now.Since = c.records.options.Now()
	return c.write(ctx, now)
}

func (c *Claim) write(ctx context.Context, now sqlstore.Record) error {
	done, err := c.records.options.Store.Replace(ctx, c.record, now)
	if err != nil {
		return err
	}
	if !done { // it took longer than Hold, and another one has it
		return ErrRunning
	}
	c.record = now
	return nil
}
