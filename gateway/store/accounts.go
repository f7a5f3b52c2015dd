package store

import (
	"context"
	"database/sql"
)

// AccountKeys returns the keys that were last known to have an account, by account.
func (s *Store) AccountKeys(ctx context.Context) (keys map[string][]string, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		keys = map[string][]string{}
		rows, err := s.db.QueryContext(ctx, `SELECT account, key_id FROM account_keys ORDER BY account, key_id`)
		return forEachRow(rows, err, func(rows *sql.Rows) error {
			var account, key string
			err := rows.Scan(&account, &key)
			keys[account] = append(keys[account], key)
			return err
		})
	})
	return keys, err
}

// SetAccountKeys records which keys have an account.
func (s *Store) SetAccountKeys(ctx context.Context, account string, keys []string) error {
	return s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM account_keys WHERE account = $1`, account); err != nil {
			return err
		}
		for _, key := range keys {
			if _, err := tx.ExecContext(ctx, `INSERT INTO account_keys (account, key_id) VALUES ($1, $2)`, account, key); err != nil {
				return err
			}
		}
		return nil
	})
}

// MoveAccount gives what belongs to an account to another one, whose credential replaced the
// first one's. What the new account has already stays.
func (s *Store) MoveAccount(ctx context.Context, from, to string) error {
	return s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := bumpRevision(ctx, tx); err != nil {
			return err
		}
		for _, table := range []string{"aliases", "alias_moves"} {
			taken := `name NOT IN (SELECT name FROM ` + table + ` WHERE owner = $1)`
			if _, err := tx.ExecContext(ctx, `UPDATE `+table+` SET owner = $1 WHERE owner = $2 AND `+taken, AccountOwner(to), AccountOwner(from)); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE aliases SET target_account = $1 WHERE target_account = $2`, to, from); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM account_keys WHERE account = $1`, from)
		return err
	})
}
