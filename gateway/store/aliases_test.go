package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

func TestAlias_PutAndDelete(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		before, _ := s.Revision(t.Context())
		a, err := put(t, s, "bot", "klen:1", 0)
		if err != nil || a.Version != 1 {
			t.Fatalf("%+v, %v", a, err)
		}
		for _, version := range []int64{0, 2} {
			if _, err := put(t, s, "bot", "klen:2", version); !errors.Is(err, ErrVersionMismatch) || errors.Is(err, ErrUnavailable) {
				t.Errorf("version %d: %v", version, err)
			}
		}
		if _, err := put(t, s, "klen:1", "krosai:1", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := put(t, s, "other", "klen:1", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := put(t, s, "krosai:1", "bot", 0); !errors.Is(err, ErrCycle) {
			t.Errorf("a cycle: %v", err)
		}
		r, err := s.Routes(t.Context())
		if err != nil || r.Revision <= before {
			t.Errorf("%+v, %v", r, err)
		}
		for _, a := range r.Aliases {
			if a.Target != "krosai:1" {
				t.Errorf("%+v", a)
			}
		}
		if found, err := s.DeleteAlias(t.Context(), ownerOf("bot"), "bot", 1, by); !found || !errors.Is(err, ErrVersionMismatch) {
			t.Errorf("%v, %v", found, err)
		}
		if found, err := s.DeleteAlias(t.Context(), ownerOf("bot"), "bot", 2, by); !found || err != nil {
			t.Errorf("%v, %v", found, err)
		}
		if found, err := s.DeleteAlias(t.Context(), ownerOf("bot"), "bot", 0, by); found || err != nil {
			t.Errorf("%v, %v", found, err)
		}
		trail, err := s.AuditLog(t.Context(), "alias bot")
		if err != nil || len(trail) != 2 || trail[0].Step != "put" || trail[1].Step != "delete" || trail[1].KeyID != "acme" {
			t.Errorf("%+v, %v", trail, err)
		}
	})
}

// TestPutAlias_ConcurrentWritesOfOneVersion: one of them succeeds.
func TestPutAlias_ConcurrentWritesOfOneVersion(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		stores := []*Store{open(t, url), nil}
		if stores[1] = stores[0]; stores[0].Shared() {
			stores[1] = open(t, url)
		}
		for version := range int64(3) {
			var won atomic.Int64
			var wg sync.WaitGroup
			for i := range 16 {
				wg.Go(func() {
					_, err := put(t, stores[i%2], "bot", fmt.Sprint("klen:", i), version)
					if err == nil {
						won.Add(1)
					} else if !errors.Is(err, ErrVersionMismatch) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Errorf("version %d: %d writes succeeded", version, won.Load())
			}
		}
	})
}

// TestPutAlias_ConcurrentWritesStoreNoChain: whatever is written concurrently, no alias
// points to another one.
func TestPutAlias_ConcurrentWritesStoreNoChain(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		for range 20 {
			var wg sync.WaitGroup
			for _, pair := range [][2]string{{"k:a", "k:b"}, {"k:b", "k:c"}, {"k:c", "k:a"}, {"bot", "k:a"}} {
				wg.Go(func() {
					_, _ = put(t, s, pair[0], pair[1], 0) // some are cycles
				})
			}
			wg.Wait()
			r, err := s.Routes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			names := map[string]bool{}
			for _, a := range r.Aliases {
				names[a.Name] = true
			}
			for _, a := range r.Aliases {
				if names[a.Target] {
					t.Fatalf("%s points to %s, which is an alias", a.Name, a.Target)
				}
				if _, err := s.DeleteAlias(t.Context(), a.Owner, a.Name, 0, by); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestAlias_Owners: names are unique within an owner only, and what one owner's aliases point to
// does not change another's.
func TestAlias_Owners(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		mine, theirs := alias("klen:1", "krosai:1"), alias("klen:1", "krosai:9")
		theirs.Owner, theirs.TargetAccount, theirs.KeyID = AccountOwner("account-2"), "account-2", "other"
		follower := alias("bot", "klen:1")
		follower.Owner, follower.TargetAccount, follower.KeyID = KeyOwner("other"), "account-2", "other"
		for _, a := range []Alias{follower, mine, theirs} {
			if _, err := s.PutAlias(t.Context(), a, 0, by); err != nil {
				t.Fatal(err)
			}
		}
		want := map[string]string{mine.Owner: "krosai:1", theirs.Owner: "krosai:9", follower.Owner: "krosai:9"}
		check := func() {
			t.Helper()
			r, err := s.Routes(t.Context())
			if err != nil || len(r.Aliases) != len(want) {
				t.Fatalf("%+v, %v", r.Aliases, err)
			}
			for _, a := range r.Aliases {
				if a.Target != want[a.Owner] {
					t.Errorf("%+v, want %s", a, want[a.Owner])
				}
			}
		}
		check()
		// A rotated credential takes its aliases along.
		if err := s.MoveAccount(t.Context(), "account-2", "account-3"); err != nil {
			t.Fatal(err)
		}
		want[AccountOwner("account-3")] = want[theirs.Owner]
		delete(want, theirs.Owner)
		check()
		if found, err := s.DeleteAlias(t.Context(), mine.Owner, "klen:1", 0, by); !found || err != nil {
			t.Error(err)
		}
		delete(want, mine.Owner)
		check()
	})
}

// TestAlias_LimitPerKey: one key cannot fill the store with aliases.
func TestAlias_LimitPerKey(t *testing.T) {
	s := open(t, Memory)
	if _, err := s.db.ExecContext(t.Context(), `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
		INSERT INTO aliases (owner, name, target, version, key_id, migration_id, target_account, created_at, updated_at) SELECT 'key:acme', 'a' || i, 't:1', 1, 'acme', '', '', 0, 0 FROM n`); err != nil {
		t.Fatal(err)
	}
	if _, err := put(t, s, "bot", "klen:1", 0); !errors.Is(err, ErrTooMany) {
		t.Errorf("%v", err)
	}
	if _, err := put(t, s, "a1", "klen:1", 1); err != nil { // it exists
		t.Error(err)
	}
	other := alias("bot", "klen:1")
	other.Owner, other.KeyID = KeyOwner("other"), "other"
	if _, err := s.PutAlias(t.Context(), other, 0, by); err != nil {
		t.Error(err)
	}
}
