package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Migration is an agent's way from one backend to another.
type Migration struct {
	ID            string // they sort by when they were made
	Version       int64  // counts its changes, from 1
	State         string
	Source        string // an agent's id
	TargetBackend string
	Target        string // an agent's id; empty before there is one
	KeyID         string // who planned it
	// The credentials that it was planned with, hashed.
	SourceCredential, TargetCredential string

	PlanHash      string
	Attempt       []byte // the create that may be on its way; nil for none
	Document      []byte // sealed: the plan, and the agent as it was
	ShadowPercent int64
	ShadowUntil   time.Time
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// ErrChanged is why a migration is not written: it was changed meanwhile.
var ErrChanged = errors.New("the migration was changed meanwhile")

const migrationColumns = `id, version, state, source, target_backend, target, key_id, source_credential, target_credential, plan_hash, attempt, document, shadow_percent, shadow_until, created_at, updated_at`

func readMigrations(ctx context.Context, q querier, tail string, args ...any) (found []Migration, err error) {
	rows, err := q.QueryContext(ctx, `SELECT `+migrationColumns+` FROM migrations `+tail, args...)
	err = each(rows, err, func(rows *sql.Rows) error {
		var m Migration
		var until, created, updated int64
		err := rows.Scan(&m.ID, &m.Version, &m.State, &m.Source, &m.TargetBackend, &m.Target, &m.KeyID, &m.SourceCredential, &m.TargetCredential,
			&m.PlanHash, &m.Attempt, &m.Document, &m.ShadowPercent, &until, &created, &updated)
		m.ShadowUntil, m.CreatedAt, m.UpdatedAt = instant(until), instant(created), instant(updated)
		found = append(found, m)
		return err
	})
	return found, err
}

// Migration is the one of that id; false if there is none.
func (s *Store) Migration(ctx context.Context, id string) (m Migration, found bool, err error) {
	err = s.within(ctx, func(ctx context.Context) error {
		all, err := readMigrations(ctx, s.db, `WHERE id = $1`, id)
		if err == nil && len(all) > 0 {
			m, found = all[0], true
		}
		return err
	})
	return m, found, err
}

// MigrationQuery says which migrations are asked for. What is empty is not asked for.
type MigrationQuery struct {
	States        []string
	Source        string // an agent's id
	SourceBackend string
	TargetBackend string
	After         string // the id behind which the walk goes on
	Limit         int
}

// Migrations are those asked for, the newest first.
func (s *Store) Migrations(ctx context.Context, q MigrationQuery) (found []Migration, err error) {
	var where []string
	var args []any
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	if len(q.States) > 0 {
		var any []string
		for _, state := range q.States {
			args = append(args, state)
			any = append(any, fmt.Sprintf("$%d", len(args)))
		}
		where = append(where, "state IN ("+strings.Join(any, ", ")+")")
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
	err = s.within(ctx, func(ctx context.Context) error {
		found, err = readMigrations(ctx, s.db, tail, args...)
		return err
	})
	return found, err
}

// movingStates are those in which a migration's agents may be led elsewhere.
var movingStates = []string{"outcome_unknown", "applied", "verified", "shadowing", "cut_over"}

func (m Migration) shadows() bool {
	return m.State == "shadowing" && m.ShadowPercent > 0 && m.Target != ""
}

// route is what Routes show of a migration: empty for nothing.
func (m Migration) route() string {
	switch {
	case m.shadows():
		return fmt.Sprintf("%s %s %d %d", m.Source, m.Target, m.ShadowPercent, millis(m.ShadowUntil))
	case slices.Contains(movingStates, m.State):
		return m.Source + " " + m.Target
	}
	return ""
}

// Change is what is written of a migration at once: all of it, or nothing.
type Change struct {
	Migration Migration // as it shall be; its Version is the one that it has
	By        Audit     // the line of the trail
	// Lead makes these aliases, and leads those elsewhere that lead to their names; it is
	// ErrVersion if another one has one of the names. Unlead removes the aliases that the
	// migration made of these names, and gives those back what they led to that were led
	// elsewhere with them; SourceAccount is whose that is.
	Lead          []Alias
	Unlead        []string
	SourceAccount string
}

// Write adds a migration (its version is 0), or changes it if it is of its version still.
func (s *Store) Write(ctx context.Context, c Change) (now Migration, err error) {
	err = s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now = c.Migration
		now.Version++
		before, err := readMigrations(ctx, tx, `WHERE id = $1`, now.ID)
		if err != nil {
			return err
		}
		was := ""
		if len(before) > 0 {
			was = before[0].route()
		}
		if was != now.route() || len(c.Lead)+len(c.Unlead) > 0 {
			if err := rerouted(ctx, tx); err != nil {
				return err
			}
		}
		if err := writeMigration(ctx, tx, now); err != nil {
			return err
		}
		for _, a := range c.Lead {
			known, err := readAliases(ctx, tx, `WHERE name = $1`, a.Name)
			if err != nil {
				return err
			}
			if len(known) > 0 && known[0].MigrationID != now.ID {
				return decision{fmt.Errorf("%w: %s leads to %s", ErrVersion, a.Name, known[0].Target)}
			}
			if _, err := putAlias(ctx, tx, a); err != nil {
				return err
			}
		}
		if len(c.Unlead) > 0 {
			if err := unlead(ctx, tx, now, c.Unlead, c.SourceAccount); err != nil {
				return err
			}
		}
		c.By.Subject, c.By.State = now.ID, now.State
		return audit(ctx, tx, c.By)
	})
	return now, err
}

