package gateway

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/oklog/ulid/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/agentgw/agentgw/gateway/journal"
	"github.com/agentgw/agentgw/gateway/telemetry"
)

// requestState is what the middlewares and the handler of one request share. It is used
// by the goroutine of the request alone.
type requestState struct {
	config    *state // of the moment when the request began
	began     time.Time
	requestID string
	headers   *requestHeaders
	trace     trace.SpanContext
	entry     *journal.Entry

	route   string // as the OpenAPI document writes it
	keyID   string
	code    Code // of a problem
	sources []journal.Source
	limit   *keyLimit // nil: the key has none
	cache   CacheStatus
	about   agentRef
}

const requestStateLocal = "agentgw.request"

func requestStateOf(c *fiber.Ctx) *requestState { return c.Locals(requestStateLocal).(*requestState) }

var validRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// newRequestState keeps the caller's request id if it is a valid one.
func (s *Server) newRequestState(c *fiber.Ctx) *requestState {
	r := &requestState{config: s.gateway.state.Load(), began: time.Now(), headers: parseHeaders(&c.Request().Header)}
	if r.requestID = r.headers.first(headerRequestID); !validRequestID.MatchString(r.requestID) {
		r.requestID = newRequestID(r.began)
	}
	c.Locals(requestStateLocal, r)
	return r
}

// newRequestID returns a ULID, so that request ids sort by time.
func newRequestID(now time.Time) string {
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(now)) // fails from the year 10889 on
	binary.BigEndian.PutUint16(id[6:], uint16(rand.Uint32()))
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	return id.String()
}

// noSpan is the span of requests that have none.
var noSpan trace.Span = noop.Span{}

// observe gives the request its id, span and deadline, turns every error into a problem,
// and reports the request when it is answered.
func (s *Server) observe(c *fiber.Ctx) error {
	r := s.newRequestState(c)
	ctx := telemetry.Extract(context.Background(), r.headers.first(headerTraceparent), r.headers.first(headerTracestate))
	ctx, span := s.gateway.telemetry.Tracer.Start(ctx, "HTTP", trace.WithSpanKind(trace.SpanKindServer))
	r.trace = span.SpanContext()
	ctx, r.entry = s.gateway.journal.Start(ctx, r.requestID, r.began)
	ctx, cancel := context.WithDeadline(ctx, r.began.Add(r.config.config.File.Server.RequestTimeout.D()))
	defer cancel()
	c.SetUserContext(ctx)

	if err := c.Next(); err != nil {
		s.writeProblem(c, r, err)
	}
	if s.leaving.Load() {
		c.Context().SetConnectionClose()
	}
	s.finish(c, r, span)
	return nil
}

// finish sets the headers that every response has, and reports the request to its span,
// the metrics, the recent requests and the log.
func (s *Server) finish(c *fiber.Ctx, r *requestState, span trace.Span) {
	now := time.Now()
	header := &c.Response().Header
	header.Set("X-Request-Id", r.requestID)
	if r.limit != nil {
		header.Set("RateLimit-Policy", r.limit.policy)
		header.Set("RateLimit", r.limit.available(now))
	}
	e := &event{
		at: now, took: now.Sub(r.began), requestID: r.requestID, cache: r.cache, about: r.about,
		scheme: scheme(c), span: r.trace,
		Outcome: journal.Outcome{
			Trace: r.trace.TraceID(), Method: telemetry.KnownMethod(c.Method()), Route: r.route, Status: c.Response().StatusCode(),
			Code: string(r.code), KeyID: r.keyID, Sources: r.sources,
		},
	}
	e.Theirs = isClientError(e.Status, r.code)
	s.report(span, r.entry, e)
}

// scheme is of the connection. Fiber would take it from a header, which callers write.
func scheme(c *fiber.Ctx) string {
	if c.Context().IsTLS() {
		return "https"
	}
	return "http"
}

// event is what is reported of a request.
type event struct {
	at        time.Time
	took      time.Duration
	requestID string
	cache     CacheStatus
	about     agentRef
	scheme    string
	span      trace.SpanContext
	journal.Outcome
}

