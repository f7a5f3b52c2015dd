package store

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// TestMigration_Limits: one key cannot fill the store with migrations, their documents or their
// trails. A rollback is always possible.
func TestMigration_Limits(t *testing.T) {
	s := open(t, Memory)
	write := func(m Migration) (Migration, error) {
		return s.WriteMigration(t.Context(), MigrationChange{Migration: m, Audit: AuditEntry{At: time.Now(), KeyID: "acme", Step: "verify"}})
	}
	if _, err := write(Migration{ID: "large", KeyID: "acme", State: "ready", Document: make([]byte, MaxDocumentBytes+1)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
	m, err := write(Migration{ID: "m", KeyID: "acme", State: "ready", Document: bytes.Repeat([]byte("x"), 100)})
	for range maxTrail - 1 {
		if err != nil {
			t.Fatal(err)
		}
		m, err = write(m)
	}
	if _, err := write(m); !errors.Is(err, ErrTooMany) {
		t.Errorf("%v", err)
	}
	m.State = "shadowing"
	if _, err := write(m); !errors.Is(err, ErrTooMany) {
		t.Errorf("%v", err)
	}
	m.State = "rolled_back"
	if _, err := s.WriteMigration(t.Context(), MigrationChange{Migration: m, Audit: by, RestoreAliases: []string{"klen:1"}, SourceAccount: account}); err != nil {
		t.Errorf("%v", err)
	}
	if _, err := s.db.ExecContext(t.Context(), `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
		INSERT INTO migrations (id, version, state, source, target_backend, target, key_id, source_credential, target_credential, plan_hash, document, shadow_percent, shadow_until, created_at, updated_at)
		SELECT 'n' || i, 1, 'ready', 's', 'b', '', 'acme', '', '', '', '', 0, 0, 0, 0 FROM n`); err != nil {
		t.Fatal(err)
	}
	if _, err := write(Migration{ID: "more", KeyID: "acme", State: "ready", Document: []byte("x")}); !errors.Is(err, ErrTooMany) {
		t.Errorf("%v", err)
	}
	if _, err := write(Migration{ID: "others", KeyID: "other", State: "ready", Document: []byte("x")}); err != nil {
		t.Errorf("%v", err)
	}
}

// TestAlias_TrailIsBounded: of one key's changes of aliases the newest are kept.
func TestAlias_TrailIsBounded(t *testing.T) {
	s := open(t, Memory)
	if _, err := s.db.ExecContext(t.Context(), `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20100)
		INSERT INTO audit (subject, seq, at, key_id, request_id, step, state, detail) SELECT 'alias a' || i, 1, i, 'acme', '', 'put', '', '' FROM n`); err != nil {
		t.Fatal(err)
	}
	entry := by
	entry.At = time.Now()
	if _, err := s.PutAlias(t.Context(), alias("bot", "klen:1"), 0, entry); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := s.db.QueryRowContext(t.Context(), `SELECT count(*) FROM audit`).Scan(&n); err != nil || n > maxAliasTrail+1 {
		t.Errorf("%d entries, %v", n, err)
	}
	if trail, err := s.AuditLog(t.Context(), "alias bot"); err != nil || len(trail) != 1 {
		t.Errorf("%v, %v", trail, err)
	}
}
