package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/otel"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/spf13/cobra"

	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway"
	"github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

func newServe(a *app) *cobra.Command {
	var f configFlag
	c := newCommand("serve", "Run the gateway.", cobra.NoArgs, func([]string) error { return serve(a, f) })
	f.define(c, a)
	return c
}

func serve(a *app, f configFlag) error {
	source := f.source(a)
	loaded, err := config.Load(source)
	if err != nil {
		return configError(err)
	}
	log, lines := newLogger(a.stderr, loaded.File.Log)
	defer lines.Close()
	for _, w := range loaded.Warnings {
		log.Warn("configuration: "+w.Message, "path", w.Where())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	srv, err := newService(ctx, loaded, log, lines, func() (*config.Config, error) { return config.Load(source) })
	if err != nil {
		return err
	}
	if err := srv.listen(); err != nil {
		return err
	}
	following, stopFollowing := context.WithCancel(context.Background())
	defer stopFollowing() // after the last request: a key that is removed meanwhile must not go on
	go srv.followChanges(following, source.Path)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	return srv.run(ctx)
}

// service is a gateway with its two listeners.
type service struct {
	config    *config.Config
	load      func() (*config.Config, error)
	log       *slog.Logger
	telemetry *telemetry.Telemetry
	store     *store.Store
	gateway   *gateway.Gateway
	public    *gateway.Server
	admin     *gateway.Admin

	reloading sync.Mutex

	publicListener, adminListener net.Listener
}

func newService(ctx context.Context, c *config.Config, log *slog.Logger, lines *telemetry.Log, load func() (*config.Config, error)) (*service, error) {
	// A reader of the log who is gone costs lines; by default he would end the process.
	signal.Ignore(syscall.SIGPIPE)
	limitMemory(log, memlimit.FromCgroup)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("telemetry", "error", err.Error()) }))
	t, err := telemetry.New(ctx, telemetry.Options{Version: version, Log: log, DroppedLines: lines.Dropped})
	if err != nil {
		return nil, err
	}
	store, err := store.Open(ctx, c.StoreURL.Reveal(), log)
	if err != nil {
		return nil, fmt.Errorf("store.url: %w", err)
	}
	g, err := gateway.New(gateway.Options{Providers: all.Providers(), Version: version, Log: log, Telemetry: t, Store: store}, c)
	if err != nil {
		return nil, err
	}
	s := &service{config: c, load: load, log: log, telemetry: t, store: store, gateway: g, public: gateway.NewServer(g)}
	s.admin = gateway.NewAdmin(g, s.reload)
	return s, nil
}

// listen opens both listeners, so that a busy address is said at once.
func (s *service) listen() error {
	public, err := net.Listen("tcp", s.config.File.Server.Listen)
	if err != nil {
		return fmt.Errorf("server.listen %s: %w", s.config.File.Server.Listen, err)
	}
	public = s.public.Guard(public)
	if files := s.config.File.Server.TLS; files.CertFile != "" {
		secured, err := gateway.TLSConfig(files.CertFile, files.KeyFile)
		if err != nil {
			return err
		}
		public = tls.NewListener(public, secured)
	}
	s.publicListener = public
	if s.adminListener, err = net.Listen("tcp", s.config.File.Admin.Listen); err != nil {
		return fmt.Errorf("admin.listen %s: %w", s.config.File.Admin.Listen, err)
	}
	return nil
}

