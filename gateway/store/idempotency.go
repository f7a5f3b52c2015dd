package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// IdempotencyRecord is the outcome of a request with an idempotency key, or its state
// while it runs. Package store/idempotency gives the fields their meaning.
type IdempotencyRecord struct {
	Caller, Key string // the key is hashed
	Fingerprint string // equal for equal requests
	State       string
	Holder      string // the instance that runs the request
	HeldUntil   time.Time
	Since       time.Time // when the request began or, once it has ended, when it ended
	Attempt     []byte
	Answer      []byte
}

// ClaimRecord inserts a record, and deletes those that began or ended before oldest unless
// they are still running. If there is a record of the same caller and key, it returns that
// one as existing and inserts nothing. If the caller has maxPerCaller records, full is true
// and nothing is inserted.
func (s *Store) ClaimRecord(ctx context.Context, r IdempotencyRecord, oldest time.Time, maxPerCaller int) (existing *IdempotencyRecord, full bool, err error) {
	err = s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		existing, full = nil, false
		if _, err := tx.ExecContext(ctx, `DELETE FROM idempotency WHERE since < $1 AND (state <> 'running' OR held_until < $2)`, toMillis(oldest), toMillis(r.Since)); err != nil {
			return err
		}
		found, err := readRecord(ctx, tx, r.Caller, r.Key)
		if err != nil || found != nil {
			existing = found
			return err
		}
		var count int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM idempotency WHERE caller = $1`, r.Caller).Scan(&count); err != nil {
			return err
		}
		if full = count >= maxPerCaller; full {
			return nil
		}
		result, err := tx.ExecContext(ctx, `INSERT INTO idempotency (caller, key, fingerprint, state, holder, held_until, since) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (caller, key) DO NOTHING`,
			r.Caller, r.Key, r.Fingerprint, r.State, r.Holder, toMillis(r.HeldUntil), toMillis(r.Since))
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n > 0 {
			return err
		}
		existing, err = readRecord(ctx, tx, r.Caller, r.Key) // another instance inserted it first
		return err
	})
	return existing, full, err
}

// readRecord returns nil if there is no such record.
func readRecord(ctx context.Context, q querier, caller, key string) (*IdempotencyRecord, error) {
	r := &IdempotencyRecord{Caller: caller, Key: key}
	var until, since int64
	err := q.QueryRowContext(ctx, `SELECT fingerprint, state, holder, held_until, since, attempt, answer FROM idempotency WHERE caller = $1 AND key = $2`, caller, key).
		Scan(&r.Fingerprint, &r.State, &r.Holder, &until, &since, &r.Attempt, &r.Answer)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	r.HeldUntil, r.Since = fromMillis(until), fromMillis(since)
	return r, err
}

// ReplaceRecord replaces old by updated unless the record has changed since old was read. It
// reports whether it did.
func (s *Store) ReplaceRecord(ctx context.Context, old, updated IdempotencyRecord) (replaced bool, err error) {
	err = s.write(ctx, func(ctx context.Context) error {
		result, err := s.db.ExecContext(ctx, `UPDATE idempotency SET state = $1, holder = $2, held_until = $3, since = $4, attempt = $5, answer = $6
			WHERE caller = $7 AND key = $8 AND state = $9 AND holder = $10 AND since = $11`,
			updated.State, updated.Holder, toMillis(updated.HeldUntil), toMillis(updated.Since), updated.Attempt, updated.Answer, old.Caller, old.Key, old.State, old.Holder, toMillis(old.Since))
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		replaced = n > 0
		return err
	})
	return replaced, err
}

// DeleteRecord deletes a record unless it has changed since old was read.
func (s *Store) DeleteRecord(ctx context.Context, old IdempotencyRecord) error {
	return s.write(ctx, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, `DELETE FROM idempotency WHERE caller = $1 AND key = $2 AND state = $3 AND holder = $4 AND since = $5`,
			old.Caller, old.Key, old.State, old.Holder, toMillis(old.Since))
		return err
	})
}
