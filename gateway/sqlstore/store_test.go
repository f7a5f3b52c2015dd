package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentgw/agentgw/test/locked"
	"github.com/agentgw/agentgw/test/postgres"
)

var quiet = slog.New(slog.DiscardHandler)

// onEach runs a test on each database: with a URL of an empty one.
func onEach(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "a b?#.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, shared(t).Database(t)) })
}

var (
	serverOnce sync.Once
	server     *postgres.Server
	lastTest   func()
)

// shared is one server for all tests of the package.
func shared(t *testing.T) *postgres.Server {
	t.Helper()
	serverOnce.Do(func() {
		kept := &keeper{TB: t}
		server, lastTest = postgres.Start(kept), kept.cleanUp
	})
	if server == nil {
		t.Skip("there is no PostgreSQL")
	}
	return server
}

// keeper has what a test starts outlive it.
type keeper struct {
	testing.TB
	last []func()
}

func (k *keeper) Cleanup(f func()) { k.last = append(k.last, f) }

func (k *keeper) cleanUp() {
	for _, f := range slices.Backward(k.last) {
		f()
	}
}

func (k *keeper) Helper() {}

// Error and Fatal behind the end of a test would panic.
func (k *keeper) Error(...any) {}

func TestMain(m *testing.M) {
	m.Run()
	if lastTest != nil {
		lastTest()
	}
}

func open(t *testing.T, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.Revision(t.Context()); err != nil {
		t.Fatalf("it does not open: %v", err)
	}
	return s
}

var by = Audit{At: time.Now(), KeyID: "acme", RequestID: "r"}

func put(t *testing.T, s *Store, name, target string, version int64) (Alias, error) {
	t.Helper()
	return s.PutAlias(t.Context(), Alias{Name: name, Target: target, KeyID: "acme", UpdatedAt: time.Now()}, version, by)
}

// TestInstancesThatStartTogether: one brings the schema up to date, and the others wait.
func TestInstancesThatStartTogether(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				log := &locked.Buffer{}
				s, err := Open(t.Context(), url, slog.New(slog.NewTextHandler(log, nil)))
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				// Of a file there is one writer, until it is done.
				for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
					_, err := s.PutAlias(t.Context(), Alias{Name: fmt.Sprint("a", i), Target: "t:1", UpdatedAt: time.Now()}, 0, by)
					if err == nil {
						return
					}
					if !errors.Is(err, ErrUnavailable) || time.Now().After(end) {
						t.Errorf("%v: %s", err, log.String())
						return
					}
				}
			})
		}
		wg.Wait()
		if r, err := open(t, url).Routes(t.Context()); err != nil || len(r.Aliases) != 8 || r.Revision != 8 {
			t.Errorf("%d aliases, revision %d, %v", len(r.Aliases), r.Revision, err)
		}
	})
}