// run answers until ctx ends, then lets what runs end within shutdown_grace.
func (s *service) run(ctx context.Context) error {
	admin := &http.Server{Handler: s.admin.Handler(), ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	admin.RegisterOnShutdown(s.admin.Close)
	failed := make(chan error, 2)
	go func() {
		if err := admin.Serve(s.adminListener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("admin listener: %w", err)
		}
	}()
	go func() { failed <- s.public.Serve(s.publicListener) }()
	s.log.Info("listening", "server", s.publicListener.Addr().String(), "admin", s.adminListener.Addr().String(), "version", version)

	select {
	case err := <-failed:
		if err == nil {
			err = errors.New("the public listener ended")
		}
		s.tellLast(context.Background())
		return err
	case <-ctx.Done():
	}
	s.admin.Drain()
	grace := s.config.File.Server.ShutdownGrace.D()
	s.log.Info("draining", "grace", grace.String())
	bounded, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	// A tenth is kept for what comes after the last request.
	last := time.Now().Add(grace * 9 / 10)
	s.public.Drain(min(s.config.File.Server.DrainFor.D(), grace/4))
	err := s.public.Shutdown(time.Until(last))
	_ = admin.Shutdown(bounded) // nothing waits for the operators' listener
	s.tellLast(bounded)
	s.gateway.Close()
	_ = s.store.Close() // all that was written is
	if err != nil {
		return fmt.Errorf("requests still ran after shutdown_grace (%s): %w", grace, err)
	}
	s.log.Info("stopped")
	return nil
}

// lastWords is how long a collector has for the spans of the last requests. One that hangs
// must not use up the grace, which a supervisor counts too.
const lastWords = 2 * time.Second

// tellLast sends what telemetry has left.
func (s *service) tellLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, min(lastWords, s.config.File.Server.ShutdownGrace.D()/20))
	defer cancel()
	if err := s.telemetry.Shutdown(ctx); err != nil {
		s.log.Warn("telemetry was not all sent", "error", err.Error())
	}
}

// followChanges reloads on SIGHUP and when the file changes, until ctx ends.
func (s *service) followChanges(ctx context.Context, path string) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // for good: while draining it must not end the process
	changed := make(chan struct{}, 1)
	go func() {
		err := config.Watch(ctx, path, s.config.Fingerprint, func() {
			select {
			case changed <- struct{}{}:
			default: // one is on its way
			}
		})
		if err != nil {
			s.log.Warn("the configuration is not watched; reload with SIGHUP", "error", err.Error())
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		case <-changed:
		}
		_, _ = s.reload() // it logs what is wrong itself
	}
}

// reload reads the configuration whole and swaps it, or leaves the running one
// and says why. One at a time: an older reading must not follow a newer one.
// needRestart names what changed and is read only at start.
func (s *service) reload() (needRestart []string, err error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	next, err := s.load()
	if err != nil {
		s.gateway.ReloadFailed()
		s.log.Error("the new configuration is refused; the old one goes on", "problems", err.Error())
		return nil, err
	}
	if err := s.gateway.Reload(next); err != nil {
		s.log.Error("the new configuration is refused; the old one goes on", "problems", err.Error())
		return nil, err
	}
	for _, w := range next.Warnings {
		s.log.Warn("configuration: "+w.Message, "path", w.Where())
	}
	needRestart = fixedAtStart(s.config, next)
	if len(needRestart) > 0 {
		s.log.Warn("some changes need a restart", "paths", strings.Join(needRestart, ", "))
	}
	s.log.Info("configuration reloaded", "backends", len(next.Backends), "keys", len(next.Keys))
	return needRestart, nil
}

// fixedAtStart names what changed and is read only at start.
func fixedAtStart(running, next *config.Config) []string {
	a, b := running.File, next.File
	changed := []string{}
	for _, c := range []struct {
		path    string
		changed bool
	}{
		{"server.listen", a.Server.Listen != b.Server.Listen},
		{"server.body_limit", a.Server.BodyLimit != b.Server.BodyLimit},
		{"server.tls", a.Server.TLS != b.Server.TLS},
		{"server.shutdown_grace", a.Server.ShutdownGrace != b.Server.ShutdownGrace},
		{"server.drain_for", a.Server.DrainFor != b.Server.DrainFor},
		{"admin.listen", a.Admin.Listen != b.Admin.Listen},
		{"store", running.StoreURL.Reveal() != next.StoreURL.Reveal() || running.StoreKey.Reveal() != next.StoreKey.Reveal()},
		{"log", a.Log != b.Log},
	} {
		if c.changed {
			changed = append(changed, c.path)
		}
	}
	return changed
}
