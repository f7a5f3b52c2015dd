// Package sqlstore keeps what must outlive the process: aliases, migrations, their audit
// trail, and the records of idempotency keys. It is SQLite in a file, or PostgreSQL where
// several instances share it: the same tables and the same queries.
//
// It must not know agents, HTTP or who asks: what is in a migration's document or a
// record's answer is its user's to say.
package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed schema/*.sql
var schema embed.FS

// ErrUnavailable is that of every operation while the database cannot be asked, or does
// not take what is written: it is away, full, or read only.
var ErrUnavailable = errors.New("the store is not available")

// ErrNewer is why a store does not open whose schema is of a later program.
var ErrNewer = errors.New("the store's schema is newer than this program; run the version that wrote it, or a later one")

// Memory is the URL of a store that ends with the process.
const Memory = "sqlite::memory:"

const (
	// patience bounds an operation whose caller sets no shorter bound.
	patience = 5 * time.Second
	// retryAfter is how long a database that could not be opened is left alone.
	retryAfter = time.Second
	// schemaPatience is how long an instance waits for another one that upgrades the schema.
	schemaPatience = 30 * time.Second
)

// Store is safe for concurrent use.
type Store struct {
	log    *slog.Logger
	db     *sql.DB
	shared bool   // other processes may be at it
	file   string // of SQLite; empty for none
	locks  locks
	// session has the locks that all instances know.
	session session

	failing atomic.Bool // the last that was asked of it failed
	ready   atomic.Bool
	mu      sync.Mutex // of opening
	tried   time.Time
	lastErr error
}

// Open makes a store of a URL: sqlite:FILE, sqlite::memory:, or postgres://…. An error is
// a URL that cannot be one, or ErrNewer. A database that is away is none: it is tried
// again, and until then every operation is ErrUnavailable.
func Open(ctx context.Context, address string, log *slog.Logger) (*Store, error) {
	s := &Store{log: log, locks: newLocks()}
	s.session.store = s
	if err := s.connect(address); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		if errors.Is(err, ErrNewer) {
			_ = s.db.Close() // nothing was written
			return nil, err
		}
		s.failing.Store(true)
		log.Error("the store is not available; aliases, migrations and Idempotency-Keys are refused until it is", "error", reason(err))
	}
	return s, nil
}

func (s *Store) connect(address string) error {
	path, isFile := strings.CutPrefix(address, "sqlite:")
	if !isFile {
		if !strings.HasPrefix(address, "postgres://") && !strings.HasPrefix(address, "postgresql://") {
			return errors.New("it is neither sqlite:FILE nor postgres://…")
		}
		db, err := sql.Open("pgx", address)
		if err != nil {
			return errors.New("the URL of the store cannot be read") // the error may quote the password
		}
		db.SetMaxOpenConns(8)
		db.SetConnMaxIdleTime(5 * time.Minute)
		s.db, s.shared = db, true
		return nil
	}
	query := "_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_txlock=immediate"
	if path == ":memory:" {
		path = ":memory:?" + query
	} else {
		s.file = path
		// FULL: what was written is there after a power cut too.
		path = "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query + "&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	// One connection: writers wait for each other here, and not in SQLite.
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	db.SetConnMaxLifetime(0)
	s.db = db
	return nil
}

// prepare brings the schema to what the program knows, under a lock: one instance does it,
// and the others wait.
func (s *Store) prepare(ctx context.Context) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready.Load() {
		return nil
	}
	if time.Since(s.tried) < retryAfter {
		return s.lastErr
	}
	defer func() { s.tried, s.lastErr = time.Now(), err }()
	files, err := fs.Sub(schema, "schema")
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{goose.WithSlog(slog.New(slog.DiscardHandler))}
	dialect := goose.DialectSQLite3
	if s.shared {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, uint64(schemaPatience/time.Second)))
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(dialect, s.db, files, options...)
	if err != nil {
		return err
	}
	if err := s.ping(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, schemaPatience)
	defer cancel()
	if s.file != "" {
		beside := flock.New(s.file + ".lock")
		if locked, err := beside.TryLockContext(ctx, 20*time.Millisecond); err == nil && locked {
			defer func() { _ = beside.Unlock() }() // it ends with the process at the latest
		} else if current, target, versions := provider.GetVersions(ctx); versions != nil || current != target {
			return fmt.Errorf("its schema cannot be brought up to date: %w", errors.Join(err, versions))
		} // a directory that cannot be written to, with a store that need not be
	}
	current, target, err := provider.GetVersions(ctx)
	switch {
	case err != nil:
		return err
	case current > target:
		return ErrNewer
	case current < target:
		if _, err := provider.Up(ctx); err != nil {
			return err
		}
		s.log.Info("the store's schema was brought up to date", "from", current, "to", target)
	}
	s.ready.Store(true)
	return nil
}

func (s *Store) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.db.PingContext(ctx)
}

// Shared reports whether several instances may write to it: a file is for one.
func (s *Store) Shared() bool { return s.shared }

// Close gives back the connections.
func (s *Store) Close() error {
	s.session.close()
	return s.db.Close()
}

// querier is the database, or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// within has the work done within a bound of time. What the database itself says is
// logged, and is ErrUnavailable to whoever asks.
func (s *Store) within(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !s.ready.Load() {
		if err := s.prepare(ctx); err != nil {
			return ErrUnavailable
		}
	}
	err := work(ctx)
	if err == nil || errors.Is(err, errDecided) {
		if s.failing.CompareAndSwap(true, false) {
			s.log.Info("the store answers again")
		}
		return err
	}
	if s.failing.CompareAndSwap(false, true) { // said once, not for each that asks
		s.log.Error("the store failed", "error", reason(err))
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, reason(err))
}

// errDecided marks errors that are the work's own.
var errDecided = errors.New("decided")

// decision is an error that the database has no part in.
type decision struct{ error }

func (d decision) Is(target error) bool { return target == errDecided || errors.Is(d.error, target) }

// transact does the work in one transaction: all of it, or nothing.
func (s *Store) transact(ctx context.Context, work func(context.Context, *sql.Tx) error) error {
	return s.within(ctx, func(ctx context.Context) error {
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // does nothing behind a commit
		if err := work(ctx, tx); err != nil {
			return err
		}
		return tx.Commit()
	})
}

// reason is what the database said, without values: its messages name tables and files,
// and could quote what was written.
func reason(err error) string {
	text := err.Error()
	for _, known := range []string{"database or disk is full", "readonly database", "read-only", "unable to open database file", "disk I/O error", "database is locked", "file is not a database", "malformed", "connection refused", "context deadline exceeded", "no such host", "password authentication failed", "does not exist", "too many connections", "the database system is shutting down", "the database system is starting up", "connection reset", "terminating connection", "failed to acquire lock"} {
		if strings.Contains(text, known) {
			return known
		}
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return "the file cannot be opened"
	}
	return fmt.Sprintf("%T", errors.Unwrap(err))
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// each calls with every row of an answer.
func each(rows *sql.Rows, err error, with func(*sql.Rows) error) error {
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := with(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
