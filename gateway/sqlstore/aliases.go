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
	// The accounts, at their backends, that the name, where it is an agent's id, and the
	// target are of, as the user of the store tells them apart.
	NameAccount, TargetAccount string
	CreatedAt                  time.Time
	UpdatedAt                  time.Time
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
	SourceCredential            string // hashed
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

// rerouted says that Routes are no longer as they were. What changes aliases does it
// first: the row is locked from then on, so that such changes follow one after the other.
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
		rows, err := s.db.QueryContext(ctx, `SELECT id, state, source, target, source_credential, shadow_percent, shadow_until FROM migrations WHERE state IN ('`+strings.Join(movingStates, "', '")+`')`)
		return each(rows, err, func(rows *sql.Rows) error {
			var m Migration
			var until int64
			if err := rows.Scan(&m.ID, &m.State, &m.Source, &m.Target, &m.SourceCredential, &m.ShadowPercent, &until); err != nil {
				return err
			}
			m.ShadowUntil = instant(until)
			r.Moving = append(r.Moving, m.Source)
			if m.Target != "" {
				r.Moving = append(r.Moving, m.Target)
			}
			if m.shadows() {
				r.Shadows = append(r.Shadows, Shadow{m.ID, m.Source, m.Target, m.SourceCredential, m.ShadowPercent, m.ShadowUntil})
			}
			return nil
		})
	})
	return r, err
}

func readAliases(ctx context.Context, q querier, where string, args ...any) (aliases []Alias, err error) {
	rows, err := q.QueryContext(ctx, `SELECT name, target, version, key_id, migration_id, name_account, target_account, created_at, updated_at FROM aliases `+where+` ORDER BY name`, args...)
	err = each(rows, err, func(rows *sql.Rows) error {
		var a Alias
		var created, updated int64
		err := rows.Scan(&a.Name, &a.Target, &a.Version, &a.KeyID, &a.MigrationID, &a.NameAccount, &a.TargetAccount, &created, &updated)
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
		if err := rerouted(ctx, tx); err != nil {
			return err
		}
		before, err := readAliases(ctx, tx, `WHERE name = $1`, put.Name)
		if err != nil {
			return err
		}
		known := int64(0)
		if len(before) > 0 {
			known = before[0].Version
		}
		if version != known {
			return decision{fmt.Errorf("%w: it is %d", ErrVersion, known)}
		}
		if now, err = putAlias(ctx, tx, put); err != nil {
			return err
		}
		by.Subject, by.Step, by.Detail = "alias "+put.Name, "put", "to "+now.Target
		return audit(ctx, tx, by)
	})
	return now, err
}

// putAlias writes an alias, and leads those along that lead to its name. Where a migration
// does, they can be led back; so can one that is given an id which a migration led
// elsewhere.
func putAlias(ctx context.Context, tx *sql.Tx, put Alias) (now Alias, err error) {
	if _, err := tx.ExecContext(ctx, `DELETE FROM alias_moves WHERE name = $1`, put.Name); err != nil {
		return Alias{}, err
	}
	followed, err := readAliases(ctx, tx, `WHERE name = $1`, put.Target)
	if err != nil {
		return Alias{}, err
	}
	if len(followed) > 0 {
		if by := followed[0].MigrationID; by != "" {
			if err := addMove(ctx, tx, by, put.Name, put.Target); err != nil {
				return Alias{}, err
			}
		}
		// Where that one was led along, this one would have been, too.
		if _, err := tx.ExecContext(ctx, `INSERT INTO alias_moves (migration_id, name, target) SELECT migration_id, $1, target FROM alias_moves WHERE name = $2`, put.Name, put.Target); err != nil {
			return Alias{}, err
		}
		put.Target, put.TargetAccount = followed[0].Target, followed[0].TargetAccount
	}
	if put.Target == put.Name {
		return Alias{}, decision{ErrCircle}
	}
	before, err := readAliases(ctx, tx, `WHERE name = $1`, put.Name)
	if err != nil {
		return Alias{}, err
	}
	put.Version, put.CreatedAt = 1, put.UpdatedAt
	if len(before) > 0 {
		put.Version, put.CreatedAt = before[0].Version+1, before[0].CreatedAt
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO aliases (name, target, version, key_id, migration_id, name_account, target_account, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (name) DO UPDATE SET target = $2, version = $3, key_id = $4, migration_id = $5, name_account = $6, target_account = $7, updated_at = $9`,
		put.Name, put.Target, put.Version, put.KeyID, put.MigrationID, put.NameAccount, put.TargetAccount, millis(put.CreatedAt), millis(put.UpdatedAt)); err != nil {
		return Alias{}, err
	}
	along, err := readAliases(ctx, tx, `WHERE target = $1`, put.Name)
	if err != nil {
		return Alias{}, err
	}
	for _, a := range along {
		if put.MigrationID != "" {
			if err := addMove(ctx, tx, put.MigrationID, a.Name, a.Target); err != nil {
				return Alias{}, err
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE aliases SET target = $1, target_account = $2, version = version + 1, updated_at = $3 WHERE name = $4`, put.Target, put.TargetAccount, millis(put.UpdatedAt), a.Name); err != nil {
			return Alias{}, err
		}
	}
	return put, nil
}

func addMove(ctx context.Context, tx *sql.Tx, migration, name, from string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO alias_moves (migration_id, name, target) VALUES ($1, $2, $3) ON CONFLICT (migration_id, name) DO UPDATE SET target = $3`, migration, name, from)
	return err
}

// unlead removes the aliases that a migration made of these names, and gives those back
// what they led to that it led elsewhere.
func unlead(ctx context.Context, tx *sql.Tx, m Migration, names []string, account string) error {
	for _, name := range names {
		if _, err := tx.ExecContext(ctx, `DELETE FROM aliases WHERE name = $1 AND migration_id = $2`, name, m.ID); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE aliases SET target = (SELECT target FROM alias_moves WHERE migration_id = $1 AND alias_moves.name = aliases.name), target_account = $2, version = version + 1, updated_at = $3
		WHERE target = $4 AND name IN (SELECT name FROM alias_moves WHERE migration_id = $1)`, m.ID, account, millis(m.UpdatedAt), m.Target); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM alias_moves WHERE migration_id = $1`, m.ID)
	return err
}

// DeleteAlias removes an alias; of the version where that is not 0. False: there is none.
func (s *Store) DeleteAlias(ctx context.Context, name string, version int64, by Audit) (found bool, err error) {
	err = s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := rerouted(ctx, tx); err != nil {
			return err
		}
		before, err := readAliases(ctx, tx, `WHERE name = $1`, name)
		if err != nil || len(before) == 0 {
			return err
		}
		found = true
		if version != 0 && before[0].Version != version {
			return decision{fmt.Errorf("%w: it is %d", ErrVersion, before[0].Version)}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM alias_moves WHERE name = $1`, name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM aliases WHERE name = $1`, name); err != nil {
			return err
		}
		by.Subject, by.Step, by.Detail = "alias "+name, "delete", "led to "+before[0].Target
		return audit(ctx, tx, by)
	})
	return found, err
}
