package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Alias maps a name to an agent. The target is never an alias itself: a chain is resolved
// when it is written.
type Alias struct {
	// Owner is who the name belongs to; see AccountOwner, KeyOwner and GroupOwner. Names are
	// unique within an owner.
	Owner, Name   string
	Target        string
	TargetAccount string // of the target; opaque to the store
	Version       int64  // starts at 1, and increases with each change
	KeyID         string // that created it
	MigrationID   string // the migration that created it; empty for none
	CreatedAt     time.Time
	UpdatedAt     time.Time
	// TargetOwner is the owner of the alias that the target of a new alias is; empty if the
	// target is an agent's id. It is not stored.
	TargetOwner string
}

const accountPrefix = "account:"

// AccountOwner is the owner of aliases whose names are ids of an account's agents.
func AccountOwner(account string) string { return accountPrefix + account }

// KeyOwner is the owner of a key's aliases whose names are slugs.
func KeyOwner(keyID string) string { return "key:" + keyID }

// GroupOwner is the owner of the aliases that a group of keys shares.
func GroupOwner(group string) string { return "group:" + group }

// AccountOf returns the account that an owner is; empty for a key or a group.
func AccountOf(owner string) string {
	account, ok := strings.CutPrefix(owner, accountPrefix)
	if !ok {
		return ""
	}
	return account
}

// Errors of writes of aliases.
var (
	ErrVersionMismatch = errors.New("alias version mismatch")
	ErrCycle           = errors.New("the alias would point to itself")
)

// Routes is what the gateway needs to route requests by name: all aliases, and the
// migrations whose target is read along with their source.
type Routes struct {
	Revision int64 // increases with each change of the rest
	Aliases  []Alias
	Shadows  []Shadow
	// Migrating are the ids of the source and target agents of migrations that are neither
	// planned only nor rolled back.
	Migrating []string
}

// Shadow is a migration whose target is read along with its source, for a share of the
// requests and a limited time.
type Shadow struct {
	MigrationID, Source, Target string
	SourceCredential            string // hashed
	Percent                     int64
	Until                       time.Time
}

// Revision returns the current revision of Routes. It costs less than reading them.
func (s *Store) Revision(ctx context.Context) (revision int64, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		revision, err = readRevision(ctx, s.db)
		return err
	})
	return revision, err
}

func readRevision(ctx context.Context, q querier) (revision int64, err error) {
	err = q.QueryRowContext(ctx, `SELECT value FROM revisions WHERE name = 'routes'`).Scan(&revision)
	return revision, err
}

