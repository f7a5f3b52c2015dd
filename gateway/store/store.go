// Package store is the gateway's database. It keeps what must outlive the process:
// aliases, migrations with their audit log, and idempotency records. The database is a
// SQLite file, or PostgreSQL if several instances share it; both have the same tables and
// get the same queries.
//
// It is the only package that knows SQL, and it imports nothing of this module. It does
// not know agents, HTTP or callers: the documents of migrations and the responses in
// idempotency records are opaque bytes.
//
// Begin reading at Open. schema.go and file.go bring a database into use; aliases.go,
// migrations.go, audit.go and idempotency.go each own a table; lock.go has the locks that
// instances share.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// ErrUnavailable is returned by every operation while the database cannot be reached, is
// full or is read-only.
var ErrUnavailable = errors.New("the store is unavailable")

// Memory is the URL of a store that is lost when the process ends.
const Memory = "sqlite::memory:"

const (
	// operationTimeout bounds an operation whose context has no earlier deadline.
	operationTimeout = 5 * time.Second
	// openRetryInterval is the minimum time between attempts to open the database.
	openRetryInterval = time.Second
	// schemaTimeout bounds the wait for another instance that upgrades the schema.
	schemaTimeout = 30 * time.Second
)

// Store is safe for concurrent use.
type Store struct {
	log    *slog.Logger
	db     *sql.DB
	shared bool   // PostgreSQL: other instances may use the database
	file   string // path of the SQLite file; empty for PostgreSQL and for memory

	locks    localLocks
	advisory advisoryLocks // PostgreSQL only

	failing atomic.Bool // the last operation failed
	ready   atomic.Bool // the schema is current

	// SQLite file only: its identity when it was opened, and the lock that its single
	// writing process holds.
	opened   os.FileInfo
	writer   *flock.Flock
	writable atomic.Bool
	readOnly bool // the process lacks permission to write the file

	mu        sync.Mutex // guards opening: lastTry, lastErr, writer
	lastTry   time.Time
	lastError error
}

// Open returns the store at a URL: sqlite:FILE, sqlite::memory: or postgres://…. It fails
// for a malformed URL, for a file that can be neither opened nor created, and with
// ErrSchemaTooNew. An unreachable database is not an error: the store reconnects by itself,
// and operations return ErrUnavailable until then.
func Open(ctx context.Context, address string, log *slog.Logger) (*Store, error) {
	s := &Store{log: log, locks: newLocalLocks()}
	s.advisory.store = s
	if err := s.connect(address); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		if errors.Is(err, ErrSchemaTooNew) {
			_ = s.db.Close() // nothing was written
			return nil, err
		}
		s.failing.Store(true)
		log.Error("the store is unavailable; requests that need aliases, migrations or an Idempotency-Key are rejected until it recovers", "error", safeText(err))
	}
	if s.file != "" && !s.readOnly && !s.writable.Load() {
		log.Error("another process writes the store's file; until it ends, this instance only reads it, and refuses what needs a write. Several instances need PostgreSQL", "path", s.file, "process", lockOwner(s.file))
	}
	return s, nil
}

