-- +goose Up
-- An alias belongs to an owner: the account of the agent whose id is its name
-- ('account:' and a hash), the key that made it ('key:' and the key's id), or a group of
-- keys ('group:' and its name). Names are unique within an owner only.

CREATE TABLE aliases_owned (
  owner          TEXT NOT NULL,
  name           TEXT NOT NULL,
  target         TEXT NOT NULL,
  version        BIGINT NOT NULL,
  key_id         TEXT NOT NULL,
  migration_id   TEXT NOT NULL,
  target_account TEXT NOT NULL, -- account of the target; hashed
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL,
  PRIMARY KEY (owner, name)
);
INSERT INTO aliases_owned (owner, name, target, version, key_id, migration_id, target_account, created_at, updated_at)
  SELECT CASE WHEN name_account = '' THEN 'key:' || key_id ELSE 'account:' || name_account END,
         name, target, version, key_id, migration_id, target_account, created_at, updated_at
  FROM aliases;

CREATE TABLE alias_moves_owned (
  migration_id TEXT NOT NULL,
  owner        TEXT NOT NULL,
  name         TEXT NOT NULL,
  target       TEXT NOT NULL,
  PRIMARY KEY (migration_id, owner, name)
);
INSERT INTO alias_moves_owned (migration_id, owner, name, target)
  SELECT alias_moves.migration_id, aliases_owned.owner, alias_moves.name, alias_moves.target
  FROM alias_moves JOIN aliases_owned ON aliases_owned.name = alias_moves.name;

DROP TABLE alias_moves;
DROP TABLE aliases;
ALTER TABLE aliases_owned RENAME TO aliases;
ALTER TABLE alias_moves_owned RENAME TO alias_moves;
CREATE INDEX aliases_target ON aliases (target);
CREATE INDEX aliases_key ON aliases (key_id);
CREATE INDEX migrations_key ON migrations (key_id);
CREATE INDEX audit_key ON audit (key_id, at);

-- Which keys had an account that owns aliases, or has their targets, so that a rotated
-- credential is recognised: all of its keys have the same new account then.
CREATE TABLE account_keys (
  account TEXT NOT NULL,
  key_id  TEXT NOT NULL,
  PRIMARY KEY (account, key_id)
);
