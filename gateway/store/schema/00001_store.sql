-- +goose Up
-- All types exist in SQLite and PostgreSQL; SQLite treats BYTEA as BLOB. Times are
-- milliseconds since 1970.

CREATE TABLE revisions (
  name  TEXT PRIMARY KEY,
  value BIGINT NOT NULL
);
INSERT INTO revisions (name, value) VALUES ('routes', 0);

CREATE TABLE aliases (
  name         TEXT PRIMARY KEY,
  target       TEXT NOT NULL,
  version      BIGINT NOT NULL,
  key_id       TEXT NOT NULL,
  migration_id TEXT NOT NULL,
  name_account   TEXT NOT NULL, -- account of the name if it is an agent's id; hashed
  target_account TEXT NOT NULL, -- account of the target; hashed
  created_at   BIGINT NOT NULL,
  updated_at   BIGINT NOT NULL
);
CREATE INDEX aliases_target ON aliases (target);

-- The previous targets of aliases that a migration changed, for its rollback.
CREATE TABLE alias_moves (
  migration_id TEXT NOT NULL,
  name         TEXT NOT NULL,
  target       TEXT NOT NULL,
  PRIMARY KEY (migration_id, name)
);

CREATE TABLE migrations (
  id                TEXT PRIMARY KEY,
  version           BIGINT NOT NULL,
  state             TEXT NOT NULL,
  source            TEXT NOT NULL,
  target_backend    TEXT NOT NULL,
  target            TEXT NOT NULL,
  key_id            TEXT NOT NULL,
  source_credential TEXT NOT NULL,
  target_credential TEXT NOT NULL,
  plan_hash         TEXT NOT NULL,
  attempt           BYTEA,
  document          BYTEA NOT NULL,
  shadow_percent    BIGINT NOT NULL,
  shadow_until      BIGINT NOT NULL,
  created_at        BIGINT NOT NULL,
  updated_at        BIGINT NOT NULL
);
CREATE INDEX migrations_source ON migrations (source);
CREATE INDEX migrations_state ON migrations (state);

CREATE TABLE shadow_counts (
  migration_id TEXT NOT NULL,
  minute       BIGINT NOT NULL,
  field        TEXT NOT NULL,
  count        BIGINT NOT NULL,
  PRIMARY KEY (migration_id, minute, field)
);

CREATE TABLE audit (
  subject    TEXT NOT NULL,
  seq        BIGINT NOT NULL,
  at         BIGINT NOT NULL,
  key_id     TEXT NOT NULL,
  request_id TEXT NOT NULL,
  step       TEXT NOT NULL,
  state      TEXT NOT NULL,
  detail     TEXT NOT NULL,
  PRIMARY KEY (subject, seq)
);

CREATE TABLE idempotency (
  caller      TEXT NOT NULL,
  key         TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  state       TEXT NOT NULL,
  holder      TEXT NOT NULL,
  held_until  BIGINT NOT NULL,
  since       BIGINT NOT NULL,
  attempt     BYTEA,
  answer      BYTEA,
  PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_since ON idempotency (since);
