package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.opentelemetry.io/otel"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/agentgw/agentgw/adapters/all"
	"github.com/agentgw/agentgw/config"
	"github.com/agentgw/agentgw/gateway"
	"github.com/agentgw/agentgw/gateway/admin"
	"github.com/agentgw/agentgw/gateway/api"
	"github.com/agentgw/agentgw/gateway/listener"
	"github.com/agentgw/agentgw/gateway/store"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// service is a gateway with its two listeners, its store and its telemetry.
type service struct {
	config    *config.Config // the configuration at startup
	current   atomic.Pointer[config.Config]
	load      func(previous *config.Config) (*config.Config, error)
	log       *slog.Logger
	telemetry *telemetry.Telemetry
	store     *store.Store
	gateway   *gateway.Gateway
	public    *api.Server
	admin     *admin.Admin

	reloadMu sync.Mutex // serializes reloads

	publicListener, adminListener net.Listener
}

// newService assembles the gateway. load reads the configuration again for a reload.
func newService(ctx context.Context, c *config.Config, log *slog.Logger, output *telemetry.LogQueue, load func(previous *config.Config) (*config.Config, error)) (*service, error) {
	// By default the process ends when the reader of its log goes away.
	signal.Ignore(syscall.SIGPIPE)
	setMemoryLimit(log, memlimit.FromCgroup)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("telemetry error", "error", err.Error()) }))
	t, err := telemetry.New(ctx, telemetry.Options{Version: version, Log: log, DroppedLines: output.Dropped})
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
	s := &service{config: c, load: load, log: log, telemetry: t, store: store, gateway: g, public: g.NewServer()}
	s.current.Store(c)
	s.admin = g.NewAdmin(s.reload)
	return s, nil
}

// listen opens both listeners, so that an address in use is reported before anything runs.
func (s *service) listen() error {
	public, err := net.Listen("tcp", s.config.File.Server.Listen)
	if err != nil {
		return fmt.Errorf("server.listen %s: %w", s.config.File.Server.Listen, err)
	}
	public = s.public.Guard(public)
	if files := s.config.File.Server.TLS; files.CertFile != "" {
		tlsConfig, err := listener.TLSConfig(files.CertFile, files.KeyFile)
		if err != nil {
			return err
		}
		public = listener.NewTLS(public, tlsConfig)
	}
	s.publicListener = public
	if s.adminListener, err = net.Listen("tcp", s.config.File.Admin.Listen); err != nil {
		return fmt.Errorf("admin.listen %s: %w", s.config.File.Admin.Listen, err)
	}
	return nil
}

// run serves requests until ctx ends, then shuts down within shutdown_grace.
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
	s.logStart()

	select {
	case err := <-failed:
		if err == nil {
			err = errors.New("the public listener closed unexpectedly")
		}
		s.flushTelemetry(context.Background())
		return err
	case <-ctx.Done():
	}
	return s.shutdown(admin)
}

// logStart logs what is served, and from which configuration.
func (s *service) logStart() {
	names := make([]string, 0, len(s.config.Backends))
	for _, b := range s.config.Backends {
		names = append(names, b.Name)
	}
	s.log.Info("listening", "server", s.publicListener.Addr().String(), "admin", s.adminListener.Addr().String(),
		"config", s.config.Files[0], "backends", strings.Join(names, " "), "keys", len(s.config.Keys), "admin_keys", len(s.config.AdminKeys),
		"store", s.store.Name(), "version", version)
}

// shutdown drains the gateway, waits for running requests and closes everything.
func (s *service) shutdown(admin *http.Server) error {
	s.admin.Drain()
	grace := s.config.File.Server.ShutdownGrace.D()
	s.log.Info("draining; a second signal ends the process at once", "grace", grace.String())
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	// Running requests get 90 % of the grace; the rest is for what follows.
	requestDeadline := time.Now().Add(grace * 9 / 10)
	s.public.Drain(min(s.config.File.Server.DrainFor.D(), grace/4))
	err := s.public.Shutdown(time.Until(requestDeadline))
	adminCtx, cancelAdmin := context.WithTimeout(ctx, adminGrace)
	defer cancelAdmin()
	if admin.Shutdown(adminCtx) != nil {
		_ = admin.Close() // half a request, or a profile that runs
	}
	s.flushTelemetry(ctx)
	s.gateway.Close()
	_ = s.store.Close() // all writes are committed
	if err != nil {
		return fmt.Errorf("requests were still running after shutdown_grace (%s): %w", grace, err)
	}
	s.log.Info("stopped")
	return nil
}

// adminGrace is how long requests to the admin listener may take during a shutdown.
const adminGrace = time.Second

// flushTimeout is how long a collector may take for the last spans. A collector that hangs
// must not use up shutdown_grace.
const flushTimeout = 2 * time.Second

// flushTelemetry exports what telemetry has buffered.
func (s *service) flushTelemetry(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, min(flushTimeout, s.config.File.Server.ShutdownGrace.D()/20))
	defer cancel()
	if err := s.telemetry.Shutdown(ctx); err != nil {
		s.log.Warn("telemetry was not exported completely", "error", err.Error())
	}
}
