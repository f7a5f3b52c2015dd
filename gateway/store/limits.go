package store

import (
	"context"
	"database/sql"
	"errors"
)

// What one key can make the store keep.
const (
	// MaxAliasesPerKey bounds the aliases that one key creates.
	MaxAliasesPerKey = 10_000
	// MaxMigrationsPerKey bounds the migrations that one key plans.
	MaxMigrationsPerKey = 10_000
	// MaxDocumentBytes bounds the document of a migration, and maxDocumentsPerKey those of one
	// key together.
	MaxDocumentBytes   = 4 << 20
	maxDocumentsPerKey = 1 << 30
	// maxTrail bounds the audit entries of a migration.
	maxTrail = 1000
	// maxAliasTrail bounds the audit entries about aliases of one key; the oldest are deleted.
	maxAliasTrail = 20_000
)

// Errors of writes beyond a limit.
var (
	ErrTooMany  = errors.New("too many for this key")
	ErrTooLarge = errors.New("too large to store")
)

// checkCount returns ErrTooMany if a query of a number counts at least limit.
func checkCount(ctx context.Context, tx *sql.Tx, limit int64, query string, args ...any) error {
	var n int64
	if err := tx.QueryRowContext(ctx, query, args...).Scan(&n); err != nil {
		return err
	}
	if n >= limit {
		return domainError{ErrTooMany}
	}
	return nil
}

// checkMigration returns an error if a change of a migration is beyond a limit. before is what is
// stored; nil for a new one. What ends a migration, or points its names elsewhere, is never
// refused for its trail.
func checkMigration(ctx context.Context, tx *sql.Tx, c MigrationChange, m Migration, before *Migration) error {
	if len(m.Document) > MaxDocumentBytes {
		return domainError{ErrTooLarge}
	}
	grown := int64(len(m.Document))
	if before != nil {
		grown -= int64(len(before.Document))
	} else if err := checkCount(ctx, tx, MaxMigrationsPerKey, `SELECT count(*) FROM migrations WHERE key_id = $1`, m.KeyID); err != nil {
		return err
	}
	if grown > 0 {
		if err := checkCount(ctx, tx, maxDocumentsPerKey-grown, `SELECT COALESCE(SUM(LENGTH(document)), 0) FROM migrations WHERE key_id = $1`, m.KeyID); err != nil {
			return err
		}
	}
	if before == nil || len(c.PutAliases)+len(c.RestoreAliases) > 0 {
		return nil
	}
	return checkCount(ctx, tx, maxTrail, `SELECT count(*) FROM audit WHERE subject = $1`, m.ID)
}

// trimAliasTrail deletes the oldest audit entries about aliases of a key that has too many.
func trimAliasTrail(ctx context.Context, tx *sql.Tx, keyID string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM audit WHERE key_id = $1 AND subject LIKE 'alias %' AND at < (
		SELECT at FROM audit WHERE key_id = $1 AND subject LIKE 'alias %' ORDER BY at DESC LIMIT 1 OFFSET $2)`, keyID, maxAliasTrail)
	return err
}
