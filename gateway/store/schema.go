package store

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed schema/*.sql
var schema embed.FS

// ErrSchemaTooNew is returned by Open if a newer program has upgraded the schema.
var ErrSchemaTooNew = errors.New("the store's schema is newer than this program; run the version that wrote it, or a later one")

// prepare upgrades the schema and marks the store ready. It does nothing if the store is
// ready, and returns the last error if the last attempt is less than openRetryInterval ago.
func (s *Store) prepare(ctx context.Context) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready.Load() {
		return nil
	}
	if time.Since(s.lastTry) < openRetryInterval {
		return s.lastError
	}
	defer func() { s.lastTry, s.lastError = time.Now(), err }()
	provider, err := s.schemaProvider()
	if err != nil {
		return err
	}
	if err := s.ping(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, schemaTimeout)
	defer cancel()
	s.lockFile()
	if err := s.upgradeSchema(ctx, provider); err != nil {
		return err
	}
	if s.file != "" {
		if s.opened, err = os.Stat(s.file); err != nil {
			return err
		}
	}
	s.ready.Store(true)
	return nil
}

// schemaProvider returns the schema's migrations. In PostgreSQL one instance applies them
// under a lock while the others wait.
func (s *Store) schemaProvider() (*goose.Provider, error) {
	files, err := fs.Sub(schema, "schema")
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithSlog(slog.New(slog.DiscardHandler))}
	dialect := goose.DialectSQLite3
	if s.shared {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, uint64(schemaTimeout/time.Second)))
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(dialect, s.db, files, options...)
}

func (s *Store) upgradeSchema(ctx context.Context, provider *goose.Provider) error {
	current, latest, err := s.schemaVersions(ctx, provider)
	switch {
	case err != nil:
		return err
	case current > latest:
		return ErrSchemaTooNew
	case current == latest:
		return nil
	case s.file != "" && !s.writable.Load():
		return errNotWriter
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	s.log.Info("the store's schema was upgraded", "from", current, "to", latest)
	return nil
}

// schemaVersions returns the database's schema version and the latest that the program
// knows. GetVersions creates the version table if there is none, so it is not called for a
// file that this process may not write.
func (s *Store) schemaVersions(ctx context.Context, provider *goose.Provider) (current, latest int64, err error) {
	if s.file == "" || s.writable.Load() {
		return provider.GetVersions(ctx)
	}
	for _, source := range provider.ListSources() {
		latest = max(latest, source.Version)
	}
	err = s.db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`).Scan(&current)
	return current, latest, err
}

func (s *Store) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	return s.db.PingContext(ctx)
}
