package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Alias leads from a name to an agent.
type Alias struct {
	Name, Target string
	Version      int64 // counts its changes, from 1
	KeyID        string
	MigrationID  string // that made it; empty for none
	MovedFrom    string // where it led before a migration led it elsewhere; empty for none did
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// Why an alias is not written.
var (
	ErrVersion = errors.New("the alias is not of that version")
	ErrCircle  = errors.New("the alias would lead back to itself")
)

// Routes are what requests by name are led by: all aliases, and the migrations whose
// source is read along with their target.
type Routes struct {
	Revision int64
	Aliases  []Alias
	Shadows  []Shadow
	// Moving are agents, sources and targets, that a migration may lead to or from.
	Moving []string
}

// Shadow is a migration whose target is read along with its source.
type Shadow struct {
	MigrationID, Source, Target string
	Percent                     int64
	Until                       time.Time
}

// Revision tells whether Routes are as they were.
func (s *Store) Revision(ctx context.Context) (revision int64, err error) {
	err = s.within(ctx, func(ctx context.Context) error {
		revision, err = readRevision(ctx, s.db)
		return err
	})
	return revision, err
}

func readRevision(ctx context.Context, q querier) (revision int64, err error) {
	err = q.QueryRowContext(ctx, `SELECT value FROM revisions WHERE name = 'routes'`).Scan(&revision)
	return revision, err
}

// rerouted says that Routes are no longer as they were.
func rerouted(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE revisions SET value = value + 1 WHERE name = 'routes'`)
	return err
}

// Routes reads them. The revision is read first: what is written meanwhile has a later one.
func (s *Store) Routes(ctx context.Context) (r Routes, err error) {
	err = s.within(ctx, func(ctx context.Context) error {
		if r.Revision, err = readRevision(ctx, s.db); err != nil {
			return err
		}
		if r.Aliases, err = readAliases(ctx, s.db, ""); err != nil {
			return err
		}
		rows, err := s.db.QueryContext(ctx, `SELECT id, state, source, target, shadow_percent, shadow_until FROM migrations WHERE state IN ('`+strings.Join(movingStates, "', '")+`')`)
		return each(rows, err, func(rows *sql.Rows) error {
			var m Migration
			var until int64
			if err := rows.Scan(&m.ID, &m.State, &m.Source, &m.Target, &m.ShadowPercent, &until); err != nil {
				return err
			}
			m.ShadowUntil = instant(until)
			r.Moving = append(r.Moving, m.Source)
			if m.Target != "" {
				r.Moving = append(r.Moving, m.Target)
			}
			if m.shadows() {
				r.Shadows = append(r.Shadows, Shadow{m.ID, m.Source, m.Target, m.ShadowPercent, m.ShadowUntil})
			}
			return nil
		})
	})
	return r, err
}

func readAliases(ctx context.Context, q querier, where string, args ...any) (aliases []Alias, err error) {
	rows, err := q.QueryContext(ctx, `SELECT name, target, version, key_id, migration_id, moved_from, created_at, updated_at FROM aliases `+where+` ORDER BY name`, args...)
	err = each(rows, err, func(rows *sql.Rows) error {
		var a Alias
		var created, updated int64
		err := rows.Scan(&a.Name, &a.Target, &a.Version, &a.KeyID, &a.MigrationID, &a.MovedFrom, &created, &updated)
		a.CreatedAt, a.UpdatedAt = instant(created), instant(updated)
		aliases = append(aliases, a)
		return err
	})
	return aliases, err
}

// PutAlias writes an alias if it is of that version by now, 0 for one that is not there.
// A target that is an alias itself is followed to its end, and aliases that lead to this
// name lead to the new target: no chain is ever kept.
func (s *Store) PutAlias(ctx context.Context, put Alias, version int64, by Audit) (now Alias, err error) {
	err = s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if now, err = putAlias(ctx, tx, put, &version); err != nil {
			return err
		}
		by.Subject, by.Step, by.Detail = "alias "+put.Name, "put", "to "+now.Target
		if err := audit(ctx, tx, by); err != nil {
			return err
		}
		return rerouted(ctx, tx)
	})
	return now, err
}

// putAlias writes an alias, of whatever version where that is nil.
func putAlias(ctx context.Context, tx *sql.Tx, put Alias, version *int64) (now Alias, err error) {
	if followed, err := readAliases(ctx, tx, `WHERE name = $1`, put.Target); err != nil {
		return Alias{}, err
	} else if len(followed) > 0 {
		put.Target = followed[0].Target
	}
	if put.Target == put.Name {
		return Alias{}, decision{ErrCircle}
	}
	before, err := readAliases(ctx, tx, `WHERE name = $1`, put.Name)
	if err != nil {
		return Alias{}, err
	}
	known := int64(0)
	at := millis(put.UpdatedAt)
	if len(before) > 0 {
		known, put.CreatedAt = before[0].Version, before[0].CreatedAt
	}
	if version != nil && *version != known {
		return Alias{}, decision{fmt.Errorf("%w: it is %d", ErrVersion, known)}
	}
	if put.CreatedAt.IsZero() {
		put.CreatedAt = put.UpdatedAt
	}
	put.Version = known + 1
	// Two transactions may both have found none: one of them is refused by the key.
	result, err := tx.ExecContext(ctx, `INSERT INTO aliases (name, target, version, key_id, migration_id, moved_from, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, '', $6, $7)
		ON CONFLICT (name) DO UPDATE SET target = $2, version = $3, key_id = $4, migration_id = $5, moved_from = '', updated_at = $7 WHERE aliases.version = $8`,
		put.Name, put.Target, put.Version, put.KeyID, put.MigrationID, millis(put.CreatedAt), at, known)
	if err != nil {
		return Alias{}, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return Alias{}, errors.Join(err, decision{ErrVersion})
	}
	_, err = tx.ExecContext(ctx, `UPDATE aliases SET target = $1, moved_from = $3, version = version + 1, updated_at = $2 WHERE target = $3`, put.Target, at, put.Name)
	return put, err
}

// DeleteAlias removes an alias; of the version where that is not 0. False: there is none.
func (s *Store) DeleteAlias(ctx context.Context, name string, version int64, by Audit) (found bool, err error) {
	err = s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		before, err := readAliases(ctx, tx, `WHERE name = $1`, name)
		if err != nil || len(before) == 0 {
			return err
		}
		found = true
		if version != 0 && before[0].Version != version {
			return decision{fmt.Errorf("%w: it is %d", ErrVersion, before[0].Version)}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM aliases WHERE name = $1`, name); err != nil {
			return err
		}
		by.Subject, by.Step, by.Detail = "alias "+name, "delete", "led to "+before[0].Target
		if err := audit(ctx, tx, by); err != nil {
			return err
		}
		return rerouted(ctx, tx)
	})
	return found, err
}
