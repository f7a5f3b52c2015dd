package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

func TestMigration_WriteAndQuery(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		if _, err := put(t, s, "bot", "klen:1", 0); err != nil {
			t.Fatal(err)
		}
		at := time.Now().UTC().Truncate(time.Millisecond)
		m := Migration{ID: "mig_1", State: "ready", Source: "klen:1", TargetBackend: "krosai", KeyID: "acme", PlanHash: "h", Document: []byte{0, 1, 255}, CreatedAt: at, UpdatedAt: at}
		planned, err := s.WriteMigration(t.Context(), MigrationChange{Migration: m, Audit: by})
		if err != nil || planned.Version != 1 {
			t.Fatalf("%+v, %v", planned, err)
		}
		moved := planned
		moved.State, moved.Target, moved.Attempt = "cut_over", "krosai:9", []byte("{}")
		over, err := s.WriteMigration(t.Context(), MigrationChange{Migration: moved, Audit: by, PutAliases: []Alias{{Owner: AccountOwner(account), Name: "klen:1", Target: "krosai:9", TargetAccount: account, MigrationID: "mig_1", UpdatedAt: at}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.WriteMigration(t.Context(), MigrationChange{Migration: moved, Audit: by, PutAliases: []Alias{{Owner: AccountOwner(account), Name: "klen:2", Target: "krosai:9", TargetAccount: account, UpdatedAt: at}}}); !errors.Is(err, ErrConflict) {
			t.Errorf("an outdated version was written: %v", err)
		}
		got, found, err := s.Migration(t.Context(), "mig_1")
		if err != nil || !found || fmt.Sprint(got) != fmt.Sprint(over) || !slices.Equal(got.Document, m.Document) || !got.CreatedAt.Equal(at) {
			t.Errorf("%+v, want %+v, %v", got, over, err)
		}
		r, err := s.Routes(t.Context())
		if err != nil || len(r.Aliases) != 2 || r.Aliases[0].Target != "krosai:9" || r.Aliases[1].Target != "krosai:9" {
			t.Errorf("%+v, %v", r, err)
		}
		over.State = "rolled_back"
		if _, err := s.WriteMigration(t.Context(), MigrationChange{Migration: over, Audit: by, RestoreAliases: []string{"klen:1"}, SourceAccount: account}); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Routes(t.Context()); err != nil || len(r.Aliases) != 1 || r.Aliases[0].Target != "klen:1" {
			t.Errorf("%+v, %v", r, err)
		}
		if trail, err := s.AuditLog(t.Context(), "mig_1"); err != nil || len(trail) != 3 || trail[2].State != "rolled_back" {
			t.Errorf("%+v, %v", trail, err)
		}
		for q, want := range map[*MigrationQuery]int{
			{}: 1, {States: []string{"ready", "rolled_back"}}: 1, {States: []string{"ready"}}: 0, {Source: "klen:1"}: 1, {SourceBackend: "klen"}: 1,
			{SourceBackend: "kle"}: 0, {TargetBackend: "krosai", Limit: 1}: 1, {After: "mig_1"}: 0, {After: "mig_2"}: 1,
		} {
			if all, err := s.Migrations(t.Context(), *q); err != nil || len(all) != want {
				t.Errorf("%+v: %d, %v", *q, len(all), err)
			}
		}
		minute := at.Truncate(time.Minute)
		for range 2 {
			if err := s.AddShadowCounts(t.Context(), "mig_1", []ShadowCount{{minute, "", 2}, {minute, "/name", 1}}); err != nil {
				t.Fatal(err)
			}
		}
		if counts, err := s.ShadowCounts(t.Context(), "mig_1"); err != nil || len(counts) != 2 || counts[0].Count != 4 || counts[1].Count != 2 || !counts[0].Minute.Equal(minute) {
			t.Errorf("%+v, %v", counts, err)
		}
	})
}

// TestMigration_RollbackOfAChain: each rollback restores the aliases that its migration
// changed, and no others.
func TestMigration_RollbackOfAChain(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		if _, err := put(t, s, "bot", "a:1", 0); err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		move := func(id, from, to string) Migration {
			t.Helper()
			m, err := s.WriteMigration(t.Context(), MigrationChange{Migration: Migration{ID: id, State: "cut_over", Source: from, Target: to, Document: []byte{0}, CreatedAt: at, UpdatedAt: at}, Audit: by,
				PutAliases: []Alias{{Owner: AccountOwner(account), Name: from, Target: to, TargetAccount: account, MigrationID: id, UpdatedAt: at}}})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		back := func(m Migration) {
			t.Helper()
			m.State = "rolled_back"
			if _, err := s.WriteMigration(t.Context(), MigrationChange{Migration: m, Audit: by, RestoreAliases: []string{m.Source}, SourceAccount: account}); err != nil {
				t.Fatal(err)
			}
		}
		pointTo := func(want map[string]string) {
			t.Helper()
			r, err := s.Routes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, a := range r.Aliases {
				got[a.Name] = a.Target
			}
			if !maps.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		}
		one, two, three := move("m1", "a:1", "b:1"), move("m2", "b:1", "c:1"), move("m3", "c:1", "d:1")
		if _, err := put(t, s, "late", "a:1", 0); err != nil { // points to an id that was migrated already
			t.Fatal(err)
		}
		pointTo(map[string]string{"bot": "d:1", "late": "d:1", "a:1": "d:1", "b:1": "d:1", "c:1": "d:1"})
		back(three)
		pointTo(map[string]string{"bot": "c:1", "late": "c:1", "a:1": "c:1", "b:1": "c:1"})
		back(two)
		pointTo(map[string]string{"bot": "b:1", "late": "b:1", "a:1": "b:1"})
		back(one)
		pointTo(map[string]string{"bot": "a:1", "late": "a:1"})
		// An alias of another migration is not replaced.
		move("m4", "a:1", "b:2")
		_, err := s.WriteMigration(t.Context(), MigrationChange{Migration: Migration{ID: "m5", State: "cut_over", Source: "a:1", Target: "c:2", Document: []byte{0}, CreatedAt: at, UpdatedAt: at}, Audit: by,
			PutAliases: []Alias{{Owner: AccountOwner(account), Name: "a:1", Target: "c:2", TargetAccount: account, MigrationID: "m5", UpdatedAt: at}}})
		if !errors.Is(err, ErrVersionMismatch) {
			t.Errorf("got %v", err)
		}
	})
}