// report tells the span, the metrics, the recent requests and the log of a request.
func (s *Server) report(span trace.Span, entry *journal.Entry, e *event) {
	g := s.gateway
	if span.IsRecording() {
		span.SetName(e.spanName())
		span.SetAttributes(e.attributes()...)
		if e.Status >= 500 {
			span.SetStatus(codes.Error, "")
		}
	}
	span.End()
	served := telemetry.Served{Method: e.Method, Scheme: e.scheme, Route: e.Route, Status: e.Status}
	if e.Status >= 500 {
		served.Error = e.Code
	}
	g.telemetry.Served(served).Record(e.span, e.took)
	g.journal.End(entry, e.at, &e.Outcome)
	telemetry.LogLater(e.span, g.log, slog.LevelInfo, e)
}

// spanName is the method and the route (semantic conventions for HTTP servers).
func (e *event) spanName() string {
	name := e.Method
	if name == telemetry.OtherMethod {
		name = "HTTP"
	}
	if e.Route == "" {
		return name
	}
	return name + " " + e.Route
}

// attributes are those of the request's span (semantic conventions for HTTP servers). The
// path is only reported where it is one of ours, or an agent's: callers can send anything
// in another.
func (e *event) attributes() []attribute.KeyValue {
	attributes := []attribute.KeyValue{
		attribute.String("http.request.method", e.Method),
		attribute.String("url.scheme", e.scheme),
		attribute.Int("http.response.status_code", e.Status),
	}
	add := func(name, value string) {
		if value != "" {
			attributes = append(attributes, attribute.String(name, value))
		}
	}
	add("http.route", e.Route)
	switch {
	case e.Route != "" && !strings.Contains(e.Route, "{"):
		add("url.path", e.Route)
	case e.about.id != "":
		add("url.path", "/v1/agents/"+e.about.id)
	}
	add("agentgw.key.id", e.KeyID)
	add("agentgw.cache", string(e.cache))
	add("gen_ai.agent.id", e.about.id)
	add("gen_ai.agent.name", e.about.name)
	if e.Status >= 500 {
		add("error.type", e.Code)
	}
	return attributes
}

// Line is the access line.
func (e *event) Line(attrs []slog.Attr) (time.Time, string, []slog.Attr) {
	return e.at, "request", append(attrs,
		slog.String("method", e.Method), slog.String("route", e.Route), slog.Int("status", e.Status),
		slog.Float64("duration_ms", float64(e.took.Microseconds())/1000),
		slog.String("request_id", e.requestID), slog.String("key_id", e.KeyID),
		slog.String("sources", describeSources(e.Sources)), slog.String("code", e.Code),
	)
}

// isClientError reports whether the caller asked for something impossible: a 4xx, or an
// operation that a backend does not have. A backend's spent quota is not the caller's error.
func isClientError(status int, code Code) bool {
	return status >= 400 && status < 500 && code != CodeUpstreamRateLimited || status == fiber.StatusNotImplemented
}

// sourcesOf are the backends' parts of an answer.
func sourcesOf(parts []part) []journal.Source {
	if len(parts) == 0 {
		return nil
	}
	sources := make([]journal.Source, len(parts))
	for i, p := range parts {
		s := journal.Source{Backend: p.backend.Name, Status: p.source.Status, Cache: string(p.cache)}
		if s.Status == "" { // of one agent
			s.Status = SourceOK
		}
		if p.failure != nil {
			s.Code, s.Breaker = string(p.failure.Code), p.backend.breaker.state()
		}
		sources[i] = s
	}
	return sources
}

// sourcesOfProblem are the sources of a problem: those of a list, or the one backend that
// the problem is about.
func sourcesOfProblem(p *Problem) []journal.Source {
	if len(p.Sources) == 0 && p.Backend != nil {
		status := SourceError
		if isClientError(p.Status, p.Code) {
			status = SourceOK
		}
		return []journal.Source{{Backend: *p.Backend, Status: status, Code: string(p.Code)}}
	}
	sources := make([]journal.Source, len(p.Sources))
	for i, s := range p.Sources {
		sources[i] = journal.Source{Backend: s.Backend, Status: s.Status}
		if s.Error != nil {
			sources[i].Code = string(s.Error.Code)
		}
	}
	return sources
}

// describeSources formats sources for the log: "klen=hit talkifai=error".
func describeSources(sources []journal.Source) string {
	words := make([]string, len(sources))
	for i, s := range sources {
		words[i] = s.Backend + "=" + s.Status
		if s.Cache != "" {
			words[i] = s.Backend + "=" + s.Cache
		}
	}
	return strings.Join(words, " ")
}