func writeMigration(ctx context.Context, tx *sql.Tx, m Migration) error {
	args := []any{m.ID, m.Version, m.State, m.Source, m.TargetBackend, m.Target, m.KeyID, m.SourceCredential, m.TargetCredential,
		m.PlanHash, m.Attempt, m.Document, m.ShadowPercent, millis(m.ShadowUntil), millis(m.CreatedAt), millis(m.UpdatedAt)}
	if m.Version == 1 {
		_, err := tx.ExecContext(ctx, `INSERT INTO migrations (`+migrationColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`, args...)
		return err
	}
	result, err := tx.ExecContext(ctx, `UPDATE migrations SET version = $2, state = $3, source = $4, target_backend = $5, target = $6, key_id = $7, source_credential = $8, target_credential = $9,
		plan_hash = $10, attempt = $11, document = $12, shadow_percent = $13, shadow_until = $14, created_at = $15, updated_at = $16 WHERE id = $1 AND version = $2 - 1`, args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, decision{ErrChanged})
	}
	return nil
}

// ShadowCount is how often something was seen in a minute: a field that differed, or, for
// the field "", an agent that was read along.
type ShadowCount struct {
	Minute time.Time
	Field  string
	Count  int64
}

// CountShadow adds what was seen.
func (s *Store) CountShadow(ctx context.Context, id string, counts []ShadowCount) error {
	return s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, c := range counts {
			if _, err := tx.ExecContext(ctx, `INSERT INTO shadow_counts (migration_id, minute, field, count) VALUES ($1, $2, $3, $4)
				ON CONFLICT (migration_id, minute, field) DO UPDATE SET count = shadow_counts.count + $4`, id, millis(c.Minute), c.Field, c.Count); err != nil {
				return err
			}
		}
		return nil
	})
}

// ShadowCounts is what was seen, the oldest minute first.
func (s *Store) ShadowCounts(ctx context.Context, id string) (counts []ShadowCount, err error) {
	err = s.within(ctx, func(ctx context.Context) error {
		rows, err := s.db.QueryContext(ctx, `SELECT minute, field, count FROM shadow_counts WHERE migration_id = $1 ORDER BY minute, field`, id)
		return each(rows, err, func(rows *sql.Rows) error {
			var c ShadowCount
			var minute int64
			err := rows.Scan(&minute, &c.Field, &c.Count)
			c.Minute = instant(minute)
			counts = append(counts, c)
			return err
		})
	})
	return counts, err
}

// CountMigrations is how many there are in each state.
func (s *Store) CountMigrations(ctx context.Context) (counts map[string]int, err error) {
	err = s.within(ctx, func(ctx context.Context) error {
		counts = map[string]int{}
		rows, err := s.db.QueryContext(ctx, `SELECT state, count(*) FROM migrations GROUP BY state`)
		return each(rows, err, func(rows *sql.Rows) error {
			var state string
			var n int
			err := rows.Scan(&state, &n)
			counts[state] = n
			return err
		})
	})
	return counts, err
}