func TestANewerSchemaStopsTheStart(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		if _, err := s.db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, $1)`, true); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		if _, err := Open(t.Context(), url, quiet); !errors.Is(err, ErrNewer) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAliases(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		before, _ := s.Revision(t.Context())
		a, err := put(t, s, "bot", "klen:1", 0)
		if err != nil || a.Version != 1 {
			t.Fatalf("%+v, %v", a, err)
		}
		for _, version := range []int64{0, 2} {
			if _, err := put(t, s, "bot", "klen:2", version); !errors.Is(err, ErrVersion) || errors.Is(err, ErrUnavailable) {
				t.Errorf("version %d: %v", version, err)
			}
		}
		if _, err := put(t, s, "klen:1", "krosai:1", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := put(t, s, "other", "klen:1", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := put(t, s, "krosai:1", "bot", 0); !errors.Is(err, ErrCircle) {
			t.Errorf("a circle: %v", err)
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
		if found, err := s.DeleteAlias(t.Context(), "bot", 1, by); !found || !errors.Is(err, ErrVersion) {
			t.Errorf("%v, %v", found, err)
		}
		if found, err := s.DeleteAlias(t.Context(), "bot", 2, by); !found || err != nil {
			t.Errorf("%v, %v", found, err)
		}
		if found, err := s.DeleteAlias(t.Context(), "bot", 0, by); found || err != nil {
			t.Errorf("%v, %v", found, err)
		}
		trail, err := s.Trail(t.Context(), "alias bot")
		if err != nil || len(trail) != 2 || trail[0].Step != "put" || trail[1].Step != "delete" || trail[1].KeyID != "acme" {
			t.Errorf("%+v, %v", trail, err)
		}
	})
}

// TestOnlyOneOfManySwaps: of many that swap the same version, one does.
func TestOnlyOneOfManySwaps(t *testing.T) {
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
					} else if !errors.Is(err, ErrVersion) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Errorf("version %d: %d have won", version, won.Load())
			}
		}
	})
}

func TestMigrations(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		if _, err := put(t, s, "bot", "klen:1", 0); err != nil {
			t.Fatal(err)
		}
		at := time.Now().UTC().Truncate(time.Millisecond)
		m := Migration{ID: "mig_1", State: "ready", Source: "klen:1", TargetBackend: "krosai", KeyID: "acme", PlanHash: "h", Document: []byte{0, 1, 255}, CreatedAt: at, UpdatedAt: at}
		planned, err := s.Write(t.Context(), Change{Migration: m, By: by})
		if err != nil || planned.Version != 1 {
			t.Fatalf("%+v, %v", planned, err)
		}
		moved := planned
		moved.State, moved.Target, moved.Attempt = "cut_over", "krosai:9", []byte("{}")
		over, err := s.Write(t.Context(), Change{Migration: moved, By: by, Lead: []Alias{{Name: "klen:1", Target: "krosai:9", MigrationID: "mig_1", UpdatedAt: at}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(t.Context(), Change{Migration: moved, By: by, Lead: []Alias{{Name: "klen:2", Target: "krosai:9", UpdatedAt: at}}}); !errors.Is(err, ErrChanged) {
			t.Errorf("an older one was written: %v", err)
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
		if _, err := s.Write(t.Context(), Change{Migration: over, By: by, Unlead: []string{"klen:1"}}); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Routes(t.Context()); err != nil || len(r.Aliases) != 1 || r.Aliases[0].Target != "klen:1" {
			t.Errorf("%+v, %v", r, err)
		}
		if trail, err := s.Trail(t.Context(), "mig_1"); err != nil || len(trail) != 3 || trail[2].State != "rolled_back" {
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
			if err := s.CountShadow(t.Context(), "mig_1", []ShadowCount{{minute, "", 2}, {minute, "/name", 1}}); err != nil {
				t.Fatal(err)
			}
		}
		if counts, err := s.ShadowCounts(t.Context(), "mig_1"); err != nil || len(counts) != 2 || counts[0].Count != 4 || counts[1].Count != 2 || !counts[0].Minute.Equal(minute) {
			t.Errorf("%+v, %v", counts, err)
		}
	})
}

// TestLocks: any number may share one, or one has it alone; with PostgreSQL, among all
// instances.
func TestLocks(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		one := open(t, url)
		other := one
		if one.Shared() {
			other = open(t, url)
		}
		soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		first, err := one.Lock(t.Context(), "a", false)
		if err != nil {
			t.Fatal(err)
		}
		second, err := other.Lock(t.Context(), "a", false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Lock(soon, "a", true); err == nil {
			t.Error("alone beside two that share it")
		}
		elsewhere, err := other.Lock(t.Context(), "b", true)
		if err != nil {
			t.Errorf("another lock: %v", err)
		} else {
			elsewhere()
		}
		first()
		second()
		alone, err := one.Lock(t.Context(), "a", true)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan error)
		go func() {
			release, err := other.Lock(t.Context(), "a", false)
			if err == nil {
				release()
			}
			got <- err
		}()
		select {
		case err := <-got:
			t.Errorf("shared beside one that has it alone: %v", err)
		case <-time.After(50 * time.Millisecond): // it waits
		}
		alone()
		if err := <-got; err != nil {
			t.Error(err)
		}
		if len(one.locks.byName) != 0 {
			t.Errorf("left: %v", one.locks.byName)
		}
	})
}

// TestALostDatabase: while it is away all is ErrUnavailable, and then it goes on by itself.
func TestALostDatabase(t *testing.T) {
	p := postgres.Start(t)
	url := p.Database(t)
	s := open(t, url)
	if _, err := put(t, s, "bot", "klen:1", 0); err != nil {
		t.Fatal(err)
	}
	p.Stop(t)
	log := &locked.Buffer{}
	late, err := Open(t.Context(), url, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatalf("a database that is away stops the start: %v", err)
	}
	defer late.Close()
	if !strings.Contains(log.String(), "not available") {
		t.Errorf("nobody is told: %s", log.String())
	}
	for range 3 {
		if _, err := s.Routes(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if _, err := put(t, late, "bot", "klen:2", 1); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := s.Lock(t.Context(), "a", true); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a lock: %v", err)
	}
	p.Run(t)
	for _, s := range []*Store{s, late} {
		end := time.Now().Add(20 * time.Second)
		for {
			r, err := s.Routes(t.Context())
			if err == nil && len(r.Aliases) == 1 && r.Aliases[0].Target == "klen:1" {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("it does not go on: %+v, %v", r, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// TestWhatCannotBeWritten: a full disk and a read-only file are ErrUnavailable to writers,
// leave nothing half done, and cost readers nothing.
func TestWhatCannotBeWritten(t *testing.T) {
	for name, pragma := range map[string][2]string{
		"a full disk":      {`PRAGMA max_page_count = 1`, `PRAGMA max_page_count = 1073741823`},
		"a read-only file": {`PRAGMA query_only = 1`, `PRAGMA query_only = 0`},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, "sqlite:"+filepath.Join(t.TempDir(), "store.db"))
			if _, err := put(t, s, "bot", "klen:1", 0); err != nil {
				t.Fatal(err)
			}
			if _, err := s.db.Exec(pragma[0]); err != nil {
				t.Fatal(err)
			}
			failed := false
			for i := range 200 { // until the last page is full
				_, err := put(t, s, fmt.Sprintf("name-%d-%s", i, strings.Repeat("x", 500)), "klen:1", 0)
				if err != nil {
					failed = true
					if !errors.Is(err, ErrUnavailable) {
						t.Errorf("got %v", err)
					}
				}
			}
			if !failed {
				t.Fatal("everything was written")
			}
			before, err := s.Routes(t.Context())
			if err != nil {
				t.Fatalf("it cannot be read either: %v", err)
			}
			for _, a := range before.Aliases {
				if trail, err := s.Trail(t.Context(), "alias "+a.Name); err != nil || len(trail) != 1 {
					t.Errorf("%.20s has %d lines of the trail, %v", a.Name, len(trail), err)
				}
			}
			if _, err := s.db.Exec(pragma[1]); err != nil {
				t.Fatal(err)
			}
			if _, err := put(t, s, "later", "klen:1", 0); err != nil {
				t.Errorf("with room again: %v", err)
			}
		})
	}
}

// TestAFileHasOneWriter: another process reads along, and writes once the first is gone.
func TestAFileHasOneWriter(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
	first, second := open(t, url), open(t, url)
	if _, err := put(t, first, "bot", "klen:1", 0); err != nil {
		t.Fatal(err)
	}
	if r, err := second.Routes(t.Context()); err != nil || len(r.Aliases) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if !second.Shared() || first.Shared() {
		t.Errorf("shared: %v, %v", first.Shared(), second.Shared())
	}
	if _, err := put(t, second, "bot", "klen:2", 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("two write: %v", err)
	}
	if _, err := second.Lock(t.Context(), "a", true); !errors.Is(err, ErrUnavailable) {
		t.Errorf("two lock: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := put(t, second, "bot", "klen:2", 1); err != nil {
		t.Errorf("the first is gone: %v", err)
	}
}

// TestAFileThatIsGone: what is written into a file that nobody can find again is refused.
func TestAFileThatIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, "sqlite:"+path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := put(t, s, "bot", "klen:1", 0); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// TestRollbacksOfAChain: each gives back what it led elsewhere, and nothing else.
func TestRollbacksOfAChain(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		if _, err := put(t, s, "bot", "a:1", 0); err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		move := func(id, from, to string) Migration {
			t.Helper()
			m, err := s.Write(t.Context(), Change{Migration: Migration{ID: id, State: "cut_over", Source: from, Target: to, Document: []byte{0}, CreatedAt: at, UpdatedAt: at}, By: by,
				Lead: []Alias{{Name: from, Target: to, MigrationID: id, UpdatedAt: at}}})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		back := func(m Migration) {
			t.Helper()
			m.State = "rolled_back"
			if _, err := s.Write(t.Context(), Change{Migration: m, By: by, Unlead: []string{m.Source}}); err != nil {
				t.Fatal(err)
			}
		}
		leads := func(want map[string]string) {
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
		if _, err := put(t, s, "late", "a:1", 0); err != nil { // given the first id, when it led on already
			t.Fatal(err)
		}
		leads(map[string]string{"bot": "d:1", "late": "d:1", "a:1": "d:1", "b:1": "d:1", "c:1": "d:1"})
		back(three)
		leads(map[string]string{"bot": "c:1", "late": "c:1", "a:1": "c:1", "b:1": "c:1"})
		back(two)
		leads(map[string]string{"bot": "b:1", "late": "b:1", "a:1": "b:1"})
		back(one)
		leads(map[string]string{"bot": "a:1", "late": "a:1"})
		// A name that another migration has is not taken from it.
		move("m4", "a:1", "b:2")
		_, err := s.Write(t.Context(), Change{Migration: Migration{ID: "m5", State: "cut_over", Source: "a:1", Target: "c:2", Document: []byte{0}, CreatedAt: at, UpdatedAt: at}, By: by,
			Lead: []Alias{{Name: "a:1", Target: "c:2", MigrationID: "m5", UpdatedAt: at}}})
		if !errors.Is(err, ErrVersion) {
			t.Errorf("got %v", err)
		}
	})
}

// TestNoChainIsKept: whatever is put at the same time, no alias leads to another one.
func TestNoChainIsKept(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		for range 20 {
			var wg sync.WaitGroup
			for _, pair := range [][2]string{{"a", "b"}, {"b", "c"}, {"c", "a"}, {"bot", "a"}} {
				wg.Go(func() {
					_, _ = put(t, s, pair[0], pair[1], 0) // some are circles
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
					t.Fatalf("%s leads to %s, which is an alias", a.Name, a.Target)
				}
				if _, err := s.DeleteAlias(t.Context(), a.Name, 0, by); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestWhatIsNoStore(t *testing.T) {
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "none", "store.db"), quiet)
	if err != nil {
		t.Fatalf("a directory that is not there stops the start: %v", err)
	}
	defer s.Close()
	if _, err := s.Routes(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := Open(t.Context(), "mysql://x", quiet); err == nil {
		t.Error("another database opens")
	}
}
