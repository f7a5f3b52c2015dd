// Package console serves the operators' console: the state of the backends, the traffic of
// the last 15 minutes, recent requests and migrations. The pages are embedded in the binary.
// The overview is updated by server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
//
// The package must not know how the gateway works: it shows the State, Migrations and
// journal that it is given. None of them contains secrets, prompts or bodies.
//
// Begin with Handler. The source of the pages is in web/, built into assets/; see
// web/README.md.
package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/agentgw/agentgw/gateway/journal"
)

//go:embed assets
var assets embed.FS

// Options provide the data of the console.
type Options struct {
	// State is called for each open page at every interval.
	State   func() State
	Journal *journal.RequestLog
	// Migrations is called for each open migrations page every two seconds. id is the
	// migration that is expanded, or empty.
	Migrations func(ctx context.Context, id string) Migrations
	// Ended ends all event streams when it is closed.
	Ended <-chan struct{}
	// Interval is the time between two updates of a page; 0 means one second.
	Interval time.Duration
}

// State is the current state of the gateway.
type State struct {
	Version      string    `json:"version"`
	StartedAt    time.Time `json:"started_at"`
	Listen       string    `json:"listen"` // address of the API
	Draining     bool      `json:"draining"`
	InFlight     int64     `json:"in_flight"`
	Keys         int       `json:"keys"`
	CacheEntries int64     `json:"cache_entries"`
	CacheBytes   int64     `json:"cache_bytes"`
	Backends     []Backend `json:"backends"`
}

// Backend is the current state of a backend.
type Backend struct {
	Name          string     `json:"name"`
	Provider      string     `json:"provider"`
	Breaker       string     `json:"breaker"`       // closed, open or half_open
	RetryAfterS   *int       `json:"retry_after_s"` // until the next probe; null unless open
	Quota         *Quota     `json:"quota"`         // null if no quota is known
	LastSuccessAt *time.Time `json:"last_success_at"`
	LastErrorAt   *time.Time `json:"last_error_at"`
	LastErrorCode string     `json:"last_error_code"`
	Running       int        `json:"running"` // calls in progress
	MaxConcurrent int        `json:"max_concurrent"`
	Credentials   int        `json:"credentials"` // distinct credentials of all keys
}

// Quota is the quota of the credential with the fewest remaining requests.
type Quota struct {
	Remaining int64 `json:"remaining"`
	Limit     int64 `json:"limit"`
}

// maxStreams bounds the open event streams, so that a script that opens pages cannot exhaust
// the gateway.
const maxStreams = 32

// writeTimeout closes a stream whose reader has stalled.
const writeTimeout = 10 * time.Second

// contentSecurityPolicy restricts the pages to files of this handler.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves GET /console, /console/events, /console/migrations,
// /console/migrations.json and the files of the pages.
func Handler(o Options) http.Handler {
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	mux := http.NewServeMux()
	slots := make(chan struct{}, maxStreams)
	mux.HandleFunc("GET /console/events", func(w http.ResponseWriter, r *http.Request) {
		if isForeign(w, r) {
			return
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			w.Header().Set("Retry-After", "5")
			http.Error(w, fmt.Sprintf("%d console pages are open; close one and reload", maxStreams), http.StatusServiceUnavailable)
			return
		}
		streamEvents(w, r, o)
	})
	mux.HandleFunc("GET /console/migrations.json", func(w http.ResponseWriter, r *http.Request) {
		if !isForeign(w, r) {
			migrations(o.Migrations)(w, r)
		}
	})
	files, err := fs.ReadDir(assets, "assets")
	if err != nil {
		panic(err) // the files are embedded
	}
	for _, f := range files {
		page := file(f.Name())
		mux.HandleFunc("GET /console/"+f.Name(), page)
		if f.Name() == "migrations.html" {
			mux.HandleFunc("GET /console/migrations", page)
		}
		if f.Name() == "index.html" {
			mux.HandleFunc("GET /console", page)
			mux.HandleFunc("GET /console/{$}", page)
		}
	}
	return mux
}

// isForeign refuses a request that a page of another site makes (Fetch Metadata): it cannot
// read the response, but could take all event streams.
func isForeign(w http.ResponseWriter, r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none": // an older browser or a program; the console; an address that was typed
		return false
	}
	http.Error(w, "only the console may read this", http.StatusForbidden)
	return true
}

// file serves an embedded file.
func file(name string) http.HandlerFunc {
	body, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // the files are embedded
	}
	media, tag := mime.TypeByExtension(path.Ext(name)), fmt.Sprintf(`"%.16x"`, sha256.Sum256(body))
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", media)
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}
}

// message is the data of an event: everything at first, and then what is new.
type message struct {
	Now     time.Time    `json:"now"`
	State   State        `json:"state"`
	Journal journal.View `json:"journal"`
}

// recentSteps is how many steps of the series can have changed since the last message.
const recentSteps = 2

// streamEvents sends an event at every interval until the page is closed or o.Ended is.
func streamEvents(w http.ResponseWriter, r *http.Request, o Options) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	out := http.NewResponseController(w)
	tick := time.NewTicker(o.Interval)
	defer tick.Stop()
	var entry, event uint64
	name, steps := "all", journal.Steps
	for {
		m := message{Now: time.Now().UTC(), State: o.State(), Journal: o.Journal.View(entry, event, steps)}
		data, err := json.Marshal(m)
		if err != nil {
			return // the page reconnects
		}
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every writer supports deadlines
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data); err != nil || out.Flush() != nil {
			return
		}
		entry, event = m.Journal.Entry, m.Journal.Event
		name, steps = "new", recentSteps
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-o.Ended:
			return
		}
	}
}
