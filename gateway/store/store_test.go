package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentgw/agentgw/internal/pgtest"
	"github.com/agentgw/agentgw/internal/syncbuf"
)

var quiet = slog.New(slog.DiscardHandler)

// onEach runs a test with the URL of an empty SQLite file and of an empty PostgreSQL
// database.
func onEach(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "a b?#.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, shared(t).Database(t)) })
}

var (
	serverOnce sync.Once
	server     *pgtest.Server
	lastTest   func()
)

// shared returns the PostgreSQL server of the package, which the first test starts.
func shared(t *testing.T) *pgtest.Server {
	t.Helper()
	serverOnce.Do(func() {
		kept := &keeper{TB: t}
		server, lastTest = pgtest.Start(kept), kept.cleanUp
	})
	if server == nil {
		t.Skip("there is no PostgreSQL")
	}
	return server
}

// keeper is a testing.TB whose cleanup functions run at the end of the package instead of
// the test.
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

// Error does nothing: calls after the end of the test would panic.
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
		t.Fatalf("the store does not open: %v", err)
	}
	return s
}

var by = AuditEntry{At: time.Now(), KeyID: "acme", RequestID: "r"}

func put(t *testing.T, s *Store, name, target string, version int64) (Alias, error) {
	t.Helper()
	a := alias(name, target)
	if !strings.Contains(target, ":") {
		a.TargetOwner = ownerOf(target)
	}
	return s.PutAlias(t.Context(), a, version, by)
}

// account is the account of all agents in these tests.
const account = "account-1"

func alias(name, target string) Alias {
	return Alias{Owner: ownerOf(name), Name: name, Target: target, TargetAccount: account, KeyID: "acme", UpdatedAt: time.Now()}
}

func ownerOf(name string) string {
	if strings.Contains(name, ":") {
		return AccountOwner(account)
	}
	return KeyOwner("acme")
}

// TestOpen_ConcurrentInstances: one instance creates the schema while the others wait.
func TestOpen_ConcurrentInstances(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				log := &syncbuf.Buffer{}
				s, err := Open(t.Context(), url, slog.New(slog.NewTextHandler(log, nil)))
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				// A file has one writer at a time.
				for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
					_, err := s.PutAlias(t.Context(), alias(fmt.Sprint("a", i), "t:1"), 0, by)
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

func TestOpen_SchemaTooNew(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		s := open(t, url)
		if _, err := s.db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, $1)`, true); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		if _, err := Open(t.Context(), url, quiet); !errors.Is(err, ErrSchemaTooNew) {
			t.Errorf("got %v", err)
		}
	})
}

// TestStore_DatabaseOutage: during an outage every operation returns ErrUnavailable. The
// store reconnects by itself, also if the database was unreachable when it was opened.
func TestStore_DatabaseOutage(t *testing.T) {
	p := pgtest.Start(t)
	url := p.Database(t)
	s := open(t, url)
	if _, err := put(t, s, "bot", "klen:1", 0); err != nil {
		t.Fatal(err)
	}
	p.Stop(t)
	log := &syncbuf.Buffer{}
	late, err := Open(t.Context(), url, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatalf("an unreachable database is an error of Open: %v", err)
	}
	defer late.Close()
	if !strings.Contains(log.String(), "the store is unavailable") {
		t.Errorf("the outage is not logged: %s", log.String())
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
		t.Errorf("Lock: %v", err)
	}
	p.Run(t)
	for _, s := range []*Store{s, late} {
		end := time.Now().Add(time.Minute)
		for {
			r, err := s.Routes(t.Context())
			if err == nil && len(r.Aliases) == 1 && r.Aliases[0].Target == "klen:1" {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("it does not reconnect: %+v, %v", r, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// TestFile_WriteFails: on a full disk and with a read-only file, writes return
// ErrUnavailable and leave no partial change, and reads continue.
func TestFile_WriteFails(t *testing.T) {
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
				t.Fatal("no write failed")
			}
			before, err := s.Routes(t.Context())
			if err != nil {
				t.Fatalf("reading fails too: %v", err)
			}
			for _, a := range before.Aliases {
				if trail, err := s.AuditLog(t.Context(), "alias "+a.Name); err != nil || len(trail) != 1 {
					t.Errorf("%.20s has %d audit entries, %v", a.Name, len(trail), err)
				}
			}
			if _, err := s.db.Exec(pragma[1]); err != nil {
				t.Fatal(err)
			}
			if _, err := put(t, s, "later", "klen:1", 0); err != nil {
				t.Errorf("after the failure: %v", err)
			}
		})
	}
}

// TestFile_SingleWriter: a second process can read the file, and write it once the first
// has closed it.
func TestFile_SingleWriter(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
	first, second := open(t, url), open(t, url)
	if _, err := put(t, first, "bot", "klen:1", 0); err != nil {
		t.Fatal(err)
	}
	if r, err := second.Routes(t.Context()); err != nil || len(r.Aliases) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if !second.Shared() || first.Shared() {
		t.Errorf("Shared: %v, %v", first.Shared(), second.Shared())
	}
	if _, err := put(t, second, "bot", "klen:2", 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a second writer: %v", err)
	}
	if _, err := second.Lock(t.Context(), "a", true); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a second writer locks: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := put(t, second, "bot", "klen:2", 1); err != nil {
		t.Errorf("after the first has closed the file: %v", err)
	}
}

// TestFile_Removed: writes to a file that was removed while open are rejected, because
// nobody could read them.
func TestFile_Removed(t *testing.T) {
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

func TestOpen_InvalidURL(t *testing.T) {
	if _, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "none", "store.db"), quiet); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a missing folder: %v", err)
	}
	if _, err := Open(t.Context(), "mysql://x", quiet); err == nil {
		t.Error("an unsupported database opens")
	}
}
