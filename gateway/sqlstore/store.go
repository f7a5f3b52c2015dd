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
	"os"
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
	// Of a file: what it was when it was opened, and the lock that its one writer holds.
	opened   os.FileInfo
	writer   *flock.Flock
	writable atomic.Bool
	readOnly bool       // the file may not be written to
	mu       sync.Mutex // of opening
	tried    time.Time
	lastErr  error
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
		s.writer = flock.New(path+".lock", flock.SetPermissions(0o600))
		s.readOnly = !mayWrite(path)
		// FULL: what was written is there after a power cut too.
		path = "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query + "&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
		if s.readOnly {
			path = "file:" + (&url.URL{Path: s.file}).EscapedPath() + "?mode=ro&immutable=1"
		}
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
	s.lockFile()
	current, target, err := s.versions(ctx, provider)
	switch {
	case err != nil:
		return err
	case current > target:
		return ErrNewer
	case current < target && s.file != "" && !s.writable.Load():
		return errNoWriter
	case current < target:
		if _, err := provider.Up(ctx); err != nil {
			return err
		}
		s.log.Info("the store's schema was brought up to date", "from", current, "to", target)
	}
	if s.file != "" {
		if s.opened, err = os.Stat(s.file); err != nil {
			return err
		}
	}
	s.ready.Store(true)
	return nil
}

// versions are those of the schema: what it has, and what the program knows. Whoever may
// not write does not make the table that says so.
func (s *Store) versions(ctx context.Context, provider *goose.Provider) (current, target int64, err error) {
	if s.file == "" || s.writable.Load() {
		return provider.GetVersions(ctx)
	}
	for _, source := range provider.ListSources() {
		target = max(target, source.Version)
	}
	err = s.db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`).Scan(&current)
	return current, target, err
}

// errNoWriter is why a file is only read: another process writes to it, or this one may not.
var errNoWriter = errors.New("the file is another process's to write to, or may not be written to")

// mayWrite makes a file that is not there, for its owner alone: it may hold prompts. It
// reports whether it can be written to.
func mayWrite(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return !errors.Is(err, fs.ErrPermission) || !exists(path)
	}
	return f.Close() == nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Absent reports whether there is nothing: a file that was never made.
func (s *Store) Absent() bool { return s.file != "" && !exists(s.file) }

// lockFile makes this process the file's writer, as long as it runs, if no other one is.
func (s *Store) lockFile() {
	if s.file == "" || s.readOnly || s.writable.Load() {
		return
	}
	if locked, err := s.writer.TryLock(); err == nil && locked {
		s.writable.Store(true)
	}
}

// usable says why a file cannot be read or written to just now.
func (s *Store) usable(writing bool) error {
	if s.file == "" {
		return nil
	}
	if now, err := os.Stat(s.file); err != nil || !os.SameFile(now, s.opened) {
		return errors.New("its file was removed or replaced while it was open; start again")
	}
	if writing && !s.writable.Load() {
		s.mu.Lock()
		s.lockFile()
		s.mu.Unlock()
		if !s.writable.Load() {
			return errNoWriter
		}
	}
	return nil
}

func (s *Store) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.db.PingContext(ctx)
}

// Shared reports whether another process may write to it: to a database, or to a file of
// which this process is not the writer.
func (s *Store) Shared() bool { return s.shared || s.file != "" && !s.writable.Load() }

// Close gives back the connections.
func (s *Store) Close() error {
	s.session.close()
	err := s.db.Close()
	if s.writer != nil {
		err = errors.Join(err, s.writer.Unlock())
	}
	return err
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
	return s.doing(ctx, false, work)
}

func (s *Store) doing(ctx context.Context, writing bool, work func(context.Context) error) error {
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !s.ready.Load() {
		if err := s.prepare(ctx); err != nil {
			return ErrUnavailable
		}
	}
	err := s.usable(writing)
	if err == nil {
		err = work(ctx)
	}
	if err == nil || errors.Is(err, errDecided) {
		if s.failing.CompareAndSwap(true, false) {
			s.log.Info("the store answers again")
		}
		return err
	}
	if asked.Err() != nil { // who asked has left, which says nothing of the store
		return fmt.Errorf("%w: %w", ErrUnavailable, asked.Err())
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
	return s.doing(ctx, true, func(ctx context.Context) error {
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
	for _, known := range []string{"database or disk is full", "readonly database", "read-only", "unable to open database file", "disk I/O error", "database is locked", "file is not a database", "malformed", "connection refused", "context deadline exceeded", "no such host", "password authentication failed", "does not exist", "too many connections", "the database system is shutting down", "the database system is starting up", "connection reset", "terminating connection", "failed to acquire lock", "another process", "removed or replaced"} {
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
