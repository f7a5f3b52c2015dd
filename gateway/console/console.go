// Package console is the operators' live page: how the backends are, what was asked in
// the last 15 minutes, and what became of the last requests. The page and all that it
// loads are in the program; it is kept current by server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
//
// It must not know what the gateway does: it shows the state that it is told and a
// journal. Neither has a secret, a prompt or a body in it.
//
// The page is written in web/ and built into assets/, see web/README.md.
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

// Options are what a console shows.
type Options struct {
	State   func() State // is called for each open page each second
	Journal *journal.Journal
	// Migrations is called for each open page of them every other second, with the id of
	// the one that is looked at; empty for none.
	Migrations func(ctx context.Context, id string) Migrations
	// Ended is closed when open pages are to be let go.
	Ended <-chan struct{}
	// Interval is how often an open page is told what is new; 0 means each second.
	Interval time.Duration
}

// State is what the gateway is like now.
type State struct {
	Version      string    `json:"version"`
	StartedAt    time.Time `json:"started_at"`
	Listen       string    `json:"listen"` // the address of the API
	Draining     bool      `json:"draining"`
	InFlight     int64     `json:"in_flight"`
	Keys         int       `json:"keys"`
	CacheEntries int64     `json:"cache_entries"`
	CacheBytes   int64     `json:"cache_bytes"`
	Backends     []Backend `json:"backends"`
}

// Backend is what a backend is like now.
type Backend struct {
	Name          string     `json:"name"`
	Provider      string     `json:"provider"`
	Breaker       string     `json:"breaker"`       // closed, open or half_open
	RetryAfterS   *int       `json:"retry_after_s"` // while it is open
	Quota         *Quota     `json:"quota"`         // null where nobody sets one
	LastSuccessAt *time.Time `json:"last_success_at"`
	LastErrorAt   *time.Time `json:"last_error_at"`
	LastErrorCode string     `json:"last_error_code"`
	Running       int        `json:"running"` // requests to it
	MaxConcurrent int        `json:"max_concurrent"`
	Credentials   int        `json:"credentials"` // that some key maps to
}

// Quota is of the credential that has least left.
type Quota struct {
	Remaining int64 `json:"remaining"`
	Limit     int64 `json:"limit"`
}

// maxPages is how many pages may be open at once, so that a script which opens one after
// the other costs the gateway little.
const maxPages = 32

// writeTimeout lets go of a page that takes nothing any more.
const writeTimeout = 10 * time.Second

// policy keeps the page to what comes from here.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler has GET /console, /console/events, /console/migrations and the pages' files.
func Handler(o Options) http.Handler {
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	mux := http.NewServeMux()
	places := make(chan struct{}, maxPages)
	mux.HandleFunc("GET /console/events", func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		default:
			w.Header().Set("Retry-After", "5")
			http.Error(w, fmt.Sprintf("%d consoles are open; close one", maxPages), http.StatusServiceUnavailable)
			return
		}
		follow(w, r, o)
	})
	mux.HandleFunc("GET /console/migrations.json", migrations(o.Migrations))
	files, err := fs.ReadDir(assets, "assets")
	if err != nil {
		panic(err) // it is embedded
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

func file(name string) http.HandlerFunc {
	body, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	media, tag := mime.TypeByExtension(path.Ext(name)), fmt.Sprintf(`"%.16x"`, sha256.Sum256(body))
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", media)
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}
}

// message is what a page is told: everything at first, and then what is new.
type message struct {
	Now     time.Time    `json:"now"`
	State   State        `json:"state"`
	Journal journal.View `json:"journal"`
}

// recentSteps are those of the series that may have changed since the last message.
const recentSteps = 2

// follow tells a page what is new until it is closed, or is let go.
func follow(w http.ResponseWriter, r *http.Request, o Options) {
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
			return // the page asks again
		}
		_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // a writer without one has other bounds
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
