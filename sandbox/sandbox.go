// Package sandbox is the server of emulated providers: accounts by key, faults, a record of
// every request, and violations of the provider's documentation.
//
// Emulators are written from the documentation with their own types. They import neither the
// adapters nor package normalize, so that one mistake cannot be on both sides.
package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Emulator is an emulated provider.
type Emulator interface {
	http.Handler
	// Prefix is the path that belongs to the base URL, "/api/v1".
	Prefix() string
	// Seed gives key an account and stores agents in it, each as the provider
	// would hold it: an object with every documented member.
	Seed(key string, agents ...json.RawMessage)
	// SeedDemo gives key an account with agents that a company might have.
	SeedDemo(key string)
	// Control is the emulator's faults, record and violations.
	Control() *Server
}

// Call is a request to an emulated provider.
type Call struct {
	Key   string // the account's key
	ID    string // {id} in the route, unescaped
	Query url.Values
	Body  []byte
}

// Reply is the response to a Call. Without a body, Body is nil.
type Reply struct {
	Status int
	Header map[string]string
	Body   any
}

// Route is one documented operation.
type Route struct {
	Method  string
	Pattern string   // below the prefix: "/agents", "/agents/{id}"
	Query   []string // documented query parameters
	Body    bool     // takes a JSON body
	Handle  func(*Call) Reply
}

// Config describes a provider to the Server.
type Config struct {
	Vendor string
	Prefix string
	Routes []Route
	// Key finds the credential in a request, by the provider's documented forms.
	Key func(*http.Request) string
	// Known reports whether the key has an account.
	Known func(key string) bool
	// Error writes the provider's documented error body.
	Error func(status int) Reply
	// Header are headers that every reply carries; nil for none.
	Header func() map[string]string
}

// Request is a recorded request.
type Request struct {
	Method string
	Path   string // as it was on the wire, escaped
	Query  url.Values
	Header http.Header
	Body   []byte
	At     time.Time
}

// Server serves an emulated provider. It is safe for concurrent use.
type Server struct {
	config Config

	mu         sync.Mutex
	requests   []Request
	violations []string
	faults     []*Fault
}

// NewServer returns a Server.
func NewServer(c Config) *Server { return &Server{config: c} }

// Prefix returns the path of the provider's base URL.
func (s *Server) Prefix() string { return s.config.Prefix }

// Control returns the Server, for Emulator.
func (s *Server) Control() *Server { return s }

// maxRecorded bounds the record of a long-running demo. No test reaches it.
const maxRecorded = 100_000

// StatusViolation is the response to a request that the provider does not document. No provider
// sends it.
const StatusViolation = 599

// ServeHTTP answers as the provider documents, or as a fault says.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client left in the middle of its request
	}
	s.record(r, body)
	fault := s.takeFault(r)
	if fault != nil && fault.Late > 0 {
		time.Sleep(fault.Late) // not wait: the client may leave
		s.answer(r, body)
		abort(w)
	}
	if fault != nil && fault.Done {
		s.answer(r, body)
	}
	if fault.interrupt(w, r) {
		return
	}
	if fault != nil && fault.Status != 0 {
		s.write(w, r, Reply{Status: fault.Status, Header: fault.Header, Body: json.RawMessage(fault.Body)}, fault)
		return
	}
	s.write(w, r, s.answer(r, body), fault)
}

// answer calls the route of a request.
func (s *Server) answer(r *http.Request, body []byte) Reply {
	route, id, ok := s.route(r)
	if !ok {
		return s.Violate("%s %s is not documented", r.Method, r.URL.EscapedPath())
	}
	if reply, ok := s.checkRequest(route, r, body); !ok {
		return reply
	}
	key := s.config.Key(r)
	if key == "" || !s.config.Known(key) {
		return s.config.Error(http.StatusUnauthorized)
	}
	return route.Handle(&Call{Key: key, ID: id, Query: r.URL.Query(), Body: body})
}

func (s *Server) checkRequest(route Route, r *http.Request, body []byte) (Reply, bool) {
	for name := range r.URL.Query() {
		if !slices.Contains(route.Query, name) {
			return s.Violate("%s %s: query parameter %q is not documented", r.Method, route.Pattern, name), false
		}
	}
	if !route.Body && len(body) > 0 {
		return s.Violate("%s %s: a body is not documented", r.Method, route.Pattern), false
	}
	if route.Body && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return s.Violate("%s %s: Content-Type %q, want application/json", r.Method, route.Pattern, r.Header.Get("Content-Type")), false
	}
	return Reply{}, true
}

func (s *Server) route(r *http.Request) (Route, string, bool) {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), s.config.Prefix)
	if !ok {
		return Route{}, "", false
	}
	for _, route := range s.config.Routes {
		if route.Method != r.Method {
			continue
		}
		if id, ok := match(route.Pattern, path); ok {
			return route, id, true
		}
	}
	return Route{}, "", false
}

// match holds an escaped path against a pattern, segment by segment.
func match(pattern, path string) (id string, ok bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return "", false
	}
	for i, segment := range want {
		if segment != "{id}" {
			if segment != got[i] {
				return "", false
			}
			continue
		}
		unescaped, err := url.PathUnescape(got[i])
		if err != nil || unescaped == "" {
			return "", false
		}
		id = unescaped
	}
	return id, true
}

// Violate notes that a client did what the provider does not document, and is
// the reply to it.
func (s *Server) Violate(format string, args ...any) Reply {
	text := s.config.Vendor + ": " + fmt.Sprintf(format, args...)
	s.mu.Lock()
	s.violations = append(s.violations, text)
	s.mu.Unlock()
	return Reply{Status: StatusViolation, Body: map[string]string{"sandbox": text}}
}

// Decode reads the body of a write into v; without ok the reply is the answer
// to it.
func (s *Server) Decode(c *Call, v any) (reply Reply, ok bool) {
	undocumented, err := decodeBody(c.Body, v)
	if undocumented != "" {
		return s.Violate("the body's member %s is not documented", undocumented), false
	}
	if err != nil {
		return s.config.Error(http.StatusBadRequest), false
	}
	return Reply{}, true
}

// Timestamp is now, as the providers write it: ISO 8601 with Z.
func Timestamp() string { return time.Now().UTC().Format(time.RFC3339) }

func (s *Server) write(w http.ResponseWriter, r *http.Request, reply Reply, fault *Fault) {
	var body []byte
	switch b := reply.Body.(type) {
	case nil:
	case json.RawMessage:
		body = b
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			s.Violate("cannot encode a reply: %v", err)
			w.WriteHeader(StatusViolation)
			return
		}
		body = encoded
	}
	if s.config.Header != nil {
		for name, value := range s.config.Header() {
			w.Header().Set(name, value)
		}
	}
	if len(body) > 0 {
		w.Header().Set("Content-Type", "application/json")
	}
	for name, value := range reply.Header {
		w.Header().Set(name, value)
	}
	if fault.distort(w, r, reply.Status, body) {
		return
	}
	w.WriteHeader(reply.Status)
	_, _ = w.Write(body) // the client may have left; that is its affair
}

func (s *Server) record(r *http.Request, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) >= maxRecorded {
		s.requests = s.requests[maxRecorded/2:]
	}
	s.requests = append(s.requests, Request{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.Query(), Header: r.Header.Clone(), Body: body, At: time.Now(),
	})
}

// Requests is what was received, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Violations is what clients did that the provider does not document. A test
// that used the emulator fails if there are any.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

// Forget empties the record of requests and violations, and ends all faults.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.violations, s.faults = nil, nil, nil
}