// bumpRevision increments the revision of Routes. A transaction that changes aliases calls
// it first: it locks the row, so such transactions run one after the other.
func bumpRevision(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE revisions SET value = value + 1 WHERE name = 'routes'`)
	return err
}

// Routes returns all routes. Its revision is read first, so a concurrent change has a
// higher revision and is not missed.
func (s *Store) Routes(ctx context.Context) (r Routes, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		if r.Revision, err = readRevision(ctx, s.db); err != nil {
			return err
		}
		if r.Aliases, err = readAliases(ctx, s.db, ""); err != nil {
			return err
		}
		rows, err := s.db.QueryContext(ctx, `SELECT id, state, source, target, source_credential, shadow_percent, shadow_until FROM migrations WHERE state IN ('`+strings.Join(routedStates, "', '")+`')`)
		return forEachRow(rows, err, func(rows *sql.Rows) error {
			var m Migration
			var until int64
			if err := rows.Scan(&m.ID, &m.State, &m.Source, &m.Target, &m.SourceCredential, &m.ShadowPercent, &until); err != nil {
				return err
			}
			m.ShadowUntil = fromMillis(until)
			r.Migrating = append(r.Migrating, m.Source)
			if m.Target != "" {
				r.Migrating = append(r.Migrating, m.Target)
			}
			if m.isShadowing() {
				r.Shadows = append(r.Shadows, Shadow{m.ID, m.Source, m.Target, m.SourceCredential, m.ShadowPercent, m.ShadowUntil})
			}
			return nil
		})
	})
	return r, err
}

func readAliases(ctx context.Context, q querier, where string, args ...any) (aliases []Alias, err error) {
	rows, err := q.QueryContext(ctx, `SELECT owner, name, target, version, key_id, migration_id, target_account, created_at, updated_at FROM aliases `+where+` ORDER BY name, owner`, args...)
	err = forEachRow(rows, err, func(rows *sql.Rows) error {
		var a Alias
		var created, updated int64
		err := rows.Scan(&a.Owner, &a.Name, &a.Target, &a.Version, &a.KeyID, &a.MigrationID, &a.TargetAccount, &created, &updated)
		a.CreatedAt, a.UpdatedAt = fromMillis(created), fromMillis(updated)
		aliases = append(aliases, a)
		return err
	})
	return aliases, err
}

// readAlias returns nil if the owner has no alias of that name.
func readAlias(ctx context.Context, q querier, owner, name string) (*Alias, error) {
	found, err := readAliases(ctx, q, `WHERE owner = $1 AND name = $2`, owner, name)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

func versionMismatch(current int64) error {
	return domainError{fmt.Errorf("%w: the current version is %d", ErrVersionMismatch, current)}
}

// PutAlias creates or replaces an alias. The version must be its current one, 0 if it does
// not exist; else the error is ErrVersionMismatch. If the target is an alias, the new alias
// points to that alias' target; aliases that point to the name are updated to the new
// target. So no chain is ever stored.
func (s *Store) PutAlias(ctx context.Context, put Alias, version int64, entry AuditEntry) (stored Alias, err error) {
	err = s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := bumpRevision(ctx, tx); err != nil {
			return err
		}
		before, err := readAlias(ctx, tx, put.Owner, put.Name)
		if err != nil {
			return err
		}
		current := int64(0)
		if before != nil {
			current = before.Version
		} else if err := checkCount(ctx, tx, MaxAliasesPerKey, `SELECT count(*) FROM aliases WHERE key_id = $1`, put.KeyID); err != nil {
			return err
		}
		if version != current {
			return versionMismatch(current)
		}
		if stored, err = putAlias(ctx, tx, put); err != nil {
			return err
		}
		entry.Subject, entry.Step, entry.Detail = "alias "+put.Name, "put", "to "+stored.Target
		return insertAliasAudit(ctx, tx, entry)
	})
	return stored, err
}

// putAlias writes an alias and updates the aliases that point to its name. Every change
// that is due to a migration is recorded in alias_moves, so that a rollback can undo it.
func putAlias(ctx context.Context, tx *sql.Tx, put Alias) (stored Alias, err error) {
	if _, err := tx.ExecContext(ctx, `DELETE FROM alias_moves WHERE owner = $1 AND name = $2`, put.Owner, put.Name); err != nil {
		return Alias{}, err
	}
	targetOwner := put.TargetOwner
	if targetOwner == "" { // the agent may have become an alias in between
		targetOwner = AccountOwner(put.TargetAccount)
	}
	target, err := readAlias(ctx, tx, targetOwner, put.Target)
	if err != nil {
		return Alias{}, err
	}
	if target != nil {
		if err := inheritMoves(ctx, tx, put, *target); err != nil {
			return Alias{}, err
		}
		put.Target, put.TargetAccount = target.Target, target.TargetAccount
	}
	if put.Target == put.Name {
		return Alias{}, domainError{ErrCycle}
	}
	before, err := readAlias(ctx, tx, put.Owner, put.Name)
	if err != nil {
		return Alias{}, err
	}
	put.Version, put.CreatedAt, put.TargetOwner = 1, put.UpdatedAt, ""
	if before != nil {
		put.Version, put.CreatedAt = before.Version+1, before.CreatedAt
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO aliases (owner, name, target, version, key_id, migration_id, target_account, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (owner, name) DO UPDATE SET target = $3, version = $4, key_id = $5, migration_id = $6, target_account = $7, updated_at = $9`,
		put.Owner, put.Name, put.Target, put.Version, put.KeyID, put.MigrationID, put.TargetAccount, toMillis(put.CreatedAt), toMillis(put.UpdatedAt)); err != nil {
		return Alias{}, err
	}
	return put, repoint(ctx, tx, put)
}

