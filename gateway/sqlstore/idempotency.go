package sqlstore

import (
	"context"
	"database/sql"
	"time"
)

// Record is what became of a request with an idempotency key.
type Record struct {
	Caller, Key string // the key is hashed
	Fingerprint string // tells whether two requests are the same
	State       string
	Holder      string // the instance at which it runs
	HeldUntil   time.Time
	Since       time.Time // it began, or ended
	Attempt     []byte
	Answer      []byte
}

// Claim takes a record for a request that begins: it is written if there is none of its
// name. Otherwise known is the one that there is, and nothing is written.
func (s *Store) Claim(ctx context.Context, r Record, oldest time.Time, most int) (known *Record, full bool, err error) {
	err = s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		known, full = nil, false
		if _, err := tx.ExecContext(ctx, `DELETE FROM idempotency WHERE since < $1 AND (state <> 'running' OR held_until < $2)`, millis(oldest), millis(r.Since)); err != nil {
			return err
		}
		found, err := readRecord(ctx, tx, r.Caller, r.Key)
		if err != nil || found != nil {
			known = found
			return err
		}
		var count int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM idempotency WHERE caller = $1`, r.Caller).Scan(&count); err != nil {
			return err
		}
		if full = count >= most; full {
			return nil
		}
		result, err := tx.ExecContext(ctx, `INSERT INTO idempotency (caller, key, fingerprint, state, holder, held_until, since) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (caller, key) DO NOTHING`,
			r.Caller, r.Key, r.Fingerprint, r.State, r.Holder, millis(r.HeldUntil), millis(r.Since))
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n > 0 {
			return err
		}
		known, err = readRecord(ctx, tx, r.Caller, r.Key) // another instance was first
		return err
	})
	return known, full, err
}

func readRecord(ctx context.Context, q querier, caller, key string) (*Record, error) {
	r := &Record{Caller: caller, Key: key}
	var until, since int64
	err := q.QueryRowContext(ctx, `SELECT fingerprint, state, holder, held_until, since, attempt, answer FROM idempotency WHERE caller = $1 AND key = $2`, caller, key).
		Scan(&r.Fingerprint, &r.State, &r.Holder, &until, &since, &r.Attempt, &r.Answer)
	if err == sql.ErrNoRows {
		return nil, nil
	}
	r.HeldUntil, r.Since = instant(until), instant(since)
	return r, err
}

// Replace writes a record in the place of one that nobody changed since it was read.
// False: somebody did.
func (s *Store) Replace(ctx context.Context, was, now Record) (done bool, err error) {
	err = s.doing(ctx, true, func(ctx context.Context) error {
		result, err := s.db.ExecContext(ctx, `UPDATE idempotency SET state = $1, holder = $2, held_until = $3, since = $4, attempt = $5, answer = $6
			WHERE caller = $7 AND key = $8 AND state = $9 AND holder = $10 AND since = $11`,
			now.State, now.Holder, millis(now.HeldUntil), millis(now.Since), now.Attempt, now.Answer, was.Caller, was.Key, was.State, was.Holder, millis(was.Since))
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		done = n > 0
		return err
	})
	return done, err
}

// Drop removes a record that nobody changed since it was read.
func (s *Store) Drop(ctx context.Context, was Record) error {
	return s.doing(ctx, true, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, `DELETE FROM idempotency WHERE caller = $1 AND key = $2 AND state = $3 AND holder = $4 AND since = $5`,
			was.Caller, was.Key, was.State, was.Holder, millis(was.Since))
		return err
	})
}

// Forget removes the records of a caller.
func (s *Store) Forget(ctx context.Context, caller string) error {
	return s.doing(ctx, true, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, `DELETE FROM idempotency WHERE caller = $1`, caller)
		return err
	})
}
