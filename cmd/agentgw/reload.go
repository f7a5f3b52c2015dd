package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/agentgw/agentgw/config"
)

// reloadOnChange reloads the configuration on SIGHUP and when the file changes, until ctx
// ends.
func (s *service) reloadOnChange(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // never undone: SIGHUP must not end the process while it drains
	changed := make(chan struct{}, 1)
	go func() {
		err := config.Watch(ctx, func() []string { return s.current.Load().Files }, s.config.Fingerprint, func() {
			select {
			case changed <- struct{}{}:
			default: // a reload is already due
			}
		})
		if err != nil {
			s.log.Warn("the configuration file is not watched; reload with SIGHUP", "error", err.Error())
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		case <-changed:
		}
		_, _ = s.reload() // it logs its errors
	}
}

// maxRereads bounds how often a configuration that changes while it is read is read again.
const maxRereads = 5

// reload loads the configuration and applies it, or logs why it is invalid and keeps the
// current one. Reloads are serialized, so that an older file never replaces a newer one.
// needRestart names the changed settings that take effect only after a restart.
func (s *service) reload() (needRestart []string, err error) {
	s.reloadMu.Lock()
	defer s.reloadMu.Unlock()
	if config.WaitUntilWritten(context.Background(), s.config.Files[0]) {
		s.log.Info("waited until the configuration file was written")
	}
	next, err := s.load(s.current.Load())
	for range maxRereads {
		if err != nil || next.IsCurrent() {
			break
		}
		s.log.Info("the configuration changed while it was read; reading it again")
		config.WaitUntilWritten(context.Background(), s.config.Files[0])
		next, err = s.load(s.current.Load())
	}
	if err != nil {
		s.gateway.ReloadFailed()
		s.log.Error("configuration reload failed; keeping the current configuration", "problems", err.Error())
		return nil, err
	}
	if err := s.gateway.Reload(next); err != nil {
		s.log.Error("configuration reload failed; keeping the current configuration", "problems", err.Error())
		return nil, err
	}
	s.current.Store(next)
	for _, w := range next.Warnings {
		s.log.Warn("configuration: "+w.Message, "path", w.Where(), "line", w.Line)
	}
	needRestart = settingsNeedingRestart(s.config, next)
	if len(needRestart) > 0 {
		s.log.Warn("some changed settings take effect only after a restart", "paths", strings.Join(needRestart, ", "))
	}
	s.log.Info("configuration reloaded", "backends", len(next.Backends), "keys", len(next.Keys))
	return needRestart, nil
}

// settingsNeedingRestart returns the settings that differ and are read only at startup.
func settingsNeedingRestart(running, next *config.Config) []string {
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
