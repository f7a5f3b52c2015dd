package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Migration is the move of an agent from one backend to another.
type Migration struct {
	ID            string // ids sort by creation time
	Version       int64  // starts at 1, and increases with each change
	State         string
	Source        string // the id of an agent
	TargetBackend string
	Target        string // the id of an agent; empty until it is created
	KeyID         string // the key that planned it
	Batch         string // the migrations that were planned together with it; empty for none
	// The credentials that it was planned with, hashed.
	SourceCredential, TargetCredential string

	PlanHash      string
	Attempt       []byte // the create request whose outcome is unknown; nil for none
	Document      []byte // encrypted: the plan, and the source agent when it was planned
	ShadowPercent int64
	ShadowUntil   time.Time
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// ErrConflict is returned by WriteMigration if the migration has changed since it was read.
var ErrConflict = errors.New("the migration was changed by another request")

const migrationColumns = `id, version, state, source, target_backend, target, key_id, source_credential, target_credential, plan_hash, attempt, document, shadow_percent, shadow_until, created_at, updated_at, batch`

func readMigrations(ctx context.Context, q querier, tail string, args ...any) (found []Migration, err error) {
	rows, err := q.QueryContext(ctx, `SELECT `+migrationColumns+` FROM migrations `+tail, args...)
	err = forEachRow(rows, err, func(rows *sql.Rows) error {
		var m Migration
		var until, created, updated int64
		err := rows.Scan(&m.ID, &m.Version, &m.State, &m.Source, &m.TargetBackend, &m.Target, &m.KeyID, &m.SourceCredential, &m.TargetCredential,
			&m.PlanHash, &m.Attempt, &m.Document, &m.ShadowPercent, &until, &created, &updated, &m.Batch)
		m.ShadowUntil, m.CreatedAt, m.UpdatedAt = fromMillis(until), fromMillis(created), fromMillis(updated)
		found = append(found, m)
		return err
	})
	return found, err
}

// Migration returns the migration with that id, and whether it exists.
func (s *Store) Migration(ctx context.Context, id string) (m Migration, found bool, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		all, err := readMigrations(ctx, s.db, `WHERE id = $1`, id)
		if err == nil && len(all) > 0 {
			m, found = all[0], true
		}
		return err
	})
	return m, found, err
}

// MigrationQuery selects migrations. Empty fields do not restrict the result.
type MigrationQuery struct {
	States        []string
	Source        string // the id of an agent
	SourceBackend string
	TargetBackend string
	Batch         string
	After         string // the id of the last migration of the previous page
	Limit         int    // 0: no limit
}

// Migrations returns the selected migrations, newest first.
func (s *Store) Migrations(ctx context.Context, q MigrationQuery) (found []Migration, err error) {
	var where []string
	var args []any
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	if len(q.States) > 0 {
		var placeholders []string
		for _, state := range q.States {
			args = append(args, state)
			placeholders = append(placeholders, fmt.Sprintf("$%d", len(args)))
		}
		where = append(where, "state IN ("+strings.Join(placeholders, ", ")+")")
	}
	if q.Source != "" {
		add("source = $%d", q.Source)
	}
	if q.SourceBackend != "" {
		add("substr(source, 1, "+fmt.Sprint(len(q.SourceBackend)+1)+") = $%d", q.SourceBackend+":")
	}
	if q.TargetBackend != "" {
		add("target_backend = $%d", q.TargetBackend)
	}
	if q.Batch != "" {
		add("batch = $%d", q.Batch)
	}
	if q.After != "" {
		add("id < $%d", q.After)
	}
	tail := ""
	if len(where) > 0 {
		tail = "WHERE " + strings.Join(where, " AND ")
	}
	tail += " ORDER BY id DESC"
	if q.Limit > 0 {
		tail += fmt.Sprintf(" LIMIT %d", q.Limit)
	}
	err = s.read(ctx, func(ctx context.Context) error {
		found, err = readMigrations(ctx, s.db, tail, args...)
		return err
	})
	return found, err
}

// routedStates are the states in which a migration is part of Routes.
var routedStates = []string{"outcome_unknown", "applied", "verified", "drifted", "shadowing", "cut_over"}

func (m Migration) isShadowing() bool {
	return m.State == "shadowing" && m.ShadowPercent > 0 && m.Target != ""
}

// routeKey describes what Routes contains of a migration, empty for nothing. If it changes,
// the revision of Routes must change.
func (m Migration) routeKey() string {
	switch {
	case m.isShadowing():
		return fmt.Sprintf("%s %s %d %d", m.Source, m.Target, m.ShadowPercent, toMillis(m.ShadowUntil))
	case slices.Contains(routedStates, m.State):
		return m.Source + " " + m.Target
	}
	return ""
}

// MigrationChange is a change of a migration together with its aliases and its audit
// entry. It is written in one transaction.
type MigrationChange struct {
	Migration Migration // the new content; its Version is the version that it replaces
	Audit     AuditEntry
	// PutAliases are created or updated, and aliases that point to their names are updated
	// too. The error is ErrVersionMismatch if a name belongs to another migration, or to
	// none.
	PutAliases []Alias
	// RestoreAliases are names whose aliases the migration created. They are deleted, and
	// the aliases that the migration updated get their previous target back, which is in
	// SourceAccount.
	RestoreAliases []string
	SourceAccount  string
}