func (s *Store) connect(address string) error {
	path, isFile := strings.CutPrefix(address, "sqlite:")
	if !isFile {
		return s.connectPostgres(address)
	}
	query := "_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_txlock=immediate"
	if path == ":memory:" {
		path = ":memory:?" + query
	} else {
		var created bool
		var err error
		if s.file, err = filepath.Abs(path); err != nil {
			return err
		}
		path = s.file
		s.writer = flock.New(path+".lock", flock.SetPermissions(0o600))
		if created, s.readOnly, err = openFile(path); err != nil {
			return err
		}
		if created {
			s.log.Warn("a new, empty store was created; if there was one before, check store.url, and that its volume is mounted", "path", path)
		}
		// synchronous(FULL): a committed transaction survives a power failure.
		path = "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query + "&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
		if s.readOnly {
			path = "file:" + (&url.URL{Path: s.file}).EscapedPath() + "?mode=ro&immutable=1"
		}
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	// One connection: writers queue in database/sql instead of failing with SQLITE_BUSY.
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	db.SetConnMaxLifetime(0)
	s.db = db
	return nil
}

func (s *Store) connectPostgres(address string) error {
	if !strings.HasPrefix(address, "postgres://") && !strings.HasPrefix(address, "postgresql://") {
		return errors.New("the store URL must be sqlite:FILE or postgres://…")
	}
	db, err := sql.Open("pgx", address)
	if err != nil {
		return errors.New("the store URL is not a valid PostgreSQL URL") // err may quote the password
	}
	db.SetMaxOpenConns(8)
	db.SetConnMaxIdleTime(5 * time.Minute)
	s.db, s.shared = db, true
	return nil
}

// Name says what the store is: the path of its file, memory or postgres. It has no credentials.
func (s *Store) Name() string {
	switch {
	case s.shared:
		return "postgres"
	case s.file == "":
		return "memory"
	}
	return s.file
}

// Shared reports whether another process may write to the store: a PostgreSQL database, or
// a file of which this process is not the writer.
func (s *Store) Shared() bool { return s.shared || s.file != "" && !s.writable.Load() }

// Close closes all connections and releases all locks.
func (s *Store) Close() error {
	s.advisory.close()
	err := s.db.Close()
	if s.writer != nil {
		err = errors.Join(err, s.writer.Unlock())
	}
	return err
}

// querier is a database or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// read runs a read-only operation.
func (s *Store) read(ctx context.Context, operation func(context.Context) error) error {
	return s.do(ctx, false, operation)
}

// write runs an operation that changes the database.
func (s *Store) write(ctx context.Context, operation func(context.Context) error) error {
	return s.do(ctx, true, operation)
}

// transact runs an operation in one transaction, which is rolled back if it fails.
func (s *Store) transact(ctx context.Context, operation func(context.Context, *sql.Tx) error) error {
	return s.write(ctx, func(ctx context.Context) error {
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // no effect after Commit
		if err := operation(ctx, tx); err != nil {
			return err
		}
		return tx.Commit()
	})
}

// do runs an operation with operationTimeout. Errors of the database are logged and
// returned as ErrUnavailable; a domainError is returned unchanged.
func (s *Store) do(ctx context.Context, writing bool, operation func(context.Context) error) error {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	if !s.ready.Load() {
		if err := s.prepare(ctx); err != nil {
			return ErrUnavailable
		}
	}
	err := s.checkFile(writing)
	if err == nil {
		err = operation(ctx)
	}
	if err == nil || errors.Is(err, errDomain) {
		if s.failing.CompareAndSwap(true, false) {
			s.log.Info("the store is available again")
		}
		return err
	}
	if caller.Err() != nil { // the caller canceled: this says nothing about the database
		return fmt.Errorf("%w: %w", ErrUnavailable, caller.Err())
	}
	if s.failing.CompareAndSwap(false, true) { // log once, not for each operation
		s.log.Error("the store failed", "error", safeText(err))
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, safeText(err))
}

// errDomain matches every domainError.
var errDomain = errors.New("domain error")

// domainError is an error of the operation itself, such as a version mismatch. The
// database is working.
type domainError struct{ error }

func (d domainError) Is(target error) bool { return target == errDomain || errors.Is(d.error, target) }

// safeTexts are the parts of database errors that contain no values.
var safeTexts = []string{
	"database or disk is full", "readonly database", "read-only", "unable to open database file", "disk I/O error",
	"database is locked", "file is not a database", "malformed", "connection refused", "context deadline exceeded",
	"no such host", "password authentication failed", "does not exist", "too many connections",
	"the database system is shutting down", "the database system is starting up", "connection reset",
	"terminating connection", "failed to acquire lock", "another process", "removed or replaced",
}

// safeText describes a database error without quoting its text, which may contain stored
// values.
func safeText(err error) string {
	text := err.Error()
	for _, safe := range safeTexts {
		if strings.Contains(text, safe) {
			return safe
		}
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return "the file cannot be opened"
	}
	return fmt.Sprintf("%T", errors.Unwrap(err))
}

// toMillis converts a time to the database's form: milliseconds since 1970, 0 for the zero
// time.
func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// fromMillis is the inverse of toMillis.
func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// forEachRow calls f with each row of a query result, and closes the result.
func forEachRow(rows *sql.Rows, err error, f func(*sql.Rows) error) error {
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
