// Package admin is the operators' HTTP API: liveness and readiness, metrics, cache purge,
// reload, profiling and the console.
//
// It may not know the public API, nor how a request is served. Begin with [Admin.Handler].
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"sync"
	"sync/atomic"

	"github.com/agentgw/agentgw/gateway/console"
	"github.com/agentgw/agentgw/gateway/journal"
)

// Admin serves the operators' API. It uses net/http rather than Fiber, because its parts
// (Prometheus, server-sent events, pprof) are net/http handlers. It is safe for concurrent
// use.
type Admin struct {
	Options
	draining     atomic.Bool
	closeStreams func() // closes the event streams of open consoles
	ended        chan struct{}
}

// Options are the dependencies of an Admin.
type Options struct {
	Gateway Gateway
	Journal *journal.RequestLog
	Metrics http.Handler
	// Migrations returns the newest migrations for the console, with the details of the one
	// with this id.
	Migrations func(ctx context.Context, id string) console.Migrations
	// Access returns who may use the listener, and under which names.
	Access func() Access
	Log    *slog.Logger
	// Reload reads the configuration again. It returns the changed settings that take effect
	// only after a restart.
	Reload func() (needRestart []string, err error)
}

// Gateway is the gateway as operators see it.
type Gateway interface {
	ConsoleState() console.State
	// Purge removes entries from the cache and returns their number. If backend or keyID is
	// not empty, only the entries of that backend, or those visible to that key, are removed.
	Purge(backend, keyID string) int
	// UnknownName returns an error message if the backend or the key does not exist, else the
	// empty string. Empty names are not checked.
	UnknownName(backend, keyID string) string
	// ProfilingEnabled reports whether admin.pprof is on.
	ProfilingEnabled() bool
}

// New returns an Admin; Handler returns what serves its routes.
func New(o Options) *Admin {
	a := &Admin{Options: o, ended: make(chan struct{})}
	a.closeStreams = sync.OnceFunc(func() { close(a.ended) })
	return a
}

// Drain makes /readyz return 503, so that load balancers send no more requests.
func (a *Admin) Drain() { a.draining.Store(true) }

// Close ends the event streams of open consoles, which would otherwise never end.
func (a *Admin) Close() { a.closeStreams() }

// Handler returns the handler of all routes.
func (a *Admin) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, map[string]any{"status": "ok"}) })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.Handle("GET /metrics", a.Metrics)
	live := console.Handler(console.Options{State: a.state, Journal: a.Journal, Migrations: a.Migrations, Ended: a.ended})
	mux.Handle("GET /console", live)
	mux.Handle("GET /console/", live)
	mux.HandleFunc("POST /cache/purge", a.purge)
	mux.HandleFunc("POST /reload", a.reload)
	// A reload can turn profiling on and off, so the handlers check it for each request.
	mux.HandleFunc("GET /debug/pprof/", a.profiled(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/profile", a.profiled(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", a.profiled(pprof.Trace))
	// Without this, any web page in an operator's browser could purge or reload.
	return a.checkHost(a.requireKey(http.NewCrossOriginProtection().Handler(mux)))
}

// state returns the state that the console shows.
func (a *Admin) state() console.State {
	s := a.Gateway.ConsoleState()
	s.Draining = a.draining.Load()
	return s
}

// profiled wraps a profiling handler so that it returns 404 while admin.pprof is off.
func (a *Admin) profiled(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.Gateway.ProfilingEnabled() {
			http.Error(w, "profiling is off; set admin.pprof to true", http.StatusNotFound)
			return
		}
		serve(w, r)
	}
}

// ready ignores the state of the backends: an unavailable provider is no reason to take the
// gateway out of service.
func (a *Admin) ready(w http.ResponseWriter, _ *http.Request) {
	if a.draining.Load() {
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"status": "draining"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"status": "ready"})
}

// index points to what there is, for whoever opens the address of the listener.
func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, `<!doctype html><html lang="en"><title>agentgw</title><h1>agentgw: admin listener</h1><ul>
<li><a href="console">console</a>: live state</li>
<li><a href="metrics">metrics</a>: for Prometheus</li>
<li><a href="livez">livez</a>, <a href="readyz">readyz</a>: health checks</li>
<li>POST /cache/purge, POST /reload</li>
</ul></html>
`) // the operator may have left
}

const maxAdminBody = 64 << 10

// purge serves POST /cache/purge.
func (a *Admin) purge(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Backend *string `json:"backend"`
		Key     *string `json:"key"`
	}
	dec := json.NewDecoder(io.LimitReader(r.Body, maxAdminBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&q); err != nil && !errors.Is(err, io.EOF) {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": `the body must be {"backend": "…", "key": "<key id>"}; both fields are optional`})
		return
	}
	var backend, key string
	for name, given := range map[string]struct{ from, to *string }{"backend": {q.Backend, &backend}, "key": {q.Key, &key}} {
		if given.from == nil {
			continue
		}
		if *given.to = *given.from; *given.to == "" { // an unset variable must not purge everything
			writeJSON(w, http.StatusBadRequest, map[string]any{"error": name + " is empty; omit the field to purge all"})
			return
		}
	}
	if unknown := a.Gateway.UnknownName(backend, key); unknown != "" {
		writeJSON(w, http.StatusNotFound, map[string]any{"error": unknown})
		return
	}
	purged := a.Gateway.Purge(backend, key)
	a.audit(r, "cache.purge", "ok", slog.String("backend", backend), slog.String("key", key), slog.Int("purged", purged))
	writeJSON(w, http.StatusOK, map[string]any{"purged": purged})
}

// reload serves POST /reload.
func (a *Admin) reload(w http.ResponseWriter, r *http.Request) {
	needRestart, err := a.Reload()
	if err != nil {
		a.audit(r, "reload", "error")
		writeJSON(w, http.StatusUnprocessableEntity, map[string]any{"reloaded": false, "error": err.Error()})
		return
	}
	a.audit(r, "reload", "ok")
	writeJSON(w, http.StatusOK, map[string]any{"reloaded": true, "need_restart": needRestart})
}

func writeJSON(w http.ResponseWriter, status int, v map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the operator may have left
}