// WriteMigration creates a migration if its version is 0. Otherwise it updates it, with
// ErrConflict if the stored version is another one.
func (s *Store) WriteMigration(ctx context.Context, c MigrationChange) (stored Migration, err error) {
	err = s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		stored = c.Migration
		stored.Version++
		before, err := readMigrations(ctx, tx, `WHERE id = $1`, stored.ID)
		if err != nil {
			return err
		}
		routedBefore, known := "", (*Migration)(nil)
		if len(before) > 0 {
			routedBefore, known = before[0].routeKey(), &before[0]
		}
		if err := checkMigration(ctx, tx, c, stored, known); err != nil {
			return err
		}
		if routedBefore != stored.routeKey() || len(c.PutAliases)+len(c.RestoreAliases) > 0 {
			if err := bumpRevision(ctx, tx); err != nil {
				return err
			}
		}
		if err := writeMigration(ctx, tx, stored); err != nil {
			return err
		}
		if err := putMigrationAliases(ctx, tx, stored.ID, c.PutAliases); err != nil {
			return err
		}
		if len(c.RestoreAliases) > 0 {
			if err := restoreAliases(ctx, tx, stored, c.RestoreAliases, c.SourceAccount); err != nil {
				return err
			}
		}
		c.Audit.Subject, c.Audit.State = stored.ID, cmp.Or(c.Audit.State, stored.State)
		return insertAudit(ctx, tx, c.Audit)
	})
	return stored, err
}

// putMigrationAliases writes the aliases of a migration. It never replaces an alias that
// the migration did not create.
func putMigrationAliases(ctx context.Context, tx *sql.Tx, migration string, aliases []Alias) error {
	for _, a := range aliases {
		existing, err := readAlias(ctx, tx, a.Owner, a.Name)
		if err != nil {
			return err
		}
		if existing != nil && existing.MigrationID != migration {
			return domainError{fmt.Errorf("%w: %s points to %s", ErrVersionMismatch, a.Name, existing.Target)}
		}
		if _, err := putAlias(ctx, tx, a); err != nil {
			return err
		}
	}
	return nil
}

func writeMigration(ctx context.Context, tx *sql.Tx, m Migration) error {
	args := []any{m.ID, m.Version, m.State, m.Source, m.TargetBackend, m.Target, m.KeyID, m.SourceCredential, m.TargetCredential,
		m.PlanHash, m.Attempt, m.Document, m.ShadowPercent, toMillis(m.ShadowUntil), toMillis(m.CreatedAt), toMillis(m.UpdatedAt), m.Batch}
	if m.Version == 1 {
		_, err := tx.ExecContext(ctx, `INSERT INTO migrations (`+migrationColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`, args...)
		return err
	}
	result, err := tx.ExecContext(ctx, `UPDATE migrations SET version = $2, state = $3, source = $4, target_backend = $5, target = $6, key_id = $7, source_credential = $8, target_credential = $9,
		plan_hash = $10, attempt = $11, document = $12, shadow_percent = $13, shadow_until = $14, created_at = $15, updated_at = $16, batch = $17 WHERE id = $1 AND version = $2 - 1`, args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, domainError{ErrConflict})
	}
	return nil
}

// ShadowCount is how often shadow reads in one minute found a field to differ. For the
// field "" it is the number of shadow reads.
type ShadowCount struct {
	Minute time.Time
	Field  string
	Count  int64
}

// AddShadowCounts adds counts to those of a migration.
func (s *Store) AddShadowCounts(ctx context.Context, id string, counts []ShadowCount) error {
	return s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, c := range counts {
			if _, err := tx.ExecContext(ctx, `INSERT INTO shadow_counts (migration_id, minute, field, count) VALUES ($1, $2, $3, $4)
				ON CONFLICT (migration_id, minute, field) DO UPDATE SET count = shadow_counts.count + $4`, id, toMillis(c.Minute), c.Field, c.Count); err != nil {
				return err
			}
		}
		return nil
	})
}

// ShadowCounts returns the counts of a migration, oldest minute first.
func (s *Store) ShadowCounts(ctx context.Context, id string) (counts []ShadowCount, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		rows, err := s.db.QueryContext(ctx, `SELECT minute, field, count FROM shadow_counts WHERE migration_id = $1 ORDER BY minute, field`, id)
		return forEachRow(rows, err, func(rows *sql.Rows) error {
			var c ShadowCount
			var minute int64
			err := rows.Scan(&minute, &c.Field, &c.Count)
			c.Minute = fromMillis(minute)
			counts = append(counts, c)
			return err
		})
	})
	return counts, err
}

// CountMigrations returns the number of migrations in each state.
func (s *Store) CountMigrations(ctx context.Context) (counts map[string]int, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		counts = map[string]int{}
		rows, err := s.db.QueryContext(ctx, `SELECT state, count(*) FROM migrations GROUP BY state`)
		return forEachRow(rows, err, func(rows *sql.Rows) error {
			var state string
			var n int
			err := rows.Scan(&state, &n)
			counts[state] = n
			return err
		})
	})
	return counts, err
}
