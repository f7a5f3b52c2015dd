package store

import (
	"context"
	"database/sql"
	"time"
)

// AuditEntry is one entry of the audit log: who did what to which subject, and the
// resulting state. It contains no field value of an agent.
type AuditEntry struct {
	Subject   string // the id of a migration, or "alias NAME"
	At        time.Time
	KeyID     string
	RequestID string
	Step      string
	State     string // of a migration, after the step; empty stands for the state that is stored with it
	Detail    string
}

func insertAudit(ctx context.Context, tx *sql.Tx, a AuditEntry) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO audit (subject, seq, at, key_id, request_id, step, state, detail)
		SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4, $5, $6, $7 FROM audit WHERE subject = $1`,
		a.Subject, toMillis(a.At), a.KeyID, a.RequestID, a.Step, a.State, a.Detail)
	return err
}

func insertAliasAudit(ctx context.Context, tx *sql.Tx, a AuditEntry) error {
	if err := insertAudit(ctx, tx, a); err != nil {
		return err
	}
	return trimAliasTrail(ctx, tx, a.KeyID)
}

// AuditLog returns the entries about a subject, oldest first.
func (s *Store) AuditLog(ctx context.Context, subject string) (entries []AuditEntry, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		rows, err := s.db.QueryContext(ctx, `SELECT at, key_id, request_id, step, state, detail FROM audit WHERE subject = $1 ORDER BY seq`, subject)
		return forEachRow(rows, err, func(rows *sql.Rows) error {
			a := AuditEntry{Subject: subject}
			var at int64
			err := rows.Scan(&at, &a.KeyID, &a.RequestID, &a.Step, &a.State, &a.Detail)
			a.At = fromMillis(at)
			entries = append(entries, a)
			return err
		})
	})
	return entries, err
}
