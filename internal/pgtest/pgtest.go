// Package pgtest runs PostgreSQL for tests, on a free port and with a temporary data
// directory.
package pgtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/agentgw/agentgw/internal/waittest"
)

// Server is a PostgreSQL server. It runs unless Stop was called.
type Server struct {
	bin, data, port string
	as              *syscall.Credential // another user if this one is root, which PostgreSQL refuses
	process         *exec.Cmd
	databases       atomic.Int64
}

// Start starts a server that ends with the test. Without PostgreSQL on this machine the
// test is skipped, or fails if CI is set.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{bin: binaries(t)}
	if os.Geteuid() == 0 {
		s.as = account(t)
	}
	var err error
	if s.data, err = os.MkdirTemp("", "agentgw-postgres-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(s.data) })
	if s.as != nil {
		if err := os.Chown(s.data, int(s.as.Uid), int(s.as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	initdb := s.command("initdb", "--auth=trust", "--username=agentgw", "--encoding=UTF8", "--no-sync", "-D", filepath.Join(s.data, "db"))
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	_ = l.Close() // the server takes the port
	s.Run(t)
	t.Cleanup(func() { s.Stop(t) })
	return s
}

func binaries(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian's place
	if len(found) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("there is no PostgreSQL")
		}
		t.Skip("there is no PostgreSQL on this machine (Debian: apt-get install postgresql)")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1])
}

// account returns the user postgres, which Debian's package creates, or nobody.
func account(t testing.TB) *syscall.Credential {
	t.Helper()
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	t.Fatal("there is no user postgres or nobody to run PostgreSQL as")
	return nil
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = s.data
	c.Env = append(os.Environ(), "LC_ALL=C")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return c
}

// Run starts the server again after Stop, with the data that it had.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	s.process = s.command("postgres", "-D", filepath.Join(s.data, "db"), "-k", s.data, "-p", s.port, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, "PostgreSQL to accept connections", func() bool {
		conn, err := s.connect("postgres")
		if err == nil {
			_ = conn.Close(context.Background())
		}
		return err == nil
	})
}

// Stop ends the server without a shutdown, as a crash does.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if s.process == nil {
		return
	}
	if err := s.process.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Error(err)
	}
	_ = s.process.Wait() // after SIGQUIT it reports an error
	s.process = nil
}

func (s *Server) connect(database string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), waittest.HangGuard)
	defer cancel()
	return pgx.Connect(ctx, s.url(database))
}

func (s *Server) url(database string) string {
	return fmt.Sprintf("postgres://agentgw@127.0.0.1:%s/%s?sslmode=disable", s.port, database)
}

// Database creates an empty database and returns its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	conn, err := s.connect("postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	if _, err := conn.Exec(context.Background(), "CREATE DATABASE "+pgx.Identifier{strings.ToLower(name)}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	return s.url(name)
}