// inheritMoves records for an alias that is put on another alias which migrations the
// other's target is due to: their rollback has to move both.
func inheritMoves(ctx context.Context, tx *sql.Tx, put, other Alias) error {
	if other.MigrationID != "" {
		if err := recordMove(ctx, tx, other.MigrationID, put, other.Name); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO alias_moves (migration_id, owner, name, target) SELECT migration_id, $1, $2, target FROM alias_moves WHERE owner = $3 AND name = $4`, put.Owner, put.Name, other.Owner, other.Name)
	return err
}

// repoint updates the aliases that point to the agent whose id is the name of a, so that they
// point to its target.
func repoint(ctx context.Context, tx *sql.Tx, a Alias) error {
	account := AccountOf(a.Owner)
	if account == "" {
		return nil // a slug is no agent's id
	}
	followers, err := readAliases(ctx, tx, `WHERE target = $1 AND target_account = $2`, a.Name, account)
	if err != nil {
		return err
	}
	for _, follower := range followers {
		if a.MigrationID != "" {
			if err := recordMove(ctx, tx, a.MigrationID, follower, follower.Target); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE aliases SET target = $1, target_account = $2, version = version + 1, updated_at = $3 WHERE owner = $4 AND name = $5`, a.Target, a.TargetAccount, toMillis(a.UpdatedAt), follower.Owner, follower.Name); err != nil {
			return err
		}
	}
	return nil
}

// recordMove records that a migration changed an alias which pointed to previous.
func recordMove(ctx context.Context, tx *sql.Tx, migration string, a Alias, previous string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO alias_moves (migration_id, owner, name, target) VALUES ($1, $2, $3, $4) ON CONFLICT (migration_id, owner, name) DO UPDATE SET target = $4`, migration, a.Owner, a.Name, previous)
	return err
}

// restoreAliases undoes a migration's changes: it deletes the aliases of these names that
// the migration created, and gives the aliases that it moved their previous target, which
// belongs to account.
func restoreAliases(ctx context.Context, tx *sql.Tx, m Migration, names []string, account string) error {
	for _, name := range names {
		if _, err := tx.ExecContext(ctx, `DELETE FROM aliases WHERE owner = $1 AND name = $2 AND migration_id = $3`, AccountOwner(account), name, m.ID); err != nil {
			return err
		}
	}
	const moved = `FROM alias_moves WHERE migration_id = $1 AND alias_moves.owner = aliases.owner AND alias_moves.name = aliases.name`
	if _, err := tx.ExecContext(ctx, `UPDATE aliases SET target = (SELECT target `+moved+`), target_account = $2, version = version + 1, updated_at = $3
		WHERE target = $4 AND EXISTS (SELECT 1 `+moved+`)`, m.ID, account, toMillis(m.UpdatedAt), m.Target); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM alias_moves WHERE migration_id = $1`, m.ID)
	return err
}

// DeleteAlias deletes an alias and reports whether it existed. A version other than 0 must
// be the current one; else the error is ErrVersionMismatch.
func (s *Store) DeleteAlias(ctx context.Context, owner, name string, version int64, entry AuditEntry) (found bool, err error) {
	err = s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := bumpRevision(ctx, tx); err != nil {
			return err
		}
		before, err := readAlias(ctx, tx, owner, name)
		if err != nil || before == nil {
			return err
		}
		found = true
		if version != 0 && before.Version != version {
			return versionMismatch(before.Version)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM alias_moves WHERE owner = $1 AND name = $2`, owner, name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM aliases WHERE owner = $1 AND name = $2`, owner, name); err != nil {
			return err
		}
		entry.Subject, entry.Step, entry.Detail = "alias "+name, "delete", "pointed to "+before.Target
		return insertAliasAudit(ctx, tx, entry)
	})
	return found, err
}
