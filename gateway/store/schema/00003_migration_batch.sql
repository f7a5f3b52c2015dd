-- +goose Up
-- A batch is a set of migrations that were planned together; '' for none.

ALTER TABLE migrations ADD COLUMN batch TEXT NOT NULL DEFAULT '';
CREATE INDEX migrations_batch ON migrations (batch);
