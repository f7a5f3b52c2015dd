package sqlstore

import (
	"context"
	"database/sql"
	"time"
)

// Audit is a line of the trail: who did what to which subject, and what state that led to.
// It holds no value of an agent.
type Audit struct {
	Subject   string // a migration's id, or "alias " and its name
	At        time.Time
	KeyID     string
	RequestID string
	Step      string
	State     string // of a migration, after the step
	Detail    string
}

func audit(ctx context.Context, tx *sql.Tx, a Audit) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO audit (subject, seq, at, key_id, request_id, step, state, detail)
		SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4, $5, $6, $7 FROM audit WHERE subject = $1`,
		a.Subject, millis(a.At), a.KeyID, a.RequestID, a.Step, a.State, a.Detail)
	return err
}

// Trail is what was done to a subject, the oldest first.
func (s *Store) Trail(ctx context.Context, subject string) (trail []Audit, err error) {
	err = s.within(ctx, func(ctx context.Context) error {
		rows, err := s.db.QueryContext(ctx, `SELECT at, key_id, request_id, step, state, detail FROM audit WHERE subject = $1 ORDER BY seq`, subject)
		return each(rows, err, func(rows *sql.Rows) error {
			a := Audit{Subject: subject}
			var at int64
			err := rows.Scan(&at, &a.KeyID, &a.RequestID, &a.Step, &a.State, &a.Detail)
			a.At = instant(at)
			trail = append(trail, a)
			return err
		})
	})
	return trail, err
}
