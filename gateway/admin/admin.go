// Package admin is the operators' HTTP API: probes, metrics, purge, reload and the data of
// the console.
//
// It may not know the public API, nor how a request is served. Begin with [Admin.Handler].
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/pprof"
	"sync"
	"sync/atomic"

	"github.com/agentgw/agentgw/gateway/console"
	"github.com/agentgw/agentgw/gateway/journal"
)

// Admin is the operators' listener. It is net/http rather than Fiber: what
// belongs here (Prometheus, server-sent events, pprof) is.
type Admin struct {
	Options
	draining     atomic.Bool
	closeStreams func() // closes the event streams of open consoles
	ended        chan struct{}
}

// Options are what an Admin is made of.
type Options struct {
	Gateway Gateway
	Journal *journal.RequestLog
	Metrics http.Handler
	// Migrations returns the migrations for the console, and one of them in detail.
	Migrations func(ctx context.Context, id string) console.Migrations
	// Reload reads the configuration again and returns the settings that changed and need a
	// restart.
	Reload func() (needRestart []string, err error)
}

// Gateway is the gateway as operators see it.
type Gateway interface {
	ConsoleState() console.State
	// Purge drops what is cached, of one backend or of what one key sees if they are named,
	// and returns the number of entries.
	Purge(backend, keyID string) int
	// UnknownName returns a message about a name that does not exist; empty for none.
	UnknownName(backend, keyID string) string
	ProfilingEnabled() bool
}

func New(o Options) *Admin {
	a := &Admin{Options: o, ended: make(chan struct{})}
	a.closeStreams = sync.OnceFunc(func() { close(a.ended) })
	return a
}

// Drain makes /readyz say that no more requests should come.
func (a *Admin) Drain() { a.draining.Store(true) }

// Close lets go of the consoles that are open, which have no end of their own.
func (a *Admin) Close() { a.closeStreams() }

// Handler has the routes.
func (a *Admin) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, map[string]any{"status": "ok"}) })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.Handle("GET /metrics", a.Metrics)
	live := console.Handler(console.Options{State: a.state, Journal: a.Journal, Migrations: a.Migrations, Ended: a.ended})
	mux.Handle("GET /console", live)
	mux.Handle("GET /console/", live)
	mux.HandleFunc("POST /cache/purge", a.purge)
	mux.HandleFunc("POST /reload", a.reload)
	// By the configuration of the moment: a reload turns them on and off.
	mux.HandleFunc("GET /debug/pprof/", a.profiled(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/profile", a.profiled(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", a.profiled(pprof.Trace))
	// A page in an operator's browser must not be able to purge or reload.
	return http.NewCrossOriginProtection().Handler(mux)
}

// state is what the console shows.
func (a *Admin) state() console.State {
	s := a.Gateway.ConsoleState()
	s.Draining = a.draining.Load()
	return s
}

// profiled serves a profile if admin.pprof is on.
func (a *Admin) profiled(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.Gateway.ProfilingEnabled() {
			http.Error(w, "admin.pprof is off", http.StatusNotFound)
			return
		}
		serve(w, r)
	}
}

// ready asks no backend: whether one answers is no reason to restart us.
func (a *Admin) ready(w http.ResponseWriter, _ *http.Request) {
	if a.draining.Load() {
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"status": "draining"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"status": "ready"})
}

const maxAdminBody = 64 << 10

func (a *Admin) purge(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Backend *string `json:"backend"`
		Key     *string `json:"key"`
	}
	dec := json.NewDecoder(io.LimitReader(r.Body, maxAdminBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&q); err != nil && !errors.Is(err, io.EOF) {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": `want {"backend": "…", "key": "<key id>"}, both optional`})
		return
	}
	var backend, key string
	for name, given := range map[string]struct{ from, to *string }{"backend": {q.Backend, &backend}, "key": {q.Key, &key}} {
		if given.from == nil {
			continue
		}
		if *given.to = *given.from; *given.to == "" { // an unset variable must not purge everything
			writeJSON(w, http.StatusBadRequest, map[string]any{"error": name + " is empty; leave it out to mean all"})
			return
		}
	}
	if unknown := a.Gateway.UnknownName(backend, key); unknown != "" {
		writeJSON(w, http.StatusNotFound, map[string]any{"error": unknown})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"purged": a.Gateway.Purge(backend, key)})
}

func (a *Admin) reload(w http.ResponseWriter, _ *http.Request) {
	needRestart, err := a.Reload()
	if err != nil {
		writeJSON(w, http.StatusUnprocessableEntity, map[string]any{"reloaded": false, "error": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"reloaded": true, "need_restart": needRestart})
}

func writeJSON(w http.ResponseWriter, status int, v map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the operator may have left
}
